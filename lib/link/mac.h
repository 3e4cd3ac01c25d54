// SPDX-License-Identifier: Apache-2.0
// Proof that who wrote a text knows the cluster's key.
#pragma once

#include <string_view>

#include "lib/link/peer.h"

namespace omig {

Mac mac_of(const ClusterKey& key, std::string_view text);  // HMAC-SHA256; compare with mac_equal

}  // namespace omig
