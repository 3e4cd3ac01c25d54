// SPDX-License-Identifier: Apache-2.0
#include "tools/omctl/client.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>

#include "lib/base/paths.h"

namespace omig {

std::optional<Client> Client::connect() {
  const std::string dir = default_state_dir();
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::string path = dir + "/homed.sock";
  // A socket's address is short; the way through a descriptor of the directory always fits.
  const Fd directory(open(dir.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (path.size() >= sizeof(address.sun_path)) path = fmt::format("/proc/self/fd/{}/homed.sock", directory.get());
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd || ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0)
    return std::nullopt;
  return Client(std::move(fd));
}

bool Client::send(const Json& request) {
  const std::string line = request.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  return write_all(fd_.get(), line.data(), line.size());
}

std::optional<Json> Client::receive(milliseconds timeout) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  size_t end = 0;
  while ((end = input_.find('\n')) == std::string::npos) {
    const auto left = std::chrono::ceil<milliseconds>(deadline - std::chrono::steady_clock::now()).count();
    pollfd entry{fd_.get(), POLLIN, 0};
    const int ready = left <= 0 ? 0 : poll(&entry, 1, static_cast<int>(left));
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) return std::nullopt;
    char block[4096];
    const ssize_t got = recv(fd_.get(), block, sizeof(block), 0);
    if (got <= 0) return std::nullopt;
    input_.append(block, static_cast<size_t>(got));
  }
  Json json = Json::parse(input_.substr(0, end), nullptr, false);
  input_.erase(0, end + 1);
  if (!json.is_object()) return std::nullopt;
  return json;
}

void say_no_homed() {
  fmt::print(stderr, "omctl: no homed at {}/homed.sock (start it with: homed --foreground, or omctl lab up)\n",
             default_state_dir());
}

void say_reason(const std::string& reason) { fmt::print(stderr, "omctl: {}\n", reason); }

}  // namespace omig
