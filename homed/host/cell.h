// SPDX-License-Identifier: Apache-2.0
// An empty guest: namespaces, INIT, and a process with the wanted pid that is stopped at the engine's first
// instruction, traced by the calling thread. Made without root (GUEST.md); needs user namespaces.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "homed/host/trace.h"
#include "lib/link/peer.h"

namespace omig::host {

struct CellRequest {
  pid_t pid = 0;              // wanted inside
  std::string clock_offsets;  // for /proc/self/timens_offsets, may be empty
  std::vector<int> groups;    // cgroup.procs of the cgroups in which all that lives in the cell begins
  std::vector<int> files;     // descriptors to hand on as kCellFiles + i; -1: hole
};

class Cell {
 public:
  // Throws std::runtime_error with the reason. The calling thread must be the only one that ever forks or traces here,
  // and lives as long as the host (PDEATHSIG is per thread).
  void create(const CellRequest& request);
  // Makes the kernel give `pid` to the next process or thread born inside. False: refused.
  bool choose_next_pid(pid_t pid);
  void reap_inside();

  pid_t init = 0;
  pid_t guest = 0;  // as this node's kernel knows it

 private:
  int ask_init(int number);
  Fd init_socket_;
  std::unique_ptr<std::mutex> asking_ =
      std::make_unique<std::mutex>();  // births and the tracer ask; answers carry no name
};

// Options every guest thread is traced with.
long guest_trace_options();

}  // namespace omig::host
