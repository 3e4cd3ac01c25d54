// SPDX-License-Identifier: Apache-2.0
// `omctl run`: becomes the command, preloaded. No process is added: pid, descriptors, terminal and exit status are
// those of an ordinary exec. With -n the request to move is left with homed before the exec; it acts when the program's
// constructor announces itself. Whatever is missing (homed, the library, the node) only costs the move.
#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "lib/base/paths.h"
#include "lib/wire/link.h"
#include "tools/omctl/client.h"
#include "tools/omctl/commands.h"

namespace omig {

namespace {

void preload() {
  const std::string library = find_binary("libomig.so");
  if (library.empty()) {
    say_reason("libomig.so is not next to omctl: the program runs, but cannot move (set OMIG_LIBEXEC)");
    return;
  }
  const char* present = std::getenv("LD_PRELOAD");
  if (present == nullptr || *present == '\0') {
    setenv("LD_PRELOAD", library.c_str(), 1);
  } else if (std::string(present).find(library) == std::string::npos) {
    setenv("LD_PRELOAD", (library + ":" + present).c_str(), 1);
  }
}

void ask_for_placement(const std::string& node) {
  auto client = Client::connect();
  if (!client) return;  // no homed: everything runs locally, silently
  if (!client->send({{"op", "place"}, {"pid", getpid()}, {"to", node}})) return;
  const auto answer = client->receive(milliseconds(5'000));
  if (answer && !answer->value("ok", false)) say_reason(answer->value("reason", "refused") + ": the program runs here");
}

// For a program whose constructor will not say it, because it loads no library: a static one, Go's.
void announce() {
  const wire::Announcement message{.pid = getpid()};
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = default_state_dir() + "/announce.sock";
  if (path.size() >= sizeof address.sun_path) return;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return;
  sendto(fd, &message, sizeof message, MSG_DONTWAIT | MSG_NOSIGNAL, reinterpret_cast<const sockaddr*>(&address),
         sizeof address);
  close(fd);
}

}  // namespace

int run_command(const RunOptions& options) {
  preload();
  announce();
  if (options.node) ask_for_placement(*options.node);
  std::vector<char*> argv;
  for (const std::string& word : options.command) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  execvp(argv[0], argv.data());
  const int code = errno;
  say_reason(fmt::format("cannot run {}: {}", options.command[0], std::strerror(code)));
  return code == ENOENT ? 127 : 126;  // as shells do
}

}  // namespace omig
