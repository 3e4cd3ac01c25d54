// SPDX-License-Identifier: Apache-2.0
#include "lib/cluster/policy.h"

#include <algorithm>
#include <array>

namespace omig::cluster {

const Policy kOmig{.name = "omig", .start = StartRule::probe, .move = MoveRule::gain, .pull = true, .hold = true};

namespace {

const std::array<Policy, 8> kPolicies{{
    {.name = "home"},
    {.name = "round-robin", .start = StartRule::round_robin},
    {.name = "least-loaded", .start = StartRule::least_loaded},
    {.name = "openmosix", .start = StartRule::home, .move = MoveRule::threshold},
    {.name = "openmosix-start", .start = StartRule::least_loaded, .move = MoveRule::threshold},
    {.name = "opportunity", .start = StartRule::opportunity, .move = MoveRule::opportunity},
    {.name = "omig", .start = StartRule::probe, .move = MoveRule::gain, .pull = true, .hold = true},
    {.name = "omig-young",
     .start = StartRule::probe,
     .move = MoveRule::gain,
     .pull = true,
     .hold = true,
     .young_first = true},
}};

}  // namespace

std::span<const Policy> policies() { return kPolicies; }

const Policy* policy_named(std::string_view name) {
  const auto it = std::ranges::find(kPolicies, name, &Policy::name);
  return it == kPolicies.end() ? nullptr : &*it;
}

}  // namespace omig::cluster
