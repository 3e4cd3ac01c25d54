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
  void unplug(int node, const std::string& interface = "eth0") {
    set(node, interface, "down");
    unplugged_ = node;
    interface_ = interface;
  }
  void plug() {
    if (unplugged_ != 0) set(unplugged_, interface_, "up");
    unplugged_ = 0;
  }

 private:
  void set(int node, const std::string& interface, const char* state) const {
    run({.words = lab_.on_node(node, {"ip", "link", "set", interface, state})});
  }
  const Lab& lab_;
  int unplugged_ = 0;
  std::string interface_;
};

}  // namespace omig::test
