// SPDX-License-Identifier: Apache-2.0
// The lab of a test run: brought up when the first test needs it, taken down at the end, also when the test run is
// killed (a watchdog process outlives it for that).
#pragma once

#include <string>
#include <vector>

#include "tests/system/child.h"

namespace omig::test {

class Lab {
 public:
  // Options as `omctl lab up` has them; "--balance" lets the scheduler move programs by itself.
  // In `directory`, which must be empty, or in a fresh one.
  explicit Lab(int nodes, std::vector<std::string> options = {}, fs::path directory = {});
  ~Lab();
  Lab(const Lab&) = delete;
  Lab& operator=(const Lab&) = delete;

  const fs::path& directory() const { return directory_; }
  fs::path state_dir(int node) const { return directory_ / ("node" + std::to_string(node)); }
  bool has_namespaces() const { return namespaces_; }

  // The words that run a command on a node, preloaded.
  std::vector<std::string> on_node(int node, std::vector<std::string> words) const;
  // omctl speaking to a node's homed.
  Outcome omctl(int node, std::vector<std::string> words, milliseconds limit = milliseconds(60'000)) const;
  // omctl lab COMMAND --dir OURS ARGUMENTS
  Outcome lab_command(const std::string& command, std::vector<std::string> arguments = {}) const;

  // kill -9, and it is gone when this returns.
  void kill_homed(int node) const;
  pid_t homed(int node) const;  // from its pid file
  // Starts a killed homed again; `fault` names a point at which its hosts kill themselves (OMIG_FAULT), empty: none.
  // Other homeds: other_homed.h.
  void restart_homed(int node, const std::string& fault = "", const Variables& variables = {}) const;
  // The omig-hosts that serve guests on the node.
  std::vector<pid_t> hosts(int node) const;

  std::string host_name(int node) const;
  // "" when every node's homed lives and sees all others; else what is wrong.
  std::string health() const;
  // The ends of the nodes' logs, for a failure's message.
  std::string logs() const;
  // What OMIG_LAB_PRIVATE names: the directory that every node has its own of. Empty without namespaces.
  fs::path private_directory() const { return namespaces_ ? directory_ / "private" : fs::path(); }

 private:
  void start_watchdog();
  fs::path directory_;
  int nodes_;
  bool namespaces_ = false;
  int watchdog_pipe_ = -1;
};

// The one lab (4 nodes) of this test run. Throws when it cannot be brought up.
Lab& shared_lab();
// Another one, in which every arrival at kKillsHosts and kCutsLinks breaks before its commit: there the hosts are
// killed, here their links are cut.
Lab& faulty_lab();
inline constexpr const char* kKillsHosts = "node2";
inline constexpr const char* kCutsLinks = "node3";
// Both are taken down at the end of main; also after a test that left it broken, so that the next test gets a new one.
void drop_shared_lab();
bool shared_lab_exists();

fs::path omctl_path();

}  // namespace omig::test
