// SPDX-License-Identifier: Apache-2.0
#include "lib/client/client.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>

#include "lib/base/paths.h"
#include "lib/link/bytes.h"

namespace omig {

std::optional<Client> Client::connect(int* error) { return connect(default_state_dir(), error); }

std::optional<Client> Client::connect(const std::string& dir, int* error) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::string path = dir + "/homed.sock";
  // A socket's address is short; the way through a descriptor of the directory always fits.
  const Fd directory(open(dir.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (path.size() >= sizeof(address.sun_path))
    path = "/proc/self/fd/" + std::to_string(directory.get()) + "/homed.sock";
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  // A homed that hangs does not accept: connecting would wait for ever once its queue is full.
  const timeval patience{.tv_sec = 2};
  if (fd) setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  if (fd && ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0)
    return Client(std::move(fd));
  if (error != nullptr) {
    const bool nobody = errno == ENOENT || errno == ECONNREFUSED || errno == ENOTDIR;
    *error = nobody ? ENOTCONN : errno == EAGAIN ? ETIMEDOUT : errno;
  }
  return std::nullopt;
}

bool Client::send(const Json& request) {
  const std::string line = request.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  if (write_all(fd_.get(), line.data(), line.size())) return true;
  error_ = errno == 0 || errno == EPIPE ? ECONNRESET : errno;
  return false;
}

std::optional<Json> Client::receive(milliseconds timeout) {
  Patience patience(timeout);
  size_t end = 0;
  while ((end = input_.find('\n')) == std::string::npos) {
    char block[4096];
    const size_t got = read_part(fd_.get(), block, sizeof(block), patience);
    if (got == 0) {
      error_ = errno == 0 ? ECONNRESET : errno;
      return std::nullopt;
    }
    input_.append(block, got);
  }
  Json json = Json::parse(input_.substr(0, end), nullptr, false);
  input_.erase(0, end + 1);
  if (json.is_object()) return json;
  error_ = EPROTO;
  return std::nullopt;
}

}  // namespace omig
