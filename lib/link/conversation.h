// SPDX-License-Identifier: Apache-2.0
// A TLS 1.3 connection as blocking functions: how movers and hosts speak to each other.
//
// Neither has a certificate, nor the right to read one. Whoever wants to move a process to a node has its homed ask the
// homed there, and gets a *ticket*: a random name and key for one move within the next seconds. The name opens
// the target's door, in clear; the key, known to both ends from homeds' own conversation, is the pre-shared key of the
// connection's TLS handshake. So a host that is broken into knows nothing that opens another door.
//
// As in peer.h nothing waits longer than its timeout. TLS tells of everything that was changed, left out, repeated or
// put in another order on the way: the connection is then of no more use. That it was cut off shows as its end, and
// each message says how long it is. The process must ignore SIGPIPE.
#pragma once

#include <openssl/ssl.h>

#include <memory>

#include "lib/base/patience.h"
#include "lib/link/identity.h"

namespace omig {

// A mover begins anew when its program has mapped a file since it made its offer: a ticket is good for as many
// connections, one after the other.
inline constexpr u32 kMoveAttempts = 4;

struct Ticket {
  std::array<u8, 16> name{};
  std::array<u8, 32> key{};

  static Ticket fresh();
  nlohmann::json to_json() const;  // holds the key
  static std::optional<Ticket> from_json(const nlohmann::json& json);
};

// What a caller says in clear, before the handshake.
inline constexpr u32 kTicketMagic = 0x47494d4f;  // "OMIG"; a TLS handshake begins with another byte
struct TicketHello {
  u32 magic = kTicketMagic;
  u32 version = 1;  // of this hello only; nodes compare wire::kVersion
  std::array<u8, 16> name{};
};
static_assert(sizeof(TicketHello) == 24);

// Where bytes come from; exactly `bytes` or false.
class ByteSource {
 public:
  virtual ~ByteSource() = default;
  virtual bool read(void* data, size_t bytes, milliseconds timeout) = 0;
  bool read(void* data, size_t bytes) { return read(data, bytes, kPeerTimeout); }
};

class Conversation final : public ByteSource {
 public:
  Conversation() = default;  // none

  // By ticket: as the caller, who connects, and as the answerer, who has read the hello. Not valid: *error says why.
  static Conversation call(const Endpoint& to, const Ticket& ticket, milliseconds timeout, std::string* error);
  static Conversation answer(Fd fd, const Ticket& ticket, milliseconds timeout, std::string* error);
  // As members of a cluster.
  static Conversation call(const Endpoint& to, const Identity& identity, milliseconds timeout, std::string* error);
  static Conversation answer(Fd fd, const Identity& identity, milliseconds timeout, std::string* error);

  bool valid() const { return fd_.valid(); }
  explicit operator bool() const { return valid(); }
  int fd() const { return fd_.get(); }
  void end() { *this = Conversation(); }

  // False: end of stream, error, timeout (errno is 0, the error's, ETIMEDOUT).
  bool read(void* data, size_t bytes, milliseconds timeout) override;
  using ByteSource::read;
  // What has come, at least one byte; 0 in the same cases.
  size_t read_some(void* data, size_t bytes, milliseconds timeout = kPeerTimeout);
  bool write(const void* data, size_t bytes, milliseconds timeout = kPeerTimeout);
  bool send(const nlohmann::json& message, milliseconds timeout = kPeerTimeout);
  std::optional<nlohmann::json> receive(size_t max_bytes = kMaxMessageBytes, milliseconds timeout = kPeerTimeout);

 private:
  struct Ends {
    void operator()(SSL* ssl) const { SSL_free(ssl); }
  };
  struct How {
    SSL_CTX* context;
    bool calls;
    const Ticket* ticket;
    milliseconds timeout;  // for the handshake
  };
  static Conversation over(Fd fd, const How& how, std::string* error);
  bool wait(int result, Patience& patience);
  size_t read_part(void* data, size_t bytes, Patience& patience);
  bool read_until(void* data, size_t bytes, Patience& patience);

  std::unique_ptr<SSL, Ends> ssl_;
  Fd fd_;
};

}  // namespace omig
