// SPDX-License-Identifier: Apache-2.0
#include "tools/omctl/help.h"

#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "lib/base/paths.h"
#include "tools/omctl/client.h"
#include "tools/omctl/table.h"

namespace omig {

namespace {

// In the build tree around this program, else where it is installed. Empty if there is none.
std::string page_file(const std::string& page, int section) {
  const std::string own = own_directory(), name = fmt::format("{}.{}", page, section);
  for (const std::string& path :
       {fmt::format("{}/../docs/man/{}", own, name), fmt::format("{}/../share/man/man{}/{}", own, section, name),
        fmt::format("{}/../share/man/man{}/{}.gz", own, section, name)})
    if (access(path.c_str(), R_OK) == 0) return path;
  return {};
}

// Did the program run, and end well?
bool succeeds(std::vector<std::string> words) {
  const pid_t pid = fork();
  if (pid == 0) {
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    execvp(argv[0], argv.data());
    _exit(127);
  }
  int status = 0;
  return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

bool show(const std::string& page, int section) {
  const std::string file = page_file(page, section);
  return !file.empty() && (succeeds({"man", "-l", file}) || succeeds({"mandoc", "-a", file}));
}

}  // namespace

int help_main(const cli::Words& words) {
  CLI::App app{"the manual page of a command", "omctl help"};
  cli::Words name;
  app.add_option("NAME", name, "a command of omctl, another name of it, homed, or omig")->expected(0, 2);
  cli::example(app, "  omctl help migrate");
  if (const auto end = cli::parse(app, words)) return *end;
  const std::string first = name.empty() ? "omctl" : name[0];
  const Entry* command = entry_named(commands(), first);
  const Entry* other = entry_named(other_names(), first);
  const int section = first == "homed" ? 8 : first == "omig" ? 7 : 1;
  if (command == nullptr && other == nullptr && section == 1 && first != "omctl") {
    say_reason(fmt::format("help: there is no command {} (omctl --help lists them)", first));
    return 1;
  }
  if (show(command != nullptr ? "omctl-" + first : first, section)) return 0;
  // Pages may be missing, or what shows them: then what the program knows of itself.
  std::fflush(stdout);
  if (command != nullptr) return command->main({"--help"});
  if (other != nullptr) return other->main({"--help"});
  if (first == "omctl") return omctl_main({"--help"});
  say_reason(fmt::format("help: {} has no page here, or neither man nor mandoc can show it", first));
  return 1;
}

}  // namespace omig
