// SPDX-License-Identifier: Apache-2.0
// A mover for the engine's tests: just enough of a departure (docs/PROTOCOL.md) to bring a real process to
// depart_entry. Independent of homed/host on purpose: two readings of one protocol find its ambiguities.
#pragma once

#include <sys/types.h>
#include <sys/user.h>

#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "lib/image/anchor.h"
#include "lib/image/sigframe.h"
#include "preload/engine/head.h"

namespace omig::test {

// A child process started with libomig.so, its standard streams on pipes.
class Subject {
 public:
  // `arguments` of the test program. Extra environment as NAME=VALUE.
  explicit Subject(std::vector<std::string> arguments, std::vector<std::string> environment = {});
  ~Subject();  // kills and reaps
  Subject(const Subject&) = delete;
  Subject& operator=(const Subject&) = delete;

  pid_t pid() const { return pid_; }
  void say(const std::string& line);  // to its standard input
  std::string line();                 // from its standard output; throws after 20 s
  std::string errors();               // what it wrote to standard error until its end
  void close_input();
  int wait_status();                           // of its end; throws after 20 s
  int wait_stop();                             // of its next stop (WUNTRACED) or continuation
  u64 address(const std::string& name) const;  // from its "ready" line: name=hex

 private:
  pid_t pid_ = -1;
  int in_ = -1, out_ = -1, err_ = -1;
  bool reaped_ = false;
  std::string buffered_;
  std::string ready_;
};

struct ThreadState {
  pid_t tid = 0;
  user_regs_struct regs{};
  std::vector<u8> xstate;
  u64 mask = 0;
  u64 rseq = 0;
  u32 rseq_bytes = 0;
  u32 rseq_signature = 0;
  u64 robust_list = 0;
  u64 robust_bytes = 0;
};

struct StillInEngine : std::runtime_error {
  StillInEngine() : std::runtime_error("a thread is still in the engine") {}
};

// Every thread of a process, ptrace-stopped. Throws StillInEngine while a thread is on its way out of the engine. The
// leader (main thread) comes first.
class Frozen {
 public:
  explicit Frozen(pid_t pid);
  ~Frozen();  // detaches what is still held: they go on natively
  Frozen(const Frozen&) = delete;
  Frozen& operator=(const Frozen&) = delete;

  std::vector<ThreadState>& threads() { return threads_; }
  EngineHead head() const { return head_; }
  long inject(long nr, std::vector<u64> args);
  // Anchor and slots. host: where the links shall go.
  void prepare(u16 port, const u8* token, u32 leader_slot = 0, u32 patience_s = 0);
  // Diverts the threads in `chosen` (all if empty) and detaches all.
  void divert(const std::vector<size_t>& chosen = {});

 private:
  void capture(ThreadState& t);
  void release();
  void seize_all();
  pid_t pid_;
  std::vector<ThreadState> threads_;
  EngineHead head_{};
  bool held_ = true;
  bool mask_changed_ = false;
};

// Once no thread is in the engine any more: they leave one by one.
std::vector<ThreadState> states_at_home(Subject& subject);
// The subject "spin" says ready a moment before it does.
void wait_until_it_spins(Subject& subject);

// The frame by which a thread state is resumed; the fpstate pointer is absolute if frame_address is not 0.
std::vector<u8> make_frame(const ThreadState& t, u64 frame_address);
// What the kernel knows of the threads, without their registers, as text.
std::string registrations(const std::vector<ThreadState>& threads);
void read_memory(pid_t pid, u64 from, void* to, size_t bytes);
void write_memory(pid_t pid, u64 to, const void* from, size_t bytes);
Anchor read_anchor(pid_t pid);
std::vector<pid_t> tasks(pid_t pid);
// One field of /proc/PID/status as text.
std::string status_field(pid_t pid, const std::string& name);
std::vector<int> descriptors(pid_t pid);

}  // namespace omig::test
