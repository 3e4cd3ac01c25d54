// SPDX-License-Identifier: Apache-2.0
// Fault points for tests: with OMIG_FAULT=NAME in its environment a host kills itself when it reaches that point, with
// OMIG_FAULT=NAME:stop it stops there until somebody continues it.
#pragma once

#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <string_view>

namespace omig::host {

inline void fault_point(std::string_view name) {
  const char* text = getenv("OMIG_FAULT");
  if (text == nullptr) return;
  std::string_view wanted = text;
  const bool stop = wanted.ends_with(":stop");
  if (stop) wanted.remove_suffix(5);
  if (name == wanted) kill(getpid(), stop ? SIGSTOP : SIGKILL);
}

}  // namespace omig::host
