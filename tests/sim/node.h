// SPDX-License-Identifier: Apache-2.0
// A simulated node: CPUs shared among its processes, memory, a network link, places it has promised, notes of processes
// that wait elsewhere for a CPU.
#pragma once

#include <deque>
#include <memory>
#include <span>

#include "lib/cluster/gossip.h"
#include "lib/cluster/start.h"
#include "lib/cluster/statistics.h"
#include "tests/sim/scenario.h"

namespace omig::sim {

using cluster::NodeLoad;

enum class State : u8 { coming, starting, waiting, here, moving, done, lost };

// What a process asks other nodes, one question at a time: for a place to start, or to move to.
struct Asking {
  cluster::StartView view;                    // of a start
  std::vector<cluster::MoveDecision> offers;  // of a move, best first
  size_t next = 0;
  cluster::MoveDecision offer;  // now on its way
  NodeLoad answer;
  bool agreed = false;
  double wait_began_s = 0, note_until_s = 0;
};

struct Job {
  const Work* work = nullptr;
  State state = State::coming;
  bool held = false;
  bool booked = false;  // a move has been agreed upon and waits for the network
  u32 at = 0;
  u32 target = 0;
  u32 moves = 0;
  u32 generation = 0;  // of what it waits for: late answers are not ours any more
  double left_s = 0;   // demand
  double used_s = 0;   // CPU time it got
  double rate = 0;     // of `left_s`, per second
  double share = 0;    // of a CPU
  double started_s = 0, came_s = 0;
  double ended_s = 0;
  double move_takes_s = 0;
  std::unique_ptr<Asking> asking;
};

struct Promise {
  u32 job = 0;
  double demand = 1;
  u64 bytes = 0;
  double until_s = 0;
};

struct Note {
  u32 job = 0;
  cluster::MoveDecision offer;
  double until_s = 0;
};

class Node {
 public:
  Node(const Scenario& scenario, u32 id);

  // Brings its processes to this moment, and says how they go on from it.
  void advance(std::vector<Job>& jobs, double now_s);
  // Seconds until something happens by itself (an end, a process that is no longer young); infinite: nothing.
  double share_out(std::vector<Job>& jobs, const cluster::Policy& policy);
  // Holds the newest while memory is short, and lets them go on when it is not. True: somebody is held.
  bool review_memory(std::vector<Job>& jobs);

  NodeLoad load(const std::vector<Job>& jobs, double now_s);
  bool promised(u32 job) const;
  void keep_place(const cluster::MoveDecision& offer, u32 job, double until_s);
  void drop_place(u32 job);
  void add(u32 job) { here.push_back(job); }
  void remove(u32 job) { std::erase(here, job); }

  u32 id;
  bool up = true;
  u64 incarnation = 1;
  u64 seq = 0;
  double cpus, speed;
  u64 total_bytes;
  std::vector<u32> here;     // running, held and moving away
  std::vector<u32> waiting;  // its own, not started
  std::vector<Promise> promises;
  std::deque<Note> notes;
  cluster::Gossip<NodeLoad> window{cluster::kWindow};
  cluster::LoadAverage average;
  cluster::DecayingSum starts;
  cluster::Tokens tokens{32};
  double link_free_s = 0;  // until then the link is booked
  double advanced_s = 0;
  u32 generation = 0;  // of the plan that share_out made
  bool pulling = false;
  u32 pull_generation = 0;
  std::vector<u32> pull_from;
  double pull_after_s = 0;
  double pull_pause_s = 0.1;
  u32 turn = 0;
  bool held_any = false;
  double usher_after_s = 0;
};

}  // namespace omig::sim
