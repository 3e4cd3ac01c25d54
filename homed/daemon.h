// SPDX-License-Identifier: Apache-2.0
// The rooms of the daemon and what they share. One thread runs it all: nothing here is locked, and nothing here blocks
// for longer than reading a few files of /proc takes.
#pragma once

#include <string>
#include <vector>

#include "homed/children.h"
#include "homed/log.h"
#include "homed/processes.h"
#include "homed/stream.h"
#include "homed/visitors.h"
#include "lib/cluster/placement.h"
#include "lib/cluster/window.h"

namespace omig {

struct Config {
  std::string state_dir;
  std::string name;
  u32 id = 0;
  Endpoint listen;
  std::vector<Endpoint> peers;
  double cpus = 0;   // 0: find out
  double speed = 0;  // 0: measure
  bool foreground = false;
  bool balance = true;  // the scheduler may move processes
};

struct Daemon {
  Daemon(asio::io_context& io_context, Config configuration, ClusterKey cluster_key)
      : io(io_context),
        config(std::move(configuration)),
        key(cluster_key),
        children(io, config.state_dir),
        processes(config.state_dir, geteuid()),
        visitors(io, config.state_dir) {}

  asio::io_context& io;
  Config config;
  ClusterKey key;
  Children children;
  Processes processes;
  Visitors visitors;
  cluster::Window window;
  cluster::LoadAverage average;
  std::map<Endpoint, std::string> problems;  // why a peer cannot be talked to; empty: it can
  u64 incarnation = 0;
  u64 entry_seq = 0;
  // Processes whose move is under way: key is (home name, pid); what they want is no longer counted as load here.
  std::map<VisitorKey, i64> moving;
};

// Our own entry as of now, with a new sequence number.
cluster::NodeEntry own_entry(Daemon& daemon);

// Runs a coroutine on its own; an exception is logged, with what it was doing, instead of ending the daemon.
void spawn(Daemon& daemon, std::string what, awaitable<void> work);

}  // namespace omig
