// SPDX-License-Identifier: Apache-2.0
// Plain TCP: addresses, connections and bytes on descriptors; and what a JSON message looks like, whatever carries it.
// Who is at the other end, and that nobody listens, is the business of identity.h and conversation.h.
//
// A message is a u32 little-endian length (at most kMaxMessageBytes) and that many bytes of JSON.
//
// The functions never wait longer than their timeout (as lib/base/patience.h counts: while the machine stands still,
// nothing is lost), whatever the descriptor's O_NONBLOCK says, and never raise SIGPIPE.
#pragma once

#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "lib/base/types.h"

struct sockaddr_in;

namespace omig {

using std::chrono::milliseconds;

inline constexpr size_t kMaxMessageBytes = 1 << 20;
inline constexpr milliseconds kPeerTimeout{10'000};

// Owns one descriptor.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept;
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd() { reset(); }

  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  explicit operator bool() const { return valid(); }
  int release() { return std::exchange(fd_, -1); }
  void reset(int fd = -1);

 private:
  int fd_ = -1;
};

// An IPv4 address and a port.
struct Endpoint {
  std::array<u8, 4> address{};
  u16 port = 0;

  static std::optional<Endpoint> parse(std::string_view text, u16 default_port = 0);  // "A.B.C.D:PORT" or "A.B.C.D"
  static Endpoint from_sockaddr(const sockaddr_in& in);
  std::string address_text() const;  // "A.B.C.D"
  std::string text() const;          // "A.B.C.D:PORT"
  sockaddr_in to_sockaddr() const;
  auto operator<=>(const Endpoint&) const = default;
};

// CLOEXEC, TCP_NODELAY, blocking.
Fd connect_tcp(const Endpoint& to, milliseconds timeout, std::string* error = nullptr);
// CLOEXEC, SO_REUSEADDR. Port 0 lets the kernel choose; local_endpoint tells. `multipath`: MPTCP, where this kernel has
// it; who comes by TCP is let in as well, and gets a socket of that.
Fd listen_tcp(const Endpoint& at, std::string* error = nullptr, bool multipath = false);
// Whether links can be MPTCP here. A kernel on whose MPTCP sockets no keepalive can be set does not count: nobody would
// notice a node that vanished.
bool has_multipath();
Endpoint local_endpoint(int fd);

// Exactly `bytes` or false (end of stream, error, timeout: errno is 0, the error's, ETIMEDOUT).
bool read_exactly(int fd, void* data, size_t bytes, milliseconds timeout = kPeerTimeout);
// What has come, at least one byte; 0 in the same cases.
size_t read_some(int fd, void* data, size_t bytes, milliseconds timeout = kPeerTimeout);
bool write_all(int fd, const void* data, size_t bytes, milliseconds timeout = kPeerTimeout);

void fill_random(void* data, size_t bytes);             // from the kernel through libcrypto; aborts if there is none
std::string frame_json(const nlohmann::json& message);  // length and text in one string; empty if too large
// The next message of what `read(data, bytes)` reads; not a byte more is read. Nothing: that was false, or errno says
// EMSGSIZE or EBADMSG.
template <class Read>
std::optional<nlohmann::json> message_from(const Read& read, size_t max_bytes) {
  u32 length = 0;
  if (!read(&length, sizeof length)) return std::nullopt;
  if (length == 0 || length > max_bytes || length > kMaxMessageBytes) {
    errno = EMSGSIZE;
    return std::nullopt;
  }
  std::string text(length, '\0');
  if (!read(text.data(), length)) return std::nullopt;
  nlohmann::json message = nlohmann::json::parse(text, nullptr, false);
  if (!message.is_discarded()) return message;
  errno = EBADMSG;
  return std::nullopt;
}
std::string hex_encode(const void* data, size_t bytes);
bool hex_decode(std::string_view text, void* data, size_t bytes);  // false unless exactly 2 * bytes hex digits

}  // namespace omig
