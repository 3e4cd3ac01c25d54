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

Fd multipath_socket() {
  Fd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_MPTCP));
  const int seconds = 10;
  if (fd && setsockopt(fd.get(), IPPROTO_TCP, TCP_KEEPIDLE, &seconds, sizeof seconds) != 0) fd.reset();
  return fd;
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

}  // namespace

Fd connect_tcp(const Endpoint& to, milliseconds timeout, std::string* error) {
  Patience patience(timeout);
  return connect_within(to, patience, error);
}

bool has_multipath() { return multipath_socket().valid(); }

Fd listen_tcp(const Endpoint& at, std::string* error, bool multipath) {
  Fd fd = multipath ? multipath_socket() : Fd();
  if (!fd) fd.reset(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
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

}  // namespace omig
