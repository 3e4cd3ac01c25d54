// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace omig {

// Whether the children of a v2 cgroup have the controller, or have it now. The kernel refuses where processes are in it
// themselves, the root excepted ("no internal processes").
bool grants_to_children(const std::string& folder, const std::string& controller);

}  // namespace omig
