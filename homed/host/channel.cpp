// SPDX-License-Identifier: Apache-2.0
#include "homed/host/channel.h"

#include <errno.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <stdexcept>
#include <system_error>

#include "lib/base/patience.h"
#include "lib/wire/versions.h"

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

Doorway::Doorway(std::array<u8, 4> address, const Token& token, OnCommander on_commander)
    : token_(token), on_commander_(std::move(on_commander)) {
  std::string error;
  listener_ = listen_tcp(Endpoint{address, 0}, &error, true);
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

// No link: it does not know the token, or this is a link that there was before.
SealedLink Doorway::welcome(Fd fd, wire::Hello* hello, std::vector<u8>* first) {
  const int number = fd.get();
  const bool plausible = read_exactly(number, hello, sizeof *hello, kHello) && hello->magic == wire::kMagic &&
                         wire::kSpoken.has(hello->version) && hello->extra_bytes <= wire::kMaxRecord;
  SealedLink link;
  if (plausible) link = SealedLink::answer(fd, token_, *hello, first, kHello);
  const std::lock_guard lock(mutex_);
  strangers_.remove(number);  // before it is closed, or its number would be another one's
  Nonce nonce;
  std::copy_n(hello->nonce, nonce.size(), nonce.begin());
  if (link && !links_.emplace(nonce, link.trace()).second) link.reset();
  return link;
}

void Doorway::resume(SealedLink word, const std::vector<u8>& first) {
  wire::Resume resume;
  if (first.size() != sizeof resume) return;
  memcpy(&resume, first.data(), sizeof resume);
  Nonce name;
  std::copy_n(resume.link, name.size(), name.begin());
  SealedLink::Trace link;
  {
    const std::lock_guard lock(mutex_);
    // None by that name: an empty trace, which says so.
    if (const auto it = links_.find(name); it != links_.end()) link = it->second;
  }
  if (link.resume(std::move(word), resume)) fmt::print(stderr, "omig-host: a deputy has made a broken link again\n");
}

void Doorway::greet(Fd fd) {
  Arrival arrival;
  wire::Hello& hello = arrival.hello;
  std::vector<u8> first;
  arrival.link = welcome(std::move(fd), &hello, &first);
  if (!arrival.link) return;
  if (hello.role == wire::Role::commander) {
    on_commander_(std::move(arrival.link), std::string(first.begin(), first.end()));
    return;
  }
  if (hello.role == wire::Role::resume) {
    resume(std::move(arrival.link), first);
    return;
  }
  void* extra = hello.role == wire::Role::thread ? static_cast<void*>(&arrival.thread) : &arrival.process;
  const size_t expected = hello.role == wire::Role::thread ? sizeof arrival.thread : sizeof arrival.process;
  if (first.size() != expected) return;
  memcpy(extra, first.data(), expected);
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

bool send_frame(SealedLink& link, wire::Type type, u64 seq, const void* body, size_t bytes) {
  std::vector<u8> message(sizeof(wire::Frame) + bytes);
  const wire::Frame frame{type, static_cast<u32>(bytes), seq};
  memcpy(message.data(), &frame, sizeof frame);
  if (bytes > 0) memcpy(message.data() + sizeof frame, body, bytes);
  return link.send(message.data(), message.size());
}

namespace {

// False: link broken or out of step.
bool receive_head(SealedLink& link, u64 seq, wire::Reply* reply) {
  struct {
    wire::Frame frame;
    wire::Reply reply;
  } head;
  static_assert(sizeof head == sizeof(wire::Frame) + sizeof(wire::Reply));
  if (!link.receive(&head, sizeof head)) return false;
  *reply = head.reply;
  const bool in_step = head.frame.type == wire::Type::reply && head.frame.seq == seq &&
                       head.frame.bytes <= wire::kMaxFrame &&
                       head.reply.out_bytes + sizeof(wire::Reply) == head.frame.bytes;
  if (in_step) return true;
  fmt::print(stderr, "omig-host: a deputy answers out of step: type {} seq {} for {}\n",
             static_cast<u32>(head.frame.type), head.frame.seq, seq);
  return false;
}

constexpr size_t kFirstRoom = 4096;

}  // namespace

bool ReplyStream::begin(SealedLink& link, u64 seq, wire::Reply* reply) {
  link_ = &link;
  if (buffer_.empty()) buffer_.resize(kFirstRoom);
  at_ = end_ = left_ = 0;
  if (!receive_head(link, seq, reply)) return false;
  left_ = reply->out_bytes;
  end_ = std::min<u64>(left_, kFirstRoom);
  return link.receive(buffer_.data(), end_);
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
    end_ = here;
    if (!link_->receive(buffer_.data() + here, bytes - here)) return nullptr;
    end_ = bytes;
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

bool receive_reply(SealedLink& link, u64 seq, wire::Reply* reply, std::vector<u8>* output) {
  if (!receive_head(link, seq, reply)) return false;
  output->resize(reply->out_bytes);
  return link.receive(output->data(), output->size());
}

bool receive_reply_within(SealedLink& link, u64 seq, wire::Reply* reply, milliseconds timeout) {
  pollfd waiting{link.get(), POLLIN, 0};
  Patience patience(timeout);
  if (!link.has_input() &&
      !patience.until([&](milliseconds slice) { return poll(&waiting, 1, static_cast<int>(slice.count())) == 1; }))
    return false;
  std::vector<u8> ignored;
  return receive_reply(link, seq, reply, &ignored);
}

}  // namespace omig::host
