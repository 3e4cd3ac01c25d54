// SPDX-License-Identifier: Apache-2.0
// Waiting for something that can only be looked at.
#pragma once

#include <poll.h>

#include <functional>

#include "tests/system/child.h"

namespace omig::test {

// Whether it became true in time.
inline bool wait_until(const std::function<bool()>& condition, milliseconds limit = milliseconds(20'000)) {
  const auto end = Clock::now() + limit;
  while (!condition() && Clock::now() < end) poll(nullptr, 0, 5);
  return condition();
}

}  // namespace omig::test
