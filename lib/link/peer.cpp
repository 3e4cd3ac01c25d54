// SPDX-License-Identifier: Apache-2.0
// The blocking half of peer.h: connections, bytes, messages.
#include "lib/link/peer.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "lib/link/bytes.h"

namespace omig {

namespace {

void explain(std::string* error, std::string text) {
  if (error != nullptr) *error = std::move(text);
}

Fd connect_within(const Endpoint& to, Patience& patience, std::string* error) {
  Fd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const sockaddr_in in = to.to_sockaddr();
  const auto fail = [&](int code) {
    explain(error, "cannot connect to " + to.text() + ": " + std::strerror(code));
    return Fd();
  };
  if (!fd) return fail(errno);
  if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&in), sizeof(in)) != 0) {
    if (errno != EINPROGRESS) return fail(errno);
    if (!wait_for(fd.get(), POLLOUT, patience)) return fail(errno);
    int code = 0;
    socklen_t length = sizeof(code);
    getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &code, &length);
    if (code != 0) return fail(code);
  }
  const int one = 1;
  setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
  fcntl(fd.get(), F_SETFL, fcntl(fd.get(), F_GETFL) & ~O_NONBLOCK);
  return fd;
}

bool send_within(int fd, const nlohmann::json& message, Patience& patience) {
  const std::string frame = frame_json(message);
  if (frame.empty()) {
    errno = EMSGSIZE;
    return false;
  }
  return write_until(fd, frame.data(), frame.size(), patience);
}

std::optional<nlohmann::json> receive_within(int fd, size_t max_bytes, Patience& patience) {
  u32 length = 0;
  if (!read_until(fd, &length, sizeof(length), patience)) return std::nullopt;
  if (length == 0 || length > max_bytes || length > kMaxMessageBytes) {
    errno = EMSGSIZE;
    return std::nullopt;
  }
  std::string text(length, '\0');
  if (!read_until(fd, text.data(), length, patience)) return std::nullopt;
  nlohmann::json message = nlohmann::json::parse(text, nullptr, false);
  if (message.is_discarded()) {
    errno = EBADMSG;
    return std::nullopt;
  }
  return message;
}

}  // namespace

Fd connect_tcp(const Endpoint& to, milliseconds timeout, std::string* error) {
  Patience patience(timeout);
  return connect_within(to, patience, error);
}

Fd listen_tcp(const Endpoint& at, std::string* error) {
  Fd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const sockaddr_in in = at.to_sockaddr();
  const int one = 1;
  if (!fd || setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) != 0 ||
      bind(fd.get(), reinterpret_cast<const sockaddr*>(&in), sizeof(in)) != 0 || listen(fd.get(), 128) != 0) {
    explain(error, "cannot listen at " + at.text() + ": " + std::strerror(errno));
    return {};
  }
  return fd;
}

Endpoint local_endpoint(int fd) {
  sockaddr_in in{};
  socklen_t length = sizeof(in);
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&in), &length) != 0) return {};
  return Endpoint::from_sockaddr(in);
}

bool send_json(int fd, const nlohmann::json& message, milliseconds timeout) {
  Patience patience(timeout);
  return send_within(fd, message, patience);
}

std::optional<nlohmann::json> recv_json(int fd, size_t max_bytes, milliseconds timeout) {
  Patience patience(timeout);
  return receive_within(fd, max_bytes, patience);
}

std::optional<nlohmann::json> ask_json(int fd, const nlohmann::json& request, milliseconds timeout) {
  Patience patience(timeout);
  if (!send_within(fd, request, patience)) return std::nullopt;
  return receive_within(fd, kMaxMessageBytes, patience);
}

}  // namespace omig
