// SPDX-License-Identifier: Apache-2.0
// omctl: finds out which command is meant (table.h) and hands over.
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>

#include "tools/omctl/table.h"

namespace {

using namespace omig;

void print_help() {
  fmt::print("omctl moves running programs between nodes\n\nomctl COMMAND [OPTIONS]\n\n");
  for (const Entry& command : commands())
    fmt::print("  {:<11} {}\n", command.name, cli::description_of(command.main).value("summary", ""));
  fmt::print("\nomctl COMMAND --help tells more.\n");
}

}  // namespace

int omig::omctl_main(const cli::Words& words) {
  const std::string first = words.empty() ? "" : words[0];
  if (const Entry* command = entry_named(commands(), first)) return command->main({words.begin() + 1, words.end()});
  if (first == "--help" || first == "-h") {
    print_help();
    return 0;
  }
  if (first == "--version") {
    fmt::print("omctl {}\n", OMIG_VERSION);
    return 0;
  }
  if (first == "--describe") {
    fmt::print("{}\n", describe_omctl().dump(2));
    return 0;
  }
  fmt::print(stderr, "omctl: {} (omctl --help)\n", first.empty() ? "no command given" : "there is no command " + first);
  return cli::kUsageError;
}

int main(int argc, char** argv) {
  const cli::Words words(argv + std::min(argc, 1), argv + argc);
  const Entry* name = entry_named(other_names(), program_invocation_short_name);
  return name != nullptr ? name->main(words) : omctl_main(words);
}
