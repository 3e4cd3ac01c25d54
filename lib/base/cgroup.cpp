// SPDX-License-Identifier: Apache-2.0
#include "lib/base/cgroup.h"

#include <algorithm>
#include <fstream>
#include <iterator>

namespace omig {

namespace {

bool has_word(const std::string& file, const std::string& word) {
  std::ifstream words(file);
  using Words = std::istream_iterator<std::string>;
  return std::find(Words(words), Words(), word) != Words();
}

}  // namespace

bool grants_to_children(const std::string& folder, const std::string& controller) {
  const std::string control = folder + "/cgroup.subtree_control";
  if (has_word(control, controller)) return true;
  if (!has_word(folder + "/cgroup.controllers", controller)) return false;
  std::ofstream to(control);
  to << "+" + controller << std::flush;
  return to.good();
}

}  // namespace omig
