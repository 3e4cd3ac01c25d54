// SPDX-License-Identifier: Apache-2.0
// When is a node short of memory, and by how much? Asked a few times a second, early enough that what has to go is gone
// before the kernel pages or kills: how fast the free memory falls counts as well. Pure: time comes from the caller.
#pragma once

#include "lib/base/types.h"

namespace omig::cluster {

class MemoryWatch {
 public:
  // `stalled`: the share of the last seconds in which somebody stood still for memory (PSI). Returns the bytes that
  // have to go for the node to be out of trouble, 0: none. Once short, it is short until there is clearly enough again.
  u64 deficit(u64 free_bytes, u64 total_bytes, double stalled, i64 now_ms);

 private:
  bool short_ = false;
  i64 at_ms_ = -1;
  double free_ = 0;
  double falling_per_s_ = 0;
};

// Where the kernel tells no stalls: what the pages cost that were given up and needed again.
class RefaultMeter {
 public:
  // `refaults`: so far. The share of the time, 0..1, that waiting for them took lately.
  double stalled(u64 refaults, i64 now_ms);

 private:
  i64 at_ms_ = -1;
  u64 refaults_ = 0;
  double share_ = 0;
};

}  // namespace omig::cluster
