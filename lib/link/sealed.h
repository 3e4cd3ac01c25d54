// SPDX-License-Identifier: Apache-2.0
// The hosted end of the links that lib/wire/link.h describes: records sealed by OpenSSL, which the engine's BearSSL
// opens; and links that outlive their connections.
#pragma once

#include <openssl/evp.h>

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "lib/link/peer.h"
#include "lib/wire/link.h"

namespace omig {

using Token = std::array<u8, wire::kTokenBytes>;

wire::Cipher best_cipher();

// One direction of a link: each record that is sealed or opened counts.
class Seal {
 public:
  // count: of the records that there have been with this key.
  Seal(std::span<const u8> key, wire::Cipher cipher, bool seals, u64 count = 0);

  // A whole record of 1 to kMaxRecord bytes, appended to `record`. `hello`: it is the first one. `received`: see
  // wire::RecordHead.
  void seal(std::span<const u8> plain, std::vector<u8>* record, const wire::Hello* hello = nullptr, u64 received = 0);
  // In place; the tag lies behind the bytes. False: it is not the record that was sealed, and nothing may be believed.
  bool open(const wire::RecordHead& head, u8* data, const wire::Hello* hello = nullptr);
  u64 count() const { return count_; }

 private:
  struct Freed {
    void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
  };
  void use_key();
  void begin(const wire::RecordHead& head, const wire::Hello* hello);

  std::unique_ptr<EVP_CIPHER_CTX, Freed> context_;
  std::array<u8, wire::kKeyBytes> key_{};
  wire::Cipher cipher_;
  bool seals_;
  u64 count_;
};

struct Seals {
  Seal to_host, from_host;
};
// Of the link that begins with this hello; `host`: for its end. Nothing: a cipher that we do not know.
std::optional<Seals> seals_of(const Token& token, const wire::Hello& hello, bool host);

constexpr size_t record_bytes(size_t plain) { return sizeof(wire::RecordHead) + plain + wire::kTagBytes; }
// Its bytes are 0 if a record does not begin so.
wire::RecordHead record_head(const u8* record);

// A link of which we are an end. Blocking; several threads may send, one receives. False: the link is at its end.
//
// Once it persists, and if the deputy has patience (Hello::patience_s), a broken connection is not the end: both calls
// wait until the deputy has come back through resume(). A thread's link waits for ever, for its deputy may sit in a
// call; the ear's, on which nobody sits, as long as the deputy tries. Whoever learns that the deputy is gone says so.
class SealedLink {
  struct State;

 public:
  SealedLink() = default;
  // The host's end, once a hello has been read from the connection: waits for the first record, which shows that the
  // other end knows the token, and leaves it in *first. No link: it does not, or says something else, and fd is kept.
  static SealedLink answer(Fd& fd, const Token& token, const wire::Hello& hello, std::vector<u8>* first,
                           milliseconds timeout);

  // What is left of a link in other hands: enough to give it another connection, not enough to keep it.
  class Trace {
   public:
    // This link, broken or not, has a new connection, `word`: answers with a Resumed there, and sends what the deputy
    // has not opened. False: the link is no more, or cannot go on from there; that is answered, too. So does an empty
    // trace, which is that of a link that there never was.
    bool resume(SealedLink word, const wire::Resume& resume) const;

   private:
    friend class SealedLink;
    static void refuse(SealedLink word);
    std::weak_ptr<State> state_;
  };
  Trace trace() const;

  bool valid() const { return state_ != nullptr; }
  explicit operator bool() const { return valid(); }
  int get() const;
  void reset() { state_.reset(); }
  // For how long, at most, its deputy is away before it comes back to it or has given it up; 0: it never comes back.
  std::chrono::seconds longest_absence() const;
  // From now on: the guest runs, and its deputy serves it. Before, both sides must know at once that a move is broken.
  void persist();
  // The deputy has nothing more to come back for: a connection that breaks is the end again, also for who waits.
  void expect_nobody();
  // Nothing more is to be sent or received; whoever waits does not any longer.
  void end();
  // For tests, what a network may do: the connection is reset.
  void reset_connection();
  // The deputy has closed its end, or will not come back.
  bool is_over() const;

  bool send(const void* data, size_t bytes);
  bool receive(void* data, size_t bytes);
  size_t receive_some(void* data, size_t most);  // at least one byte; 0: broken
  // Bytes that have come already, and stay.
  bool peek(void* data, size_t bytes);
  bool has_input();

 private:
  explicit SealedLink(std::shared_ptr<State> state) : state_(std::move(state)) {}
  bool open_next();
  bool fill(bool wait);
  std::shared_ptr<State> state_;
};

}  // namespace omig
