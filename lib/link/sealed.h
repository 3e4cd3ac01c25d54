// SPDX-License-Identifier: Apache-2.0
// The hosted end of the links that lib/wire/link.h describes: records sealed by OpenSSL, which the engine's BearSSL
// opens.
#pragma once

#include <openssl/evp.h>

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

  // A whole record of 1 to kMaxRecord bytes, appended to `record`. `hello`: it is the first one.
  void seal(std::span<const u8> plain, std::vector<u8>* record, const wire::Hello* hello = nullptr);
  // In place; the tag lies behind the `bytes`. False: it is not the record that was sealed, and nothing may be
  // believed.
  bool open(u8* data, u32 bytes, const wire::Hello* hello = nullptr);

 private:
  struct Freed {
    void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
  };
  void use_key();
  void begin(u32 bytes, const wire::Hello* hello);

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

constexpr size_t record_bytes(size_t plain) { return sizeof(u32) + plain + wire::kTagBytes; }
// The plain bytes of a record that begins so; 0: nonsense.
u32 record_length(const u8* record);

// A link of which we are an end. Blocking; several threads may send, one receives. False: the link is broken.
class SealedLink {
 public:
  SealedLink() = default;
  // The host's end, once a hello has been read from the connection: waits for the first record, which shows that the
  // other end knows the token, and leaves it in *first. No link: it does not, or says something else, and fd is kept.
  static SealedLink answer(Fd& fd, const Token& token, const wire::Hello& hello, std::vector<u8>* first,
                           milliseconds timeout);

  bool valid() const { return state_ != nullptr; }
  explicit operator bool() const { return valid(); }
  int get() const { return state_ ? state_->fd.get() : -1; }
  void reset() { state_.reset(); }

  bool send(const void* data, size_t bytes);
  bool receive(void* data, size_t bytes);
  size_t receive_some(void* data, size_t most);  // at least one byte; 0: broken
  // Bytes that have come already, and stay.
  bool peek(void* data, size_t bytes);
  bool has_input();

 private:
  struct State {
    State(Fd connection, Seals both, bool is_host);
    Fd fd;
    Seal out, in;
    std::mutex sending;
    std::vector<u8> record;    // on its way out
    std::vector<u8> incoming;  // [taken, plain) is in plain, [raw, end) still sealed
    size_t taken = 0, plain = 0, raw = 0, end = 0;
  };
  bool open_next();
  bool fill(bool wait);
  std::unique_ptr<State> state_;
};

}  // namespace omig
