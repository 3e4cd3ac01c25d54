// SPDX-License-Identifier: Apache-2.0
// The blocking half of peer.h. Every wait is a poll with what is left of the caller's time, and every transfer is
// MSG_DONTWAIT, so that a peer that trickles bytes cannot hold us longer than one that sends none.
#include "lib/link/peer.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace omig {

namespace {

using Clock = std::chrono::steady_clock;

void explain(std::string* error, std::string text) {
  if (error != nullptr) *error = std::move(text);
}

// True: ready. False: errno says why (ETIMEDOUT at the deadline).
bool wait_for(int fd, short events, Clock::time_point deadline) {
  for (;;) {
    const auto left = std::chrono::ceil<milliseconds>(deadline - Clock::now()).count();
    pollfd entry{fd, events, 0};
    const int ready = poll(&entry, 1, left <= 0 ? 0 : static_cast<int>(left));
    if (ready > 0) return true;
    if (ready == 0 && Clock::now() >= deadline) {
      errno = ETIMEDOUT;
      return false;
    }
    if (ready < 0 && errno != EINTR) return false;
  }
}

bool read_until(int fd, void* data, size_t bytes, Clock::time_point deadline) {
  auto* at = static_cast<u8*>(data);
  while (bytes > 0) {
    const ssize_t got = recv(fd, at, bytes, MSG_DONTWAIT);
    if (got > 0) {
      at += got;
      bytes -= static_cast<size_t>(got);
    } else if (got == 0) {
      errno = 0;
      return false;
    } else if (errno == EAGAIN) {
      if (!wait_for(fd, POLLIN, deadline)) return false;
    } else if (errno != EINTR) {
      return false;
    }
  }
  return true;
}

bool write_until(int fd, const void* data, size_t bytes, Clock::time_point deadline) {
  auto* at = static_cast<const u8*>(data);
  while (bytes > 0) {
    const ssize_t put = send(fd, at, bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (put >= 0) {
      at += put;
      bytes -= static_cast<size_t>(put);
    } else if (errno == EAGAIN) {
      if (!wait_for(fd, POLLOUT, deadline)) return false;
    } else if (errno != EINTR) {
      return false;
    }
  }
  return true;
}

std::string ended_because() {
  return errno == 0 ? "it closed the connection (is its cluster.key the same as ours?)" : std::strerror(errno);
}

}  // namespace

Fd& Fd::operator=(Fd&& other) noexcept {
  if (this != &other) reset(other.release());
  return *this;
}

void Fd::reset(int fd) {
  if (fd_ >= 0) close(fd_);
  fd_ = fd;
}

bool read_exactly(int fd, void* data, size_t bytes, milliseconds timeout) {
  return read_until(fd, data, bytes, Clock::now() + timeout);
}

bool write_all(int fd, const void* data, size_t bytes, milliseconds timeout) {
  return write_until(fd, data, bytes, Clock::now() + timeout);
}

Fd connect_tcp(const Endpoint& to, milliseconds timeout, std::string* error) {
  Fd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const sockaddr_in in = to.to_sockaddr();
  const auto fail = [&](int code) {
    explain(error, "cannot connect to " + to.text() + ": " + std::strerror(code));
    return Fd();
  };
  if (!fd) return fail(errno);
  if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&in), sizeof(in)) != 0) {
    if (errno != EINPROGRESS) return fail(errno);
    if (!wait_for(fd.get(), POLLOUT, Clock::now() + timeout)) return fail(errno);
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

bool greet_peer(int fd, const ClusterKey& key, milliseconds timeout, std::string* error) {
  const auto deadline = Clock::now() + timeout;
  ClientHello hello;
  fill_random(hello.nonce.data(), hello.nonce.size());
  ServerHello answer;
  if (!write_until(fd, &hello, sizeof(hello), deadline) || !read_until(fd, &answer, sizeof(answer), deadline)) {
    explain(error, "no handshake: " + ended_because());
    return false;
  }
  if (!mac_equal(answer.mac, handshake_mac(key, "server", hello.nonce, answer.nonce))) {
    explain(error, "no handshake: the other side does not know our cluster.key");
    return false;
  }
  const Mac proof = handshake_mac(key, "client", hello.nonce, answer.nonce);
  u8 accepted = 0;
  if (!write_until(fd, proof.data(), proof.size(), deadline) || !read_until(fd, &accepted, 1, deadline) ||
      accepted != 1) {
    explain(error, "no handshake: " + ended_because());
    return false;
  }
  return true;
}

bool accept_peer(int fd, const ClusterKey& key, milliseconds timeout, std::string* error) {
  const auto deadline = Clock::now() + timeout;
  ClientHello hello;
  if (!read_until(fd, &hello, sizeof(hello), deadline)) {
    explain(error, "no handshake: " + ended_because());
    return false;
  }
  if (hello.magic != kHandshakeMagic || hello.version != kHandshakeVersion) {
    explain(error, "no handshake: the other side does not speak our protocol");
    return false;
  }
  ServerHello answer;
  fill_random(answer.nonce.data(), answer.nonce.size());
  answer.mac = handshake_mac(key, "server", hello.nonce, answer.nonce);
  Mac proof{};
  if (!write_until(fd, &answer, sizeof(answer), deadline) || !read_until(fd, proof.data(), proof.size(), deadline)) {
    explain(error, "no handshake: " + ended_because());
    return false;
  }
  if (!mac_equal(proof, handshake_mac(key, "client", hello.nonce, answer.nonce))) {
    explain(error, "no handshake: the other side does not know our cluster.key");
    return false;
  }
  const u8 accepted = 1;
  return write_until(fd, &accepted, 1, deadline);
}

Fd connect_peer(const Endpoint& to, const ClusterKey& key, milliseconds timeout, std::string* error) {
  const auto deadline = Clock::now() + timeout;
  Fd fd = connect_tcp(to, timeout, error);
  if (!fd) return fd;
  const auto left = std::chrono::ceil<milliseconds>(deadline - Clock::now());
  std::string why;
  if (!greet_peer(fd.get(), key, std::max(left, milliseconds(1)), &why)) {
    explain(error, to.text() + ": " + why);
    return {};
  }
  return fd;
}

bool send_json(int fd, const nlohmann::json& message, milliseconds timeout) {
  const std::string frame = frame_json(message);
  if (frame.empty()) {
    errno = EMSGSIZE;
    return false;
  }
  return write_all(fd, frame.data(), frame.size(), timeout);
}

std::optional<nlohmann::json> recv_json(int fd, size_t max_bytes, milliseconds timeout) {
  const auto deadline = Clock::now() + timeout;
  u32 length = 0;
  if (!read_until(fd, &length, sizeof(length), deadline)) return std::nullopt;
  if (length == 0 || length > max_bytes || length > kMaxMessageBytes) {
    errno = EMSGSIZE;
    return std::nullopt;
  }
  std::string text(length, '\0');
  if (!read_until(fd, text.data(), length, deadline)) return std::nullopt;
  nlohmann::json message = nlohmann::json::parse(text, nullptr, false);
  if (message.is_discarded()) {
    errno = EBADMSG;
    return std::nullopt;
  }
  return message;
}

std::optional<nlohmann::json> ask_json(int fd, const nlohmann::json& request, milliseconds timeout) {
  const auto deadline = Clock::now() + timeout;
  if (!send_json(fd, request, timeout)) return std::nullopt;
  const auto left = std::chrono::ceil<milliseconds>(deadline - Clock::now());
  return recv_json(fd, kMaxMessageBytes, std::max(left, milliseconds(1)));
}

}  // namespace omig
