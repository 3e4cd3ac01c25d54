// SPDX-License-Identifier: Apache-2.0
// What tests do to the network of a lab that has one (Lab::has_namespaces).
#pragma once

#include "tests/system/lab.h"

namespace omig::test {

class Network {
 public:
  explicit Network(const Lab& lab) : lab_(lab) {}
  ~Network() { plug(); }
  Network(const Network&) = delete;
  Network& operator=(const Network&) = delete;

  // Every connection of the node is reset, at both its ends.
  void reset(int node) const { run({.words = lab_.on_node(node, {"ss", "--kill", "--tcp", "dst", "10.0.0.0/8"})}); }
  void unplug(int node) {
    set(node, "down");
    unplugged_ = node;
  }
  void plug() {
    if (unplugged_ != 0) set(unplugged_, "up");
    unplugged_ = 0;
  }

 private:
  void set(int node, const char* state) const {
    run({.words = lab_.on_node(node, {"ip", "link", "set", "eth0", state})});
  }
  const Lab& lab_;
  int unplugged_ = 0;
};

}  // namespace omig::test
