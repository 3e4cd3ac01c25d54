// SPDX-License-Identifier: Apache-2.0
#include "lib/link/sealed.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <utility>

namespace omig {

namespace {

using Nonce = std::array<u8, wire::kNonceBytes>;
// As much as fits into one record besides what has begun of the next.
constexpr size_t kIncomingBytes = 2 * record_bytes(wire::kMaxRecord);
// Of records that are kept for a deputy that may come back. More are in flight only while a program's memory goes home.
constexpr size_t kMostKept = 64u << 20, kKeptAtRest = 1u << 20;
// How much later than we a deputy may see that its connection is broken: both have the same keepalive (channel.cpp).
constexpr std::chrono::seconds kKeepaliveTakes{30};
// Reset: the deputy's node is there and says that it knows nothing of the connection. A deputy that is alive is told
// the same by us, at its next keepalive.
constexpr std::chrono::seconds kAfterReset{15};

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

// After recv(2) has returned 0. The error of a connection that broke is told to one caller only; for the next it looks
// like the orderly end, but not to poll(2): there one side is closed, here both are. (TCP_INFO would do for TCP; of
// MPTCP it tells the first subflow's state.)
bool has_broken(int fd) {
  pollfd state{fd, 0, 0};
  return poll(&state, 1, 0) == 1 && (state.revents & POLLHUP) != 0;
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
void Seal::begin(const wire::RecordHead& head, const wire::Hello* hello) {
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
       EVP_CipherUpdate(context_.get(), nullptr, &ignored, reinterpret_cast<const u8*>(&head), sizeof head) == 1);
  if (hello != nullptr)
    must(EVP_CipherUpdate(context_.get(), nullptr, &ignored, reinterpret_cast<const u8*>(hello), sizeof *hello) == 1);
}

void Seal::seal(std::span<const u8> plain, std::vector<u8>* record, const wire::Hello* hello, u64 received) {
  const wire::RecordHead head{static_cast<u32>(plain.size()), static_cast<u32>(received)};
  const size_t at = record->size();
  record->resize(at + record_bytes(head.bytes));
  u8* const to = record->data() + at;
  std::memcpy(to, &head, sizeof head);
  begin(head, hello);
  u8* const text = to + sizeof head;
  int done = 0, rest = 0;
  must(EVP_CipherUpdate(context_.get(), text, &done, plain.data(), static_cast<int>(head.bytes)) == 1 &&
       EVP_CipherFinal_ex(context_.get(), text + done, &rest) == 1 &&
       EVP_CIPHER_CTX_ctrl(context_.get(), EVP_CTRL_AEAD_GET_TAG, wire::kTagBytes, text + head.bytes) == 1);
}

bool Seal::open(const wire::RecordHead& head, u8* data, const wire::Hello* hello) {
  begin(head, hello);
  int done = 0, rest = 0;
  return EVP_CipherUpdate(context_.get(), data, &done, data, static_cast<int>(head.bytes)) == 1 &&
         EVP_CIPHER_CTX_ctrl(context_.get(), EVP_CTRL_AEAD_SET_TAG, wire::kTagBytes, data + head.bytes) == 1 &&
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

wire::RecordHead record_head(const u8* record) {
  wire::RecordHead head;
  std::memcpy(&head, record, sizeof head);
  if (head.bytes > wire::kMaxRecord) head.bytes = 0;
  return head;
}

// Locks, taken in this order: `coming_back` by whoever brings another connection; `sending` guards what goes out and
// all that makes a connection be another one; `opening` what has been opened. The last two are two, for a thread that
// waits in send(2) must not keep another from opening what has come.
struct SealedLink::State {
  State(Fd connection, Seals both, bool is_host, const wire::Hello& hello)
      : fd(std::move(connection)),
        number(fd.get()),
        role(hello.role),
        promised(hello.patience_s),
        out(std::move(is_host ? both.from_host : both.to_host)),
        in(std::move(is_host ? both.to_host : both.from_host)),
        opened(is_host ? 1 : 0),
        source(number),
        incoming(kIncomingBytes) {}

  Fd fd;                    // changed with both locks held
  std::atomic<int> number;  // of fd
  const wire::Role role;
  const std::chrono::seconds promised;
  std::atomic<std::chrono::seconds> patience{};

  std::mutex coming_back, sending, opening;
  std::condition_variable changed;
  std::atomic<u64> connection = 0;  // counts them
  std::atomic<u64> heard = 0;       // the one by which the last record came
  std::atomic<u32> resuming = 0;    // another one is about to replace it
  std::atomic<bool> over = false;

  Seal out;
  u32 attempt = 0;       // of the deputy to come back, the last one
  std::vector<u8> kept;  // sealed records that the deputy may not have opened
  u64 kept_first = 0;    // the number of the first
  std::atomic<u32> acknowledged = 0;

  Seal in;
  std::atomic<u64> opened;   // records; changed with `opening` held
  u64 seen = 0;              // connection that `incoming` comes from
  int source;                // and its descriptor
  std::vector<Fd> left;      // earlier connections, until who receives has noticed
  std::vector<u8> incoming;  // [taken, plain) is in plain, [raw, end) still sealed
  size_t taken = 0, plain = 0, raw = 0, end = 0;

  bool keeps() const { return patience.load().count() != 0; }
  void forget_acknowledged(u32 number);
  bool await_another(std::unique_lock<std::mutex>& lock, u64 than, bool was_reset);
  bool await_another(u64 than, bool was_reset) {
    std::unique_lock lock(sending);
    return await_another(lock, than, was_reset);
  }
};

// With `sending` held.
void SealedLink::State::forget_acknowledged(u32 number) {
  size_t gone = 0;
  for (; gone < kept.size() && static_cast<i32>(number - static_cast<u32>(kept_first)) > 0; ++kept_first)
    gone += record_bytes(record_head(kept.data() + gone).bytes);
  if (gone == kept.size() && kept.capacity() > kKeptAtRest)
    std::vector<u8>().swap(kept);
  else
    kept.erase(kept.begin(), kept.begin() + static_cast<std::ptrdiff_t>(gone));
}

// The connection `than` is broken. True: there is another one.
//
// A reset of one by which nothing came is no word of the deputy's node about the deputy: that has given the connection
// up because our answer did not reach it in time, and tries again.
bool SealedLink::State::await_another(std::unique_lock<std::mutex>& lock, u64 than, bool was_reset) {
  const auto decided = [&] { return over || connection != than || (!keeps() && resuming == 0); };
  if (role == wire::Role::ear) {
    const std::chrono::seconds tries = patience;
    changed.wait_for(lock, was_reset && heard == than ? std::min(tries, kAfterReset) : tries + kKeepaliveTakes,
                     decided);
  } else {
    changed.wait(lock, decided);
  }
  if (connection == than) over = true;
  return !over;
}

SealedLink::Trace SealedLink::trace() const {
  Trace trace;
  trace.state_ = state_;
  return trace;
}

SealedLink SealedLink::answer(Fd& fd, const Token& token, const wire::Hello& hello, std::vector<u8>* first,
                              milliseconds timeout) {
  auto seals = seals_of(token, hello, true);
  u8 begin[sizeof(wire::RecordHead)];
  if (!seals || !read_exactly(fd.get(), begin, sizeof begin, timeout)) return {};
  const wire::RecordHead head = record_head(begin);
  if (head.bytes == 0 || head.bytes != hello.extra_bytes) return {};
  first->resize(head.bytes + wire::kTagBytes);
  if (!read_exactly(fd.get(), first->data(), first->size(), timeout) ||
      !seals->to_host.open(head, first->data(), &hello))
    return {};
  first->resize(head.bytes);
  return SealedLink(std::make_shared<State>(std::move(fd), std::move(*seals), true, hello));
}

int SealedLink::get() const { return state_ ? state_->number.load() : -1; }

std::chrono::seconds SealedLink::longest_absence() const {
  const std::chrono::seconds tries = state_ ? state_->promised : std::chrono::seconds(0);
  return tries.count() == 0 ? tries : tries + kKeepaliveTakes;
}

void SealedLink::persist() { state_->patience = state_->promised; }

void SealedLink::expect_nobody() {
  if (!state_) return;
  const std::lock_guard lock(state_->sending);
  state_->patience = std::chrono::seconds(0);
  state_->changed.notify_all();
}

void SealedLink::end() {
  if (!state_) return;
  state_->over = true;
  {
    const std::lock_guard lock(state_->opening);
    shutdown(state_->number, SHUT_RDWR);  // who sends comes back, and frees that lock
  }
  const std::lock_guard lock(state_->sending);  // who waits has seen `over`, or is woken
  state_->changed.notify_all();
}

void SealedLink::reset_connection() {
  const std::lock_guard lock(state_->opening);
  const sockaddr none{};  // AF_UNSPEC: TCP says RST
  connect(state_->number, &none, sizeof none);
}

bool SealedLink::is_over() const {
  if (!state_ || state_->over) return true;
  const std::lock_guard lock(state_->opening);
  char next;
  const ssize_t got = recv(state_->number, &next, 1, MSG_PEEK | MSG_DONTWAIT);
  if (got == 0) return state_->resuming == 0 && !has_broken(state_->number);
  return got < 0 && errno != EAGAIN && errno != EINTR && !state_->keeps();
}

void SealedLink::Trace::refuse(SealedLink word) {
  const wire::Resumed answer{wire::kNoSuchLink};
  word.send(&answer, sizeof answer);
}

bool SealedLink::Trace::resume(SealedLink word, const wire::Resume& resume) const {
  const std::shared_ptr<State> state = state_.lock();
  if (!state || !state->keeps()) {
    refuse(std::move(word));
    return false;
  }
  State& s = *state;
  const std::lock_guard one(s.coming_back);
  if (resume.attempt <= s.attempt) return false;  // it has lain about, and the deputy has left it
  s.attempt = resume.attempt;
  ++s.resuming;
  {
    const std::lock_guard second(s.opening);
    shutdown(s.number, SHUT_RDWR);  // the deputy has left this connection: who is in it shall wait for the new one
  }
  const std::lock_guard lock(s.sending);
  const u64 sent = s.out.count();
  bool known = !s.over && resume.received <= sent;
  if (known) {
    s.forget_acknowledged(static_cast<u32>(resume.received));
    known = s.kept.empty() ? resume.received == sent : s.kept_first == resume.received;
  }
  if (!known) {
    s.over = true;
    --s.resuming;
    s.changed.notify_all();
    refuse(std::move(word));
    return false;
  }
  wire::Resumed resumed;
  {
    const std::lock_guard second(s.opening);
    resumed.received = s.opened;
    s.left.push_back(std::exchange(s.fd, std::move(word.state_->fd)));
    s.number = s.fd.get();
    ++s.connection;
    --s.resuming;
  }
  // Should one of these fail, the new connection is broken, too: who uses it will notice, and the deputy comes again.
  word.state_->number = s.number.load();
  if (word.send(&resumed, sizeof resumed)) send_plainly(s.number, s.kept.data(), s.kept.size());
  s.changed.notify_all();
  return true;
}

bool SealedLink::send(const void* data, size_t bytes) {
  if (!state_) return false;
  State& s = *state_;
  std::unique_lock lock(s.sending);
  const u8* at = static_cast<const u8*>(data);
  while (bytes > 0) {
    if (s.over) return false;
    const size_t here = std::min<size_t>(bytes, wire::kMaxRecord);
    s.forget_acknowledged(s.acknowledged);
    // What is not kept cannot be sent again: a connection that breaks then is the end.
    if (!s.keeps() || s.kept.size() > kMostKept) s.kept.clear();
    if (s.kept.empty()) s.kept_first = s.out.count();
    const size_t from = s.kept.size();
    s.out.seal({at, here}, &s.kept, nullptr, s.opened);
    const u64 connection = s.connection;
    // Another connection begins with all that is kept.
    if (!send_plainly(s.number, s.kept.data() + from, s.kept.size() - from) &&
        !s.await_another(lock, connection, errno == ECONNRESET || errno == EPIPE))
      return false;
    at += here;
    bytes -= here;
  }
  return true;
}

// The next record, if it has come as a whole. What has been taken of the last one is over.
bool SealedLink::open_next() {
  State& s = *state_;
  const std::lock_guard lock(s.opening);
  if (s.seen != s.connection) {  // what had come and was not opened comes again
    s.seen = s.connection;
    s.source = s.number;
    s.left.clear();
    s.end = s.raw;
  }
  if (s.end - s.raw < sizeof(wire::RecordHead)) return false;
  const wire::RecordHead head = record_head(s.incoming.data() + s.raw);
  if (head.bytes == 0 || s.end - s.raw < record_bytes(head.bytes)) return false;
  u8* const data = s.incoming.data() + s.raw + sizeof head;
  if (!s.in.open(head, data)) {
    s.over = true;
    shutdown(s.fd.get(), SHUT_RDWR);
    s.raw = s.end = 0;
    return false;
  }
  ++s.opened;
  s.heard = s.seen;
  s.acknowledged = head.received;
  s.taken = s.raw + sizeof head;
  s.plain = s.taken + head.bytes;
  s.raw += record_bytes(head.bytes);
  return true;
}

bool SealedLink::fill(bool wait) {
  State& s = *state_;
  while (s.taken == s.plain) {
    if (open_next()) return true;
    if (s.over) return false;
    if (s.end - s.raw >= sizeof(wire::RecordHead) && record_head(s.incoming.data() + s.raw).bytes == 0)
      return false;  // nonsense
    std::memmove(s.incoming.data(), s.incoming.data() + s.raw, s.end - s.raw);
    s.end -= s.raw;
    s.raw = s.taken = s.plain = 0;
    const ssize_t got = recv(s.source, s.incoming.data() + s.end, s.incoming.size() - s.end, wait ? 0 : MSG_DONTWAIT);
    if (got > 0) s.end += static_cast<size_t>(got);
    if (got > 0 || (got < 0 && errno == EINTR) || s.seen != s.connection) continue;
    if (got < 0 && errno == EAGAIN) return false;
    const bool was_reset = got < 0 ? errno == ECONNRESET : has_broken(s.source);
    if (got == 0 && !was_reset && s.resuming == 0 && s.seen == s.connection) {
      s.over = true;  // its orderly end
      return false;
    }
    if (!wait || !s.await_another(s.seen, was_reset)) return false;
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
