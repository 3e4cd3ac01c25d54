// SPDX-License-Identifier: Apache-2.0
// New programs: libomig's constructor announces each, and one that would have to share a CPU here goes at once to where
// one is free (lib/cluster/start.h), before its memory has built up. Nobody waits for us: while we ask, it runs here.
//
// What each program did in earlier runs decides whether that is worth it; so every announced process is watched until
// it ends, or becomes another program.
#pragma once

#include <map>
#include <string>

#include "homed/moves.h"
#include "lib/cluster/start.h"

namespace omig {

class Starts {
 public:
  Starts(Daemon& daemon, Moves& moves) : d_(daemon), moves_(moves) {}

  void announced(pid_t pid);
  // Processes were looked at: what they do is noted for when they are gone.
  void observe();

 private:
  struct Run {
    std::string name;  // of the executable
    i64 began_ms = 0;
    bool observed = false;
    cluster::Program so_far;
  };

  void note_cpu(pid_t pid);
  void conclude(pid_t pid);
  void ended(pid_t pid);
  awaitable<void> watch(pid_t pid, asio::posix::stream_descriptor end);
  awaitable<void> place(pid_t pid, i64 began_ms, bool wait_a_while);
  // The process, if it still is what it was and may be placed.
  const Process* still(pid_t pid, i64 began_ms);
  cluster::StartView view_of(const Process& p, const cluster::Program* program);

  Daemon& d_;
  Moves& moves_;
  std::map<pid_t, Run> runs_;
  u32 placing_ = 0;
  u32 turn_ = 0;
};

}  // namespace omig
