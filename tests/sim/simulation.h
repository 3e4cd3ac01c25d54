// SPDX-License-Identifier: Apache-2.0
// Discrete events around the production code: lib/cluster decides and gossips, this carries messages, moves and time.
#pragma once

#include <queue>

#include "lib/cluster/seed.h"
#include "tests/sim/node.h"

namespace omig::sim {

struct Counts {
  u64 gossip = 0, asking = 0;  // messages
  u64 starts_away = 0, moves = 0, decisions = 0, lost_messages = 0;
  u64 decision_ns = 0;  // real time spent in lib/cluster's decisions
  u64 ticks = 0;
  double news_age_s = 0;   // sum over ticks of the mean age of what the window held
  u64 lost_processes = 0;  // by failures of nodes
};

struct Outcome {
  std::vector<double> slowdowns;  // aligned with the trace; 0: lost
  Counts counts;
  bool diverged = false;  // more processes than anybody would wait for; the slowdowns are those of whoever ended
  double even_s = 0;      // all_on_one: when the load was within 5% of even
  double network_s = 0;   // and how long the network needs at least
};

class Simulation {
 public:
  Simulation(const Scenario& scenario, const cluster::Policy& policy, const std::vector<Work>& trace);
  Outcome run();

 private:
  enum class Kind : u8 {
    arrival,
    tick,
    plan,
    offer,
    answer,
    no_answer,
    started,
    wait_ends,
    note,
    call,
    no_thanks,
    pull,
    pull_next,
    move_begins,
    move_ends,
    failure,
    back
  };
  struct Event {
    double at_s;
    u64 number;  // equal times in the order of their making: a seed replays exactly
    Kind kind;
    u32 node, job, generation;
    bool operator>(const Event& o) const { return at_s != o.at_s ? at_s > o.at_s : number > o.number; }
  };

  void at(double at_s, Kind kind, u32 node, u32 job = 0, u32 generation = 0);
  // A message: counted, delayed, perhaps lost.
  void send(Kind kind, u32 to, u32 job = 0, u32 generation = 0);
  void handle(const Event& e);

  // events.cpp: time, failures, gossip
  void arrive(u32 job);
  void tick(u32 node);
  void gossip(Node& from);
  void settle(Node& node);  // processes came, went or ended: memory, shares, room for others
  void fail(u32 node);
  void come_back(u32 node);
  void lose(u32 job);

  // protocol.cpp: starting and moving
  void ask_for_start(u32 job);
  void look_around(u32 job);
  void proceed(u32 job);
  void ask(u32 job);
  void depart(u32 job, u32 target);
  void take_offer(u32 node, u32 job);
  void take_answer(u32 job, bool in_time);
  void start(u32 node, u32 job);
  void stop_waiting(u32 job);
  void wait_ends(u32 job);
  void take_note(Node& node, u32 job);
  void offer_room(Node& node);
  void take_call(u32 home, u32 job, u32 caller);
  void push(Node& node);
  void usher(Node& node);
  void propose(u32 job, std::vector<cluster::MoveDecision> offers);
  void propose_next(u32 job);
  void book(u32 job);
  void begin_move(u32 job);
  void end_move(u32 job);
  void maybe_pull(Node& node);
  void pull_next(Node& node);
  void answer_pull(u32 giver, u32 asker);

  Node& node(u32 id) { return nodes_[id - 1]; }
  i64 now_ms() const { return static_cast<i64>(now_s_ * 1000); }
  cluster::Candidate candidate(u32 job) const;
  cluster::PlacementState placement_state(Node& node);
  std::vector<NodeLoad> known_to(const Node& node);
  template <class Decide>
  auto timed(Decide decide);
  bool even() const;

  const Scenario s_;
  const cluster::Policy policy_;
  const std::vector<Work>& trace_;
  cluster::Chance chance_;
  std::vector<Node> nodes_;
  std::vector<Job> jobs_;
  std::priority_queue<Event, std::vector<Event>, std::greater<>> events_;
  u64 events_made_ = 0;
  double now_s_ = 0;
  u64 alive_ = 0;
  size_t ended_ = 0;
  Outcome out_;
};

Outcome simulate(const Scenario& scenario, const cluster::Policy& policy, const std::vector<Work>& trace);

}  // namespace omig::sim
