// SPDX-License-Identifier: Apache-2.0
#include "lib/cluster/links.h"

namespace omig::cluster {

namespace {

// Besides the round trip: trap, message, deputy, answer (tools/dev bench: a forwarded getppid on one machine).
constexpr double kCallWork_s = 150e-6;
constexpr double kUsualRoundTrip_s = 50e-6;
constexpr u64 kTelling_bytes = 16 << 20;
constexpr double kNewest = 0.3;  // weight of the newest measurement

}  // namespace

void Links::round_trip(u32 node, double seconds) {
  if (seconds > 0) known_[node].rtt_s = seconds;
}

void Links::carried(u32 node, u64 bytes, double seconds) {
  if (bytes < kTelling_bytes || seconds <= 0) return;
  double& rate = known_[node].bytes_per_s;
  const double now = static_cast<double>(bytes) / seconds;
  rate = rate == 0 ? now : rate + kNewest * (now - rate);
}

const Link* Links::find(u32 node) const {
  const auto it = known_.find(node);
  return it == known_.end() ? nullptr : &it->second;
}

double Links::call_s(u32 node) const {
  const Link* link = find(node);
  return kCallWork_s + (link != nullptr && link->rtt_s > 0 ? link->rtt_s : kUsualRoundTrip_s * (1 + 3 * gateways_));
}

double Links::move_s(u32 node, double bytes) const {
  const Link* link = find(node);
  return link != nullptr && link->bytes_per_s > 0 ? bytes / link->bytes_per_s : 0;
}

}  // namespace omig::cluster
