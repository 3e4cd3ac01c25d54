// SPDX-License-Identifier: Apache-2.0
// The host's end of the links to deputies: where they arrive, and frames on them.
//
// Doorway accepts connections on the link port, believes none that does not know the token, and keeps thread and ear
// links until the part that expects them (an arrival, a fork, a new thread) claims them. Commanders are handed to a
// callback on a thread of their own. Each stranger has a thread until it has shown that it knows the token; of a crowd
// the oldest are shown out, for a deputy shows it at once. What was recorded and is played again has a nonce that was
// there before. A deputy whose connection broke and who comes again is led to its link (sealed.h).
#pragma once

#include <condition_variable>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

#include "lib/link/sealed.h"
#include "lib/syscalls/marshal.h"
#include "lib/wire/link.h"

namespace omig::host {

struct Arrival {
  SealedLink link;
  wire::Hello hello;
  wire::ThreadExtra thread;
  wire::ProcessExtra process;
};

class Doorway {
 public:
  // Its link, and its first order as text.
  using OnCommander = std::function<void(SealedLink, std::string)>;
  // Listens at `address`, any port. Throws std::runtime_error.
  Doorway(std::array<u8, 4> address, const Token& token, OnCommander on_commander);
  ~Doorway();
  u16 port() const { return port_; }

  // A link of that role from that process; tid 0: any (the ear's number is nobody's business). Empty after the
  // time-out.
  std::optional<Arrival> wait(wire::Role role, i32 pid, i32 tid, milliseconds timeout);

 private:
  void accept_loop();
  void greet(Fd fd);
  SealedLink welcome(Fd fd, wire::Hello* hello, std::vector<u8>* first);
  void resume(SealedLink word, const std::vector<u8>& first);

  Fd listener_;
  u16 port_ = 0;
  Token token_;
  OnCommander on_commander_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::list<Arrival> waiting_;
  std::list<int> strangers_;  // descriptors that have not shown the token yet, the oldest first
  using Nonce = std::array<u8, wire::kNonceBytes>;
  std::map<Nonce, SealedLink::Trace> links_;  // all there have been, by the nonces of their hellos
  std::thread thread_;
};

// Blocking, no time-out: a deputy may sit in a call for ever. False: the link is broken.
bool send_frame(SealedLink& link, wire::Type type, u64 seq, const void* body = nullptr, size_t bytes = 0);

// A reply whose output is taken off the link while it arrives: the deputy sends on while the guest's memory is written.
class ReplyStream final : public syscalls::Stream {
 public:
  // Waits for the reply to `seq`, and takes a small one off the link as a whole, wanted or not. False: link broken or
  // out of step.
  bool begin(SealedLink& link, u64 seq, wire::Reply* reply);
  const u8* take(u64 bytes) override;
  // Takes what nobody wanted: the link is free for the next call then. False: it broke, now or before.
  bool finish();

 private:
  SealedLink* link_ = nullptr;
  syscalls::Bytes buffer_;
  size_t at_ = 0, end_ = 0;  // what of the buffer has not been taken
  u64 left_ = 0;             // of the output, in the buffer and on the link
};

// Waits for the reply to `seq`. False: link broken or out of step.
// `output` gets the reply's byte stream.
bool receive_reply(SealedLink& link, u64 seq, wire::Reply* reply, std::vector<u8>* output);
// The same with a time limit, for moments when the deputy owes a quick answer.
bool receive_reply_within(SealedLink& link, u64 seq, wire::Reply* reply, milliseconds timeout);

}  // namespace omig::host
