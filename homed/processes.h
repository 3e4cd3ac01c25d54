// SPDX-License-Identifier: Apache-2.0
// The programs of this node that could move: found by announcement and by scanning /proc, sampled a few times a second.
// Nothing here is remembered across a restart of homed, and nothing needs to be: where a process is stands in its
// anchor.
#pragma once

#include <sys/types.h>

#include <map>
#include <optional>
#include <set>
#include <string>

#include "homed/proc.h"
#include "lib/cluster/job.h"
#include "lib/cluster/load.h"
#include "lib/cluster/statistics.h"
#include "lib/link/peer.h"

namespace omig {

struct Process {
  pid_t pid = 0;
  u64 start_ticks = 0;
  std::string program;  // its executable, if it was announced
  uid_t uid = 0;
  char state = '?';
  u32 threads = 1;
  u64 rss_bytes = 0;
  u64 cpu_ms = 0;  // used at home; while away: by the deputy
  u64 age_ms = 0;
  cluster::DemandMeter meter;
  cluster::Job job;      // as its parent's, until somebody says otherwise
  std::string job_said;  // in its environment, as last read
  cluster::DecayingSum call_sum, byte_sum, cpu_sum;
  bool foreground = false;  // of its terminal
  bool leads_group = false;
  i64 asleep_ms = 0;       // our clock, when it was last seen with nothing to do
  double calls_per_s = 0;  // at home reads and writes only, what /proc/PID/io counts; away: forwarded ones
  u64 calls = 0;
  double bytes_per_s = 0;  // read and written
  double cpu_per_s = 1;    // CPU seconds a second; while away it is taken to have a CPU
  u64 bytes = 0;
  bool recount = false;  // it moved: another counter of calls from here on
  // From the anchor.
  Where where = Where::home;
  std::string node;  // where it is, if away
  Endpoint host;     // its host's link port, if away
  std::array<u8, wire::kTokenBytes> token{};
  u32 moves = 0;
  i64 since_ms = 0;  // our clock: when it came to be where it is (0: always was)
  // The scheduler's notes.
  i64 barred_until_ms = 0;
  u32 images = 0;                               // of it that home was given since it left
  std::string came_home_for;                    // why it last came home by itself
  std::string refusal;                          // why it could not move when last tried
  u32 refusals = 0;                             // so often in a row
  u64 stop_told = 0;                            // the stop (stop_number) that its host knows of
  std::map<pid_t, Scheduling> scheduling_told;  // that its host knows of since it came there
};

// Does it talk to somebody at a terminal? It has the foreground, and was seen with nothing to do lately, or is what he
// has just typed and nobody can tell yet.
bool interactive(const Process& process, i64 now_ms);

// Of a process that is away: how threads of its deputy are scheduled, where its host does not know it. From here on it
// is taken for told.
std::map<pid_t, Scheduling> scheduling_to_tell(Process& process);

class Processes {
 public:
  Processes(std::string state_dir, uid_t uid);

  void announced(pid_t pid, i64 now_ms);
  u64 announcements(pid_t pid) const;  // how often that process said that it started a program
  // Looks at every process known and at new ones. Returns true if a process appeared or went.
  bool scan(i64 now_ms);
  // One that has ended, before the next scan finds out.
  void ended(pid_t pid) { processes_.erase(pid); }
  // Known, and freshly looked at; nullptr: not one of ours.
  // `asked`: also one that has not got the engine yet, and would get it when it moves.
  Process* look_at(pid_t pid, i64 now_ms, bool asked = true);
  std::map<pid_t, Process>& all() { return processes_; }
  cluster::DecaySettings decay;  // how fast what processes did is forgotten

 private:
  // `asked`: somebody has named it, so it need not have the engine yet.
  bool identify(pid_t pid, i64 now_ms, bool asked = false);
  void take_job(Process& p, pid_t parent) const;
  bool has_known_ancestor(const ProcStat& stat) const;
  bool can_be_given_the_engine(pid_t pid, const ProcStat& stat) const;
  bool belongs(pid_t pid, const ProcStat& stat, uid_t process_uid) const;
  bool sample(Process& p, i64 now_ms);  // false: gone
  void read_where(Process& p, i64 now_ms);

  std::string state_dir_;
  uid_t uid_;
  size_t namespace_depth_ = 1;
  std::map<pid_t, Process> processes_;
  std::set<pid_t> announced_;           // not identified yet
  std::map<pid_t, u64> announcements_;  // of living processes
  std::map<pid_t, i64> strangers_;      // not ours; when we looked
  std::map<pid_t, i64> sampled_ms_;
};

std::string canonical_path(const std::string& path);

}  // namespace omig
