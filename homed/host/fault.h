// SPDX-License-Identifier: Apache-2.0
// Fault points for tests: with OMIG_FAULT=NAME in its environment a host kills itself when it reaches that point.
#pragma once

#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <string_view>

namespace omig::host {

inline void fault_point(std::string_view name) {
  const char* wanted = getenv("OMIG_FAULT");
  if (wanted != nullptr && name == wanted) kill(getpid(), SIGKILL);
}

}  // namespace omig::host
