// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "lib/link/peer.h"

namespace omig::host {

struct ArriveOptions {
  Fd conversation;  // with the source, after the move request
  std::string state_dir, node;
  std::array<u8, 4> address{};
  nlohmann::json request;
};

// Receives a process, lets it run, serves it and its children until the last is gone. Returns the exit status of this
// host.
int arrive(ArriveOptions options);

}  // namespace omig::host
