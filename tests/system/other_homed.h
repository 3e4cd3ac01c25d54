// SPDX-License-Identifier: Apache-2.0
// Nodes whose homed is not the one beside the tests: of another release, or with a real-time clock of its own.
#pragma once

#include <chrono>

#include "tests/system/lab.h"

namespace omig::test {

// For Lab::restart_homed: that homed, with the hosts that lie beside it.
Variables with_homed(const fs::path& homed);

// All namespaces of a machine share one real-time clock. Who is started with this one has another.
class OwnClock {
 public:
  OwnClock();
  const Variables& variables() const { return variables_; }  // for Lab::restart_homed
  void set_ahead(std::chrono::seconds time) const;           // of the true one; at first it is not

 private:
  fs::path file_;
  Variables variables_;
};

}  // namespace omig::test
