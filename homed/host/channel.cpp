// SPDX-License-Identifier: Apache-2.0
#include "homed/host/channel.h"

#include <errno.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/crypto.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <stdexcept>
#include <system_error>

#include "lib/base/patience.h"

namespace omig::host {

namespace {

constexpr size_t kMostStrangers = 128;
constexpr milliseconds kHello{5'000};

// The same figures as the deputy's end (preload/engine/link.cpp): a node that vanished without a word is noticed within
// about 25 seconds, also by those who only wait for its answer.
void set_keepalive(int fd) {
  const auto set = [fd](int level, int option, int value) { setsockopt(fd, level, option, &value, sizeof value); };
  set(IPPROTO_TCP, TCP_NODELAY, 1);
  set(IPPROTO_TCP, TCP_KEEPIDLE, 10);
  set(IPPROTO_TCP, TCP_KEEPINTVL, 5);
  set(IPPROTO_TCP, TCP_KEEPCNT, 3);
  set(IPPROTO_TCP, TCP_USER_TIMEOUT, 25'000);
  set(SOL_SOCKET, SO_KEEPALIVE, 1);
}

}  // namespace

Doorway::Doorway(std::array<u8, 4> address, const Token& token, std::function<void(Fd)> on_commander)
    : token_(token), on_commander_(std::move(on_commander)) {
  std::string error;
  listener_ = listen_tcp(Endpoint{address, 0}, &error);
  if (!listener_) throw std::runtime_error(fmt::format("cannot listen for deputies: {}", error));
  port_ = local_endpoint(listener_.get()).port;
}

Doorway::~Doorway() {
  if (thread_.joinable()) {
    shutdown(listener_.get(), SHUT_RDWR);
    thread_.join();
  }
}

void Doorway::accept_loop() {
  for (;;) {
    Fd fd(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!fd) {
      if (errno == EINTR || errno == ECONNABORTED) continue;
      if (errno != EMFILE && errno != ENFILE && errno != ENOBUFS && errno != ENOMEM) return;
      poll(nullptr, 0, 10);  // some of those that are here will go
      continue;
    }
    set_keepalive(fd.get());
    const int number = fd.get();
    {
      const std::lock_guard lock(mutex_);
      for (; strangers_.size() >= kMostStrangers; strangers_.pop_front()) shutdown(strangers_.front(), SHUT_RDWR);
      strangers_.push_back(number);
    }
    // A stranger who says nothing must not keep others waiting.
    try {
      std::thread([this, moved = std::make_shared<Fd>(std::move(fd))] { greet(std::move(*moved)); }).detach();
    } catch (const std::system_error&) {  // no thread to be had: the connection is closed already
      const std::lock_guard lock(mutex_);
      strangers_.remove(number);
    }
  }
}

bool Doorway::knows_token(int fd, wire::Hello* hello) {
  const bool known = read_exactly(fd, hello, sizeof *hello, kHello) && hello->magic == wire::kMagic &&
                     hello->version == wire::kVersion && CRYPTO_memcmp(hello->token, token_.data(), token_.size()) == 0;
  // Before it is closed, or its number would be another one's.
  const std::lock_guard lock(mutex_);
  strangers_.remove(fd);
  return known;
}

void Doorway::greet(Fd fd) {
  Arrival arrival;
  wire::Hello& hello = arrival.hello;
  if (!knows_token(fd.get(), &hello)) return;
  if (hello.role == wire::Role::commander) {
    on_commander_(std::move(fd));
    return;
  }
  void* extra = hello.role == wire::Role::thread ? static_cast<void*>(&arrival.thread) : &arrival.process;
  const size_t expected = hello.role == wire::Role::thread ? sizeof arrival.thread : sizeof arrival.process;
  if (hello.extra_bytes != expected || !read_exactly(fd.get(), extra, expected, kHello)) return;
  arrival.fd = std::move(fd);
  const std::lock_guard lock(mutex_);
  waiting_.push_back(std::move(arrival));
  changed_.notify_all();
}

std::optional<Arrival> Doorway::wait(wire::Role role, i32 pid, i32 tid, milliseconds timeout) {
  std::unique_lock lock(mutex_);
  // Started with the first wait: until then the host is single threaded, which its helpers' forks rely on.
  if (!thread_.joinable()) thread_ = std::thread([this] { accept_loop(); });
  const auto wanted = [&](const Arrival& a) {
    return a.hello.role == role && a.hello.pid == pid && (tid == 0 || a.hello.tid == tid);
  };
  auto it = waiting_.end();
  const auto has_come = [&] { return (it = std::ranges::find_if(waiting_, wanted)) != waiting_.end(); };
  Patience patience(timeout);
  if (!patience.until([&](milliseconds slice) { return changed_.wait_for(lock, slice, has_come); }))
    return std::nullopt;
  Arrival arrival = std::move(*it);
  waiting_.erase(it);
  return arrival;
}

bool send_bytes(int fd, const void* data, size_t bytes) {
  const u8* p = static_cast<const u8*>(data);
  while (bytes > 0) {
    const ssize_t sent = send(fd, p, bytes, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return false;
    p += sent;
    bytes -= static_cast<size_t>(sent);
  }
  return true;
}

bool receive_bytes(int fd, void* data, size_t bytes) {
  u8* p = static_cast<u8*>(data);
  while (bytes > 0) {
    const ssize_t got = recv(fd, p, bytes, MSG_WAITALL);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    p += got;
    bytes -= static_cast<size_t>(got);
  }
  return true;
}

bool send_frame(int fd, wire::Type type, u64 seq, const void* body, size_t bytes) {
  std::vector<u8> message(sizeof(wire::Frame) + bytes);
  const wire::Frame frame{type, static_cast<u32>(bytes), seq};
  memcpy(message.data(), &frame, sizeof frame);
  if (bytes > 0) memcpy(message.data() + sizeof frame, body, bytes);
  return send_bytes(fd, message.data(), message.size());
}

namespace {

struct ReplyHead {
  wire::Frame frame;
  wire::Reply reply;
};
static_assert(sizeof(ReplyHead) == sizeof(wire::Frame) + sizeof(wire::Reply));

// Reads a reply's head and, since small replies arrive in one piece, what comes with it, up to `most` bytes. Returns
// how much that was; 0: link broken or out of step.
size_t receive_head(int fd, u64 seq, u8* buffer, size_t most, ReplyHead* head) {
  size_t have = 0;
  while (have < sizeof *head) {
    const ssize_t got = recv(fd, buffer + have, most - have, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return 0;
    have += static_cast<size_t>(got);
  }
  memcpy(head, buffer, sizeof *head);
  const bool in_step =
      head->frame.type == wire::Type::reply && head->frame.seq == seq && head->frame.bytes <= wire::kMaxFrame &&
      head->reply.out_bytes + sizeof(wire::Reply) == head->frame.bytes && have - sizeof *head <= head->reply.out_bytes;
  if (in_step) return have;
  fmt::print(stderr, "omig-host: a deputy answers out of step: type {} seq {} for {}\n",
             static_cast<u32>(head->frame.type), head->frame.seq, seq);
  return 0;
}

constexpr size_t kFirstRead = 4096;

}  // namespace

bool ReplyStream::begin(int fd, u64 seq, wire::Reply* reply) {
  fd_ = fd;
  if (buffer_.empty()) buffer_.resize(kFirstRead);
  ReplyHead head;
  at_ = sizeof head;
  end_ = receive_head(fd, seq, buffer_.data(), kFirstRead, &head);
  if (end_ == 0) return false;
  *reply = head.reply;
  left_ = head.reply.out_bytes;
  return true;
}

const u8* ReplyStream::take(u64 bytes) {
  if (bytes > left_) return nullptr;
  const size_t here = end_ - at_;
  if (here < bytes) {
    if (buffer_.size() < bytes) {
      syscalls::Bytes larger(kMostAtOnce);
      memcpy(larger.data(), buffer_.data() + at_, here);
      buffer_.swap(larger);
    } else {
      memmove(buffer_.data(), buffer_.data() + at_, here);
    }
    at_ = 0;
    end_ = bytes;
    if (!receive_bytes(fd_, buffer_.data() + here, bytes - here)) {
      end_ = here;
      return nullptr;
    }
  }
  const u8* taken = buffer_.data() + at_;
  at_ += bytes;
  left_ -= bytes;
  return taken;
}

bool ReplyStream::finish() {
  while (left_ > 0) {
    if (take(std::min<u64>(left_, kMostAtOnce)) == nullptr) return false;
  }
  return true;
}

bool receive_reply(int fd, u64 seq, wire::Reply* reply, std::vector<u8>* output, bool more_follow) {
  u8 buffer[kFirstRead];
  ReplyHead head;
  const size_t have = receive_head(fd, seq, buffer, more_follow ? sizeof head : sizeof buffer, &head);
  if (have == 0) return false;
  *reply = head.reply;
  output->resize(head.reply.out_bytes);
  const size_t early = have - sizeof head;
  std::copy_n(buffer + sizeof head, early, output->begin());  // of nothing, too: an empty vector has no data()
  return receive_bytes(fd, output->data() + early, output->size() - early);
}

bool receive_reply_within(int fd, u64 seq, wire::Reply* reply, milliseconds timeout) {
  pollfd waiting{fd, POLLIN, 0};
  Patience patience(timeout);
  if (!patience.until([&](milliseconds slice) { return poll(&waiting, 1, static_cast<int>(slice.count())) == 1; }))
    return false;
  std::vector<u8> ignored;
  return receive_reply(fd, seq, reply, &ignored);
}

}  // namespace omig::host
