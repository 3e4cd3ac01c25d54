// SPDX-License-Identifier: Apache-2.0
// The programs homed starts (omig-host, to depart or to receive). They outlive it: own session, no terminal, their
// stderr goes to $OMIG_DIR/host.log.
#pragma once

#include <sys/types.h>

#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "homed/stream.h"

namespace omig {

// A descriptor from which a child can read `text` once; not a file, nor on a command line, so nobody else can.
Fd secret_file(const std::string& text);

class Children {
 public:
  Children(asio::io_context& io, std::string state_dir);

  struct Started {
    pid_t pid = -1;
    std::string error;  // if pid < 0
  };
  // `passed` become descriptors 3, 4, ... of the child, `output` (if >= 0) its stdout. None is closed here.
  // `urgent`: it keeps homed's own priority (a mover, which holds a program frozen on a busy node); else it gets the
  // one homed was started with, which a guest inherits.
  // `joined`: cgroup.procs of the cgroups that it begins in.
  Started start(const std::vector<std::string>& argv, std::span<const int> passed, int output, bool urgent,
                std::span<const Fd> joined = {});
  // Starts it and returns all it wrote to stdout; nothing if it could not be started (reason in *error). It is killed
  // at the timeout.
  awaitable<std::optional<std::string>> output_of(const std::vector<std::string>& argv, std::span<const int> passed,
                                                  milliseconds timeout, std::string* error);
  bool running(pid_t pid) const { return running_.contains(pid); }

 private:
  awaitable<void> reap();

  asio::io_context& io_;
  std::string state_dir_;
  int ordinary_nice_;
  asio::signal_set signals_;
  std::map<pid_t, std::string> running_;
};

}  // namespace omig
