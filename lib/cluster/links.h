// SPDX-License-Identifier: Apache-2.0
// What the network from this node to each other one costs: measured, not configured, so that a cluster may span rooms,
// buildings and gateways of which nobody has told it. Pure: homed feeds in what the kernel knows of its connections
// (TCP_INFO's tcpi_min_rtt, tcp(7)) and what its moves took.
#pragma once

#include <map>

#include "lib/base/types.h"

namespace omig::cluster {

struct Link {
  double rtt_s = 0;        // one round trip; 0: not measured
  double bytes_per_s = 0;  // that moves to there get; 0: not measured
};

class Links {
 public:
  void round_trip(u32 node, double seconds);
  // A move of so many bytes took so long. Small ones say nothing: they are over before the network is full.
  void carried(u32 node, u64 bytes, double seconds);
  // For links that nobody has measured yet: each gateway on the way (`mosctl setgateways`) counts as another call.
  void assume_gateways(u32 gateways) { gateways_ = gateways; }

  const Link* find(u32 node) const;
  // Seconds that a call made there and executed here takes longer than one made here.
  double call_s(u32 node) const;
  // Seconds that an image of so many bytes travels to there; 0: not measured.
  double move_s(u32 node, double bytes) const;

 private:
  std::map<u32, Link> known_;
  u32 gateways_ = 0;
};

}  // namespace omig::cluster
