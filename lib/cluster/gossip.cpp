// SPDX-License-Identifier: Apache-2.0
#include "lib/cluster/gossip.h"

#include <cmath>

namespace omig::cluster {

double gossip_reach(double n, double t) {
  if (n < 2) return n;
  return n / (1 + (n - 1) * std::exp(-n * t / (n - 1)));
}

}  // namespace omig::cluster
