// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

namespace omig {

// `omctl sim ...`: the cluster's policies on simulated clusters (docs/POLICY.md).
int sim_main(std::vector<std::string> words);

}  // namespace omig
