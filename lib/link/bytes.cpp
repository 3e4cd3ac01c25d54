// SPDX-License-Identifier: Apache-2.0
#include "lib/link/bytes.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

#include "lib/link/peer.h"

namespace omig {

bool wait_for(int fd, short events, Patience& patience) {
  pollfd entry{fd, events, 0};
  for (;;) {
    const int ready =
        patience.spend([&](milliseconds slice) { return poll(&entry, 1, static_cast<int>(slice.count())); });
    if (ready > 0) return true;
    if (ready < 0 && errno != EINTR) return false;
    if (patience.over()) {
      errno = ETIMEDOUT;
      return false;
    }
  }
}

size_t read_part(int fd, void* data, size_t bytes, Patience& patience) {
  for (;;) {
    const ssize_t got = recv(fd, data, bytes, MSG_DONTWAIT);
    if (got > 0) return static_cast<size_t>(got);
    if (got == 0) errno = 0;
    if (got == 0 || (errno != EAGAIN && errno != EINTR)) return 0;
    if (errno == EAGAIN && !wait_for(fd, POLLIN, patience)) return 0;
  }
}

bool read_until(int fd, void* data, size_t bytes, Patience& patience) {
  auto* at = static_cast<u8*>(data);
  while (bytes > 0) {
    const size_t got = read_part(fd, at, bytes, patience);
    if (got == 0) return false;
    at += got;
    bytes -= got;
  }
  return true;
}

bool write_until(int fd, const void* data, size_t bytes, Patience& patience) {
  auto* at = static_cast<const u8*>(data);
  while (bytes > 0) {
    const ssize_t put = send(fd, at, bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (put >= 0) {
      at += put;
      bytes -= static_cast<size_t>(put);
    } else if (errno == EAGAIN) {
      if (!wait_for(fd, POLLOUT, patience)) return false;
    } else if (errno != EINTR) {
      return false;
    }
  }
  return true;
}

Fd& Fd::operator=(Fd&& other) noexcept {
  if (this != &other) reset(other.release());
  return *this;
}

void Fd::reset(int fd) {
  if (fd_ >= 0) close(fd_);
  fd_ = fd;
}

bool read_exactly(int fd, void* data, size_t bytes, milliseconds timeout) {
  Patience patience(timeout);
  return read_until(fd, data, bytes, patience);
}

size_t read_some(int fd, void* data, size_t bytes, milliseconds timeout) {
  Patience patience(timeout);
  return read_part(fd, data, bytes, patience);
}

bool write_all(int fd, const void* data, size_t bytes, milliseconds timeout) {
  Patience patience(timeout);
  return write_until(fd, data, bytes, patience);
}

}  // namespace omig
