// SPDX-License-Identifier: Apache-2.0
// Where a new process starts, decided before its memory has built up. A pure step machine: the caller keeps the view,
// does what each step says, adds the answer, and asks again.
//
// Gossip is seconds old, and everybody who acts on it sends to the same idle node. So it only says whom to ask. Those
// asked answer from fresh numbers and reserve: first one that has a free CPU of the fastest kind gets the process. If
// none has, the process waits a moment, unstarted, with a note at every node it asked: whoever gets a free CPU calls it
// (late binding). Where CPUs end a process every few milliseconds all together, that beats being the fifth on four CPUs
// for the whole of a life that nobody will move later, because by then it has memory. How long it waits grows with how
// bad the best place is that it could have at once.
#pragma once

#include <vector>

#include "lib/cluster/placement.h"

namespace omig::cluster {

struct StartView {
  NodeLoad home;                  // as of now, the new process not counted
  std::vector<NodeLoad> known;    // living nodes by gossip
  std::vector<u32> strangers;     // a few random members of the cluster, known or not
  std::vector<NodeLoad> answers;  // of those asked: fresh entries
  std::vector<u32> asked;         // answered or not
  Links links;                    // from home
  Candidate job;                  // rss_bytes: as its program's history says, else the mean
  double waited_s = 0;            // so far
  u32 last_offers = 0;            // made after the waiting
  u32 turn = 0;                   // a counter of the home node, for round robin
};

struct StartStep {
  enum class Kind : u8 { here, offer, wait } kind = Kind::here;
  // offer: ask this node; it reserves if cluster::accepts says so. wait: the note that others are to keep and to call
  // when they would accept it, home included.
  MoveDecision offer;
  double wait_s = 0;       // then ask again, with the view's answers and asked emptied
  std::vector<u32> notes;  // who is to keep the note, besides home
};

StartStep next_step(const StartView& view, u64 seed, const Policy& policy = kOmig);

}  // namespace omig::cluster
