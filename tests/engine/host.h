// SPDX-License-Identifier: Apache-2.0
// A host for the engine's tests: listens on loopback, speaks lib/wire/link.h to deputies. Everything waits at most 20 s
// and throws then.
#pragma once

#include <signal.h>
#include <sys/types.h>

#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lib/link/sealed.h"
#include "tests/engine/mover.h"

namespace omig::test {

// A call under construction: bytes() places input and says where, so that pointers are always relocations.
class CallSpec {
 public:
  explicit CallSpec(long nr, std::vector<u64> args = {}, u32 flags = 0);
  u32 input(const void* bytes, size_t count);  // at the next free scratch offset, before any room()
  u32 room(u32 bytes, u32 unit = 0, bool always = false, u32 length_at = ~0u);  // scratch that is sent back
  CallSpec& pointer(u32 argument, u32 scratch_offset);
  CallSpec& pointer_at(u32 scratch_where, u32 scratch_offset);
  std::vector<u8> body() const;
  wire::Call call;

 private:
  std::vector<wire::Reloc> relocs_;
  std::vector<wire::Out> outs_;
  std::vector<u8> in_;
};

struct Result {
  wire::Reply reply;
  std::vector<std::string> outs;
  long ret() const { return reply.ret; }
};

class Link {
 public:
  Link(int fd, const u8* token);  // takes it over, reads the Hello and what shows that it knows the token
  ~Link();
  Link(Link&& other) noexcept;
  Link& operator=(Link&& other) noexcept;

  wire::Hello hello;
  wire::ThreadExtra thread;
  wire::ProcessExtra process;
  std::vector<siginfo_t> collected;  // an ear: signals that came before a reply
  u32 signals_sent = 0;              // and the seq of the last one

  u64 send(wire::Type type, const void* body = nullptr, size_t bytes = 0);
  template <typename T>
  u64 send(wire::Type type, const T& body) {
    return send(type, &body, sizeof body);
  }
  u64 send_call(const CallSpec& spec);
  Result reply(u64 seq);
  Result call(const CallSpec& spec) { return reply(send_call(spec)); }
  long number(long nr, std::vector<u64> args = {}) { return call(CallSpec(nr, std::move(args))).ret(); }
  siginfo_t signal();   // the ear's next frame must be a signal
  bool at_end();        // waits for the end of the stream; false if something else comes
  bool silent(int ms);  // nothing to read for so long
  void close();
  void reset_connection() { sealed_.reset_connection(); }
  SealedLink::Trace trace() const { return sealed_.trace(); }
  int fd() const { return sealed_.get(); }

 private:
  void read(void* bytes, size_t count);
  void count_signal(const wire::Frame& frame);
  SealedLink sealed_;
  u64 seq_ = 100;
};

class Listener {
 public:
  explicit Listener(u32 patience_s = 0);
  ~Listener();
  u16 port() const { return port_; }
  const u8* token() const { return token_; }
  Link accept();
  // The next one who knocks wants a link of those back; `lose_answer`: and does not hear that it has it. False: nobody
  // came, or it is none of those, and was turned away.
  bool let_back(const std::vector<const Link*>& links, bool lose_answer = false, int ms = 20'000);
  bool turn_away(int ms = 20'000);    // hears who comes back, and ends the connection
  bool is_given_up(int ms = 20'000);  // hears who comes back, says nothing, and the connection is reset
  bool quiet(int ms) const;           // nobody knocks for so long
  void close();
  u32 patience_s = 0;  // of those who depart to us

 private:
  Fd knock(int ms);
  int fd_ = -1;
  u16 port_ = 0;
  u8 token_[wire::kTokenBytes];
};

// A departed process: its links sorted by slot.
struct Links {
  std::optional<Link> ear;
  std::vector<Link> threads;
  Link& leader() { return threads[0]; }
};
Links accept_links(Listener& listener, size_t threads);
// Freezes, diverts and accepts everything; nothing is said yet.
Links depart(Subject& subject, Listener& listener, std::vector<ThreadState>* states = nullptr, u32 leader_slot = 0);
// `running` on the leader's link, and its answer.
void commit(Links& links, const char* node = "elsewhere", size_t leader = 0);
// Brings every thread home in the states given (leader's link carries what else is to be done before).
void come_home(Links& links, const std::vector<ThreadState>& states);
wire::ResumeState resume_state_of(const ThreadState& t, const wire::ThreadExtra& extra, size_t threads);
std::vector<u8> body_of(wire::ResumeState resume, const ThreadState& t);
void send_resume_state(Link& link, u64* seq, wire::ResumeState resume, const ThreadState& t);

}  // namespace omig::test
