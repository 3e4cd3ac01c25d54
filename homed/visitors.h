// SPDX-License-Identifier: Apache-2.0
// The guests that visit this node. Their hosts are found by the files in hosts/ (so a restarted homed finds them again)
// and asked; what the scheduler needs to know about their wish to run is sampled from /proc like that of native ones.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "homed/commander.h"
#include "homed/proc.h"
#include "lib/cluster/job.h"
#include "lib/cluster/load.h"

namespace omig {

struct Visitor {
  i32 pid = 0;          // at home
  std::string home;     // name of its home node
  pid_t host_pid = 0;   // its omig-host
  pid_t local_pid = 0;  // as this node sees it; 0: its host did not say (then demand follows from CPU time)
  u32 threads = 1;
  u64 cpu_ms = 0;
  u64 rss_bytes = 0;
  u64 calls = 0;
  double calls_per_s = 0;
  double cpu_per_s = 1;  // as calls_per_s: lately; until it is known it is taken to have a CPU
  std::string command;
  uid_t uid = 0;                      // at home
  u64 since_ms = 0;                   // how long it has been here
  u64 image_bytes = 0, image_us = 0;  // of the last image of it that home got from here
  bool image_holds = true;
  u32 moves = 1;
  i64 listed_ms = 0;  // our clock, when its host last told about it
  cluster::DemandMeter meter;
  i64 sampled_ms = 0;
  i64 barred_until_ms = 0;
  std::string refusal;
  u32 refusals = 0;
  cluster::Job job;  // as its home says, and its host keeps it
};

struct VisitorKey {
  std::string home;
  i32 pid = 0;
  auto operator<=>(const VisitorKey&) const = default;
};

// A place kept for a process that is on its way here.
struct Reservation {
  double demand = 1;
  u64 bytes = 0;  // of memory that it will need
  i64 until_ms = 0;
  pid_t host_pid = 0;  // once its host was started: kept until it is listed or the host ends
};

class Visitors {
 public:
  Visitors(asio::io_context& io, std::string state_dir);

  // Asks every host for its guests, then samples. Called often; hosts are asked at most twice a second.
  void scan(i64 now_ms);
  // Asks every host now and waits for the answers.
  awaitable<void> refresh();
  std::map<VisitorKey, Visitor>& all() { return visitors_; }
  const std::map<VisitorKey, Visitor>& all() const { return visitors_; }
  std::vector<VisitorKey> find(i32 pid) const;
  const HostAddress* host_of(pid_t host_pid) const;

  void reserve(const VisitorKey& key, double demand, u64 bytes, i64 until_ms);
  void host_started(const VisitorKey& key, pid_t host_pid, i64 now_ms);
  // Drops reservations that are void: expired, their host ended, or (asked of `settled`) the process has arrived.
  void review_reservations(const std::function<bool(pid_t)>& running,
                           const std::function<bool(const VisitorKey&)>& settled, i64 now_ms);
  double reserved(i64 now_ms) const;
  bool arriving() const;  // a host has begun to receive one
  u64 reserved_bytes(i64 now_ms) const;

 private:
  struct Host {
    HostAddress address;
    bool asking = false;
    i64 asked_ms = 0;
  };
  void find_hosts();
  awaitable<void> ask(pid_t host_pid);
  void take_list(pid_t host_pid, const Json& answer, i64 now_ms);
  void sample(Visitor& v, i64 now_ms);

  asio::io_context& io_;
  std::string directory_;
  std::map<pid_t, Host> hosts_;
  std::map<VisitorKey, Visitor> visitors_;
  std::map<VisitorKey, Reservation> reservations_;
};

}  // namespace omig
