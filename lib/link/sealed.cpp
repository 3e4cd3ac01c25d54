// SPDX-License-Identifier: Apache-2.0
#include "lib/link/sealed.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <stdexcept>

namespace omig {

namespace {

using Nonce = std::array<u8, wire::kNonceBytes>;
// As much as fits into one record besides what has begun of the next.
constexpr size_t kIncomingBytes = 2 * record_bytes(wire::kMaxRecord);

void must(bool done) {
  if (!done) throw std::runtime_error("OpenSSL: out of memory");
}

// ChaCha20's from counter 0 on.
void key_stream(std::span<const u8> key, const Nonce& nonce, std::span<u8> to) {
  u8 iv[4 + wire::kNonceBytes] = {};  // OpenSSL: the counter, then the nonce
  std::copy(nonce.begin(), nonce.end(), iv + 4);
  std::unique_ptr<EVP_CIPHER_CTX, decltype(&EVP_CIPHER_CTX_free)> context(EVP_CIPHER_CTX_new(), &EVP_CIPHER_CTX_free);
  std::ranges::fill(to, u8{0});
  int bytes = 0;
  must(context && EVP_EncryptInit_ex(context.get(), EVP_chacha20(), nullptr, key.data(), iv) == 1 &&
       EVP_EncryptUpdate(context.get(), to.data(), &bytes, to.data(), static_cast<int>(to.size())) == 1);
}

const EVP_CIPHER* evp_of(wire::Cipher cipher) {
  return cipher == wire::Cipher::aes128_gcm ? EVP_aes_128_gcm() : EVP_chacha20_poly1305();
}

bool send_plainly(int fd, const u8* data, size_t bytes) {
  while (bytes > 0) {
    const ssize_t sent = ::send(fd, data, bytes, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return false;
    data += sent;
    bytes -= static_cast<size_t>(sent);
  }
  return true;
}

}  // namespace

wire::Cipher best_cipher() {
  const bool aes = __builtin_cpu_supports("aes") && __builtin_cpu_supports("pclmul");
  return aes ? wire::Cipher::aes128_gcm : wire::Cipher::chacha20_poly1305;
}

Seal::Seal(std::span<const u8> key, wire::Cipher cipher, bool seals, u64 count)
    : context_(EVP_CIPHER_CTX_new()), cipher_(cipher), seals_(seals), count_(count) {
  std::copy_n(key.begin(), key_.size(), key_.begin());
  use_key();
}

void Seal::use_key() {
  must(context_ &&
       EVP_CipherInit_ex(context_.get(), evp_of(cipher_), nullptr, key_.data(), nullptr, seals_ ? 1 : 0) == 1);
}

// The next record: its nonce is set, what is authenticated in clear has been taken in.
void Seal::begin(u32 bytes, const wire::Hello* hello) {
  if (count_ != 0 && count_ % wire::kRecordsPerKey == 0) {
    Nonce all;
    all.fill(0xff);
    std::array<u8, wire::kKeyBytes> next;
    key_stream(key_, all, next);
    key_ = next;
    use_key();
  }
  Nonce nonce{};
  std::memcpy(nonce.data() + nonce.size() - sizeof count_, &count_, sizeof count_);
  ++count_;
  int ignored = 0;
  must(EVP_CipherInit_ex(context_.get(), nullptr, nullptr, nullptr, nonce.data(), -1) == 1 &&
       EVP_CipherUpdate(context_.get(), nullptr, &ignored, reinterpret_cast<const u8*>(&bytes), sizeof bytes) == 1);
  if (hello != nullptr)
    must(EVP_CipherUpdate(context_.get(), nullptr, &ignored, reinterpret_cast<const u8*>(hello), sizeof *hello) == 1);
}

void Seal::seal(std::span<const u8> plain, std::vector<u8>* record, const wire::Hello* hello) {
  const u32 bytes = static_cast<u32>(plain.size());
  const size_t at = record->size();
  record->resize(at + record_bytes(bytes));
  u8* const to = record->data() + at;
  std::memcpy(to, &bytes, sizeof bytes);
  begin(bytes, hello);
  int done = 0, rest = 0;
  must(EVP_CipherUpdate(context_.get(), to + sizeof bytes, &done, plain.data(), static_cast<int>(bytes)) == 1 &&
       EVP_CipherFinal_ex(context_.get(), to + sizeof bytes + done, &rest) == 1 &&
       EVP_CIPHER_CTX_ctrl(context_.get(), EVP_CTRL_AEAD_GET_TAG, wire::kTagBytes, to + sizeof bytes + bytes) == 1);
}

bool Seal::open(u8* data, u32 bytes, const wire::Hello* hello) {
  begin(bytes, hello);
  int done = 0, rest = 0;
  return EVP_CipherUpdate(context_.get(), data, &done, data, static_cast<int>(bytes)) == 1 &&
         EVP_CIPHER_CTX_ctrl(context_.get(), EVP_CTRL_AEAD_SET_TAG, wire::kTagBytes, data + bytes) == 1 &&
         EVP_CipherFinal_ex(context_.get(), data + done, &rest) == 1;
}

std::optional<Seals> seals_of(const Token& token, const wire::Hello& hello, bool host) {
  if (hello.cipher != wire::Cipher::aes128_gcm && hello.cipher != wire::Cipher::chacha20_poly1305) return std::nullopt;
  Nonce nonce;
  std::copy_n(hello.nonce, nonce.size(), nonce.begin());
  std::array<u8, 2 * wire::kKeyBytes> keys;
  key_stream(token, nonce, keys);
  const std::span<const u8> all(keys);
  return Seals{Seal(all.first(wire::kKeyBytes), hello.cipher, !host),
               Seal(all.last(wire::kKeyBytes), hello.cipher, host)};
}

u32 record_length(const u8* record) {
  u32 length = 0;
  std::memcpy(&length, record, sizeof length);
  return length <= wire::kMaxRecord ? length : 0;
}

SealedLink::State::State(Fd connection, Seals both, bool is_host)
    : fd(std::move(connection)),
      out(std::move(is_host ? both.from_host : both.to_host)),
      in(std::move(is_host ? both.to_host : both.from_host)),
      incoming(kIncomingBytes) {}

SealedLink SealedLink::answer(Fd& fd, const Token& token, const wire::Hello& hello, std::vector<u8>* first,
                              milliseconds timeout) {
  SealedLink link;
  auto seals = seals_of(token, hello, true);
  u8 head[sizeof(u32)];
  if (!seals || !read_exactly(fd.get(), head, sizeof head, timeout)) return link;
  const u32 length = record_length(head);
  if (length == 0 || length != hello.extra_bytes) return link;
  first->resize(length + wire::kTagBytes);
  if (!read_exactly(fd.get(), first->data(), first->size(), timeout) ||
      !seals->to_host.open(first->data(), length, &hello))
    return link;
  first->resize(length);
  link.state_ = std::make_unique<State>(std::move(fd), std::move(*seals), true);
  return link;
}

bool SealedLink::send(const void* data, size_t bytes) {
  if (!state_) return false;
  State& s = *state_;
  const std::lock_guard lock(s.sending);
  const u8* at = static_cast<const u8*>(data);
  while (bytes > 0) {
    const size_t here = std::min<size_t>(bytes, wire::kMaxRecord);
    s.record.clear();
    s.out.seal({at, here}, &s.record);
    if (!send_plainly(s.fd.get(), s.record.data(), s.record.size())) return false;
    at += here;
    bytes -= here;
  }
  return true;
}

// The next record, if it has come as a whole. What has been taken of the last one is over.
bool SealedLink::open_next() {
  State& s = *state_;
  if (s.end - s.raw < sizeof(u32)) return false;
  const u32 length = record_length(s.incoming.data() + s.raw);
  if (length == 0 || s.end - s.raw < record_bytes(length)) return false;
  u8* const data = s.incoming.data() + s.raw + sizeof(u32);
  if (!s.in.open(data, length)) {
    shutdown(s.fd.get(), SHUT_RDWR);
    s.raw = s.end = 0;
    return false;
  }
  s.taken = s.raw + sizeof(u32);
  s.plain = s.taken + length;
  s.raw += record_bytes(length);
  return true;
}

bool SealedLink::fill(bool wait) {
  State& s = *state_;
  while (s.taken == s.plain) {
    if (open_next()) return true;
    if (s.end - s.raw >= sizeof(u32) && record_length(s.incoming.data() + s.raw) == 0) return false;  // nonsense
    std::memmove(s.incoming.data(), s.incoming.data() + s.raw, s.end - s.raw);
    s.end -= s.raw;
    s.raw = s.taken = s.plain = 0;
    const ssize_t got = recv(s.fd.get(), s.incoming.data() + s.end, s.incoming.size() - s.end, wait ? 0 : MSG_DONTWAIT);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    s.end += static_cast<size_t>(got);
  }
  return true;
}

size_t SealedLink::receive_some(void* data, size_t most) {
  if (!state_ || !fill(true)) return 0;
  State& s = *state_;
  const size_t here = std::min(most, s.plain - s.taken);
  std::memcpy(data, s.incoming.data() + s.taken, here);
  s.taken += here;
  return here;
}

bool SealedLink::receive(void* data, size_t bytes) {
  u8* at = static_cast<u8*>(data);
  while (bytes > 0) {
    const size_t got = receive_some(at, bytes);
    if (got == 0) return false;
    at += got;
    bytes -= got;
  }
  return true;
}

bool SealedLink::has_input() { return state_ && (state_->taken < state_->plain || open_next()); }

bool SealedLink::peek(void* data, size_t bytes) {
  if (!state_ || !fill(false) || state_->plain - state_->taken < bytes) return false;
  std::memcpy(data, state_->incoming.data() + state_->taken, bytes);
  return true;
}

}  // namespace omig
