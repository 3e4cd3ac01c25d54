// SPDX-License-Identifier: Apache-2.0
// What is remembered of each program from its earlier runs: how long it lives, how much it wants to run, how much it
// calls home. A new process is judged by that before it has shown anything itself. Pure: time comes from the caller.
#pragma once

#include <map>
#include <string>

#include "lib/cluster/placement.h"

namespace omig::cluster {

// One run of a program, or all of them, averaged: the newer count more.
struct Program {
  u32 runs = 0;
  double life_ms = 0;      // from its start to its end, or to the exec of another program
  double cpu_ms = 0;       // used in it, here and elsewhere
  double demand = 1;       // threads that want to run; 1 if it was too short to be looked at
  double calls_per_s = 0;  // system calls that would be, or were, forwarded
  double bytes_per_s = 0;  // read and written
  double rss_bytes = 0;    // at its largest
};

class Programs {
 public:
  explicit Programs(size_t most = 1'000) : most_(most) {}
  void ended(const std::string& name, const Program& run, i64 now_ms);
  const Program* find(const std::string& name) const;  // nullptr: not known
  size_t size() const { return known_.size(); }

 private:
  struct Known {
    Program program;
    i64 used_ms = 0;
  };
  size_t most_;  // then the one that has not ended for longest makes room
  std::map<std::string, Known> known_;
};

// Is a new process to be placed? One that uses little more of a CPU than its move would, because it is short or because
// it only waits for others, as shells and drivers of compilers do, is not. Of an unknown one nobody can tell, so it
// shows first that it does compute.
enum class StartWish : u8 { at_once, after_a_while, never };
StartWish start_wish(const Program* program);
bool waits_mostly(const Program* program);  // as a shell does; false: not known to
inline constexpr i64 kAWhile_ms = 50;
inline constexpr double kShowsByCpu_ms = 15;  // a program is loaded and has begun by then

// The new process as start.h wants it.
Candidate start_candidate(const Program* program, i32 pid, u32 home_id);

// What a start adds to NodeLoad::coming: in the long run so many of them are there at any time per start and second.
double coming_weight(const Program* program);

}  // namespace omig::cluster
