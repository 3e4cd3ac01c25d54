// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "lib/link/conversation.h"

namespace omig::host {

struct ArriveOptions {
  Fd socket;               // to the source, which has shown the ticket's name
  Ticket ticket;           // given to it by this node's homed
  std::vector<Fd> groups;  // cgroup.procs of the cgroups for guests
  std::string state_dir, node;
  std::array<u8, 4> address{};
  nlohmann::json request;  // as its homed asked
};

// Receives a process, lets it run, serves it and its children until the last is gone. Returns the exit status of this
// host.
int arrive(ArriveOptions options);

}  // namespace omig::host
