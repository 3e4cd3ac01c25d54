// SPDX-License-Identifier: Apache-2.0
// Orders to a running omig-host, ours or another node's: whoever knows its token may give them (CONTRACTS.md).
#pragma once

#include <optional>

#include "homed/stream.h"
#include "lib/link/sealed.h"

namespace omig {

struct HostAddress {
  Endpoint at;
  Token token{};
};

inline constexpr milliseconds kMoveTimeout{
    600'000};  // a big image over a slow link; the two sides have their own limits

// One request, one answer, one connection. Nothing: the host cannot be reached or does not answer in time.
awaitable<std::optional<Json>> command_host(const HostAddress& host, const Json& request, milliseconds timeout);

}  // namespace omig
