// SPDX-License-Identifier: Apache-2.0
// What a lab is made of and how it is found again: DIR/lab.json, the cgroups, the processes.
//
// lab.json is written before the first thing is made and removed after the last one is gone, so every lab that may
// exist, however much of it, has one. It holds names, not truths: a pid in it counts only after the process has been
// looked at (open_member), because pids are reused.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "lib/link/peer.h"

namespace omig::lab {

namespace fs = std::filesystem;

inline constexpr int kMaxNodes = 200;
inline constexpr u16 kPort = 7946;
inline constexpr int kBridgeId = 0;  // the holder of the bridge's network namespace counts as node 0

// Said to the user as "omctl lab: TEXT", exit status 1.
class LabError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

enum class Mode { namespaces, loopback };

struct Node {
  int id = 0;
  std::string address;
  fs::path state_dir;  // DIR/nodeN, the OMIG_DIR of everything on the node
  fs::path cgroup;     // empty: none
  pid_t holder = 0;
  pid_t homed = 0;

  std::string name() const { return "node" + std::to_string(id); }
};

struct Lab {
  fs::path dir;
  Mode mode = Mode::loopback;
  bool ready = false;
  std::vector<int> cpu_percents;  // each node's share of one core, in turns; empty: no limits
  std::optional<int> rate_mbit;
  bool balance = true;
  fs::path cgroup;  // the parent of the nodes' cgroups; empty: none
  pid_t bridge_holder = 0;
  std::vector<Node> nodes;

  const Node& node(const std::string& text) const;  // "3" or "node3"
  int cpu_percent_of(const Node& node) const {      // only if there are limits
    return cpu_percents[static_cast<size_t>(node.id - 1) % cpu_percents.size()];
  }
  fs::path state_file() const { return dir / "lab.json"; }
  fs::path common_private() const { return dir / "private"; }
};

// $OMIG_DIR, or the lab that $OMIG_DIR is a node of; else /run/omig-lab for root, $XDG_RUNTIME_DIR/omig-lab,
// /tmp/omig-lab-UID.
fs::path default_dir();
// Absolute, with symbolic links resolved as far as it exists: the same lab has one name.
fs::path canonical_dir(const fs::path& dir);
// Eight hex digits that name this lab where names are machine-wide.
std::string lab_tag(const fs::path& dir);

bool has_lab(const fs::path& dir);
Lab load(const fs::path& dir);
void save(const Lab& lab);
nlohmann::json to_json(const Lab& lab);

// Held while a lab is made or taken down. Gone with the process, whatever ends it.
class Lock {
 public:
  explicit Lock(const fs::path& dir);
  static fs::path file(const fs::path& dir) { return dir / "lab.lock"; }

 private:
  Fd fd_;
};

// ---- cgroups
struct CgroupPlan {
  fs::path parent;      // where omig-lab-TAG goes; empty: there is no place
  std::string problem;  // why there is none
};
CgroupPlan plan_cgroups(bool cpu_shares);
std::vector<fs::path> all_cgroup_roots();  // where one of our names may be found, whatever lab.json says
std::string cgroup_name(const fs::path& dir);
// The holder of the bridge's network counts to no node's share, but has to be found when it is to end.
fs::path bridge_cgroup(const Lab& lab);
void make_cgroups(const Lab& lab);
// async-signal-safe after the string is made: 0 or -errno.
int join_cgroup(const fs::path& path, pid_t pid);

// ---- processes
// The initial environment of a process; empty if it cannot be read.
std::vector<std::string> environment_of(pid_t pid);
// Is it a process of the lab in `dir` (its OMIG_DIR is DIR/nodeN)?
bool is_member(pid_t pid, const fs::path& dir);
// A pidfd of a process that was verified to be a member after the pidfd was opened; invalid otherwise.
Fd open_member(pid_t pid, const fs::path& dir);
std::vector<pid_t> all_pids();
std::string read_text(const fs::path& file);  // empty if it cannot be read

// ---- the control socket
// One question to a node's homed: a JSON line each way. Nothing if there is no answer in time.
std::optional<nlohmann::json> ask_homed(const fs::path& state_dir, const nlohmann::json& question,
                                        milliseconds timeout);
// How many nodes this node's homed sees alive, itself included; -1 if it does not answer.
int nodes_seen(const fs::path& state_dir, milliseconds timeout);
// The pid of the node's homed if it lives: what it wrote itself, else what `up` remembered.
pid_t living_homed(const Lab& lab, const Node& node);

// ---- the commands
struct Options {
  fs::path dir;
  int nodes = 4;
  std::vector<int> cpu_percents;
  std::optional<int> rate_mbit;
  bool balance = true;
  bool json = false;
};

int up(const Options& options);
int down(const Options& options);
int status(const Options& options);
int restart(const Options& options, const std::string& node);
int exec(const Options& options, const std::string& node, const std::vector<std::string>& command);
int hold(const fs::path& dir, int id);  // internal: the process that keeps a node's namespaces

// Everything of the lab in `dir` ends; the caller holds the lock. What could not be ended, one line each.
std::vector<std::string> dismantle(const fs::path& dir);

// Makes the calling process one of the node's: namespaces, cgroup, environment. Keeps the working directory.
void enter_node(const Lab& lab, const Node& node);
pid_t start_homed(const Lab& lab, const Node& node);
// Waits until every node sees every other one.
void wait_until_complete(const Lab& lab, std::chrono::seconds limit);

// ---- the network of mode `namespaces` (iproute2 does the work)
void wire_bridge(const Lab& lab);
void wire_node(const Lab& lab, const Node& node);
bool loopback_free(const std::string& address);

}  // namespace omig::lab
