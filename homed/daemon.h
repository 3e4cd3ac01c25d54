// SPDX-License-Identifier: Apache-2.0
// The rooms of the daemon and what they share. One thread runs it all: nothing here is locked, and nothing here blocks
// for longer than reading a few files of /proc takes.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "homed/children.h"
#include "homed/guest_group.h"
#include "homed/guest_limits.h"
#include "homed/history.h"
#include "homed/log.h"
#include "homed/permission.h"
#include "homed/processes.h"
#include "homed/secure.h"
#include "homed/stream.h"
#include "homed/visitors.h"
#include "lib/cluster/placement.h"
#include "lib/cluster/programs.h"
#include "lib/cluster/statistics.h"
#include "lib/cluster/window.h"

namespace omig {

struct Config {
  std::string state_dir;
  std::string name;
  u32 id = 0;
  Endpoint listen;
  std::vector<Endpoint> peers;
  double cpus = 1;                               // usable ones, a quota counts
  double speed = 1;                              // of one; 1 = the reference (speed.h), openMosix' 10000
  bool cpus_given = false, speed_given = false;  // else they are found out (capacity.h)
  double speed_option = 0;                       // --speed; 0: none
  bool foreground = false;
  bool balance = true;                              // the scheduler may move processes
  const cluster::Policy* policy = &cluster::kOmig;  // by which rules
};

// What the node's administrator has told it while it runs (settings.h).
struct Settings {
  bool block = false;  // no guest may arrive
  bool stay = false;   // no process leaves by itself, guests included
  bool lstay = false;  // none of our own does
  bool quiet = false;  // the others are not told our load, so they choose somebody else
  bool mptcp = false;  // links of what leaves from then on use all of the node's networks
  double speed = 0;    // instead of the measured one; 0: none
  u32 gateways = 0;
  u32 patience_s = 60;  // for how long a broken link between a process of this node and its guest is made again
  cluster::DecaySettings decay;
  Limits limits;
};

struct Daemon {
  Daemon(asio::io_context& io_context, Config configuration, Credentials own)
      : io(io_context),
        config(std::move(configuration)),
        credentials(std::move(own)),
        callers(io, credentials),
        children(io, config.state_dir),
        processes(config.state_dir, geteuid()),
        visitors(io, config.state_dir),
        groups(config.state_dir),
        history(io) {}

  asio::io_context& io;
  Config config;
  Settings settings;
  Credentials credentials;
  Callers callers;
  Children children;
  Processes processes;
  Visitors visitors;
  GuestGroups groups;
  History history;
  cluster::Window window;
  cluster::LoadAverage average;
  double utilisation = 0;                    // capacity.h keeps it
  bool owner_needs_it = false;               // guest_limits.h keeps it: no guests now
  cluster::Programs programs;                // what they did in earlier runs
  cluster::DecayingSum coming;               // new processes, by the time that they will be there
  cluster::Links links;                      // from here to the others
  u32 on_their_way = 0;                      // moves of ours, from the question to the target to the end
  u64 bytes_on_their_way = 0;                // of memory that those carry
  std::map<Endpoint, std::string> problems;  // why a peer cannot be talked to; empty: it can
  u64 incarnation = 0;
  u64 entry_seq = 0;
  // Processes whose move is under way: key is (home name, pid); what they want is no longer counted as load here.
  std::map<VisitorKey, i64> moving;
  std::multiset<pid_t> placed_by_hand;  // their users say where they start (omctl run -n)
  std::set<pid_t> directed_told;        // threads with signals of their own whose hosts are being told
};

// Our own entry as of now, with a new sequence number.
cluster::NodeEntry own_entry(Daemon& daemon);

// Of a node known here, or ours; else "node N".
std::string node_name(const Daemon& daemon, u32 id);

// Who may tell this node what to do: root and the user whom it serves; nobody else, with the refusal that says so.
bool may_administer(uid_t asker);
Json not_an_administrator(std::string_view what);  // "change its settings"
// Who may order this process or guest about: of ours, whom permission.h says; a guest, who may administer this node.
bool may_command(Daemon& daemon, const VisitorKey& process, const Asker& asker);
inline constexpr const char* kNotYours = "another user's process";

std::string policy_names();  // "home, openmosix, ...", for messages

// Runs a coroutine on its own; an exception is logged, with what it was doing, instead of ending the daemon.
void spawn(Daemon& daemon, std::string what, awaitable<void> work);

}  // namespace omig
