// SPDX-License-Identifier: Apache-2.0
// What omig needs of a kernel, tried out for real: each probe forks a child that does the thing.
#pragma once

#include <string>
#include <vector>

namespace omig {

struct Probe {
  std::string name;
  bool needed = true;
  bool ok = false;
  std::string detail;  // what went wrong, or worth knowing
  std::string cure;    // what to do about it
};

std::vector<Probe> probe_kernel();

}  // namespace omig
