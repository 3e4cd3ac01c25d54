// SPDX-License-Identifier: Apache-2.0
// Proof that who wrote a text knows a key.
#pragma once

#include <string_view>

#include "lib/link/peer.h"

namespace omig {

using ClusterKey = std::array<u8, 32>;
using Mac = std::array<u8, 32>;

Mac mac_of(const ClusterKey& key, std::string_view text);  // HMAC-SHA256
bool mac_equal(const Mac& a, const Mac& b);                // constant time

}  // namespace omig
