// SPDX-License-Identifier: Apache-2.0
// The file tree of openMosix' /proc/hpc and /proc/PID, as questions to homed: names, modes, what a file reads as, what
// writing to it does. Knows nothing of FUSE, and asks through a function that its caller brings along: so it is tested
// without a mount, and whoever asks decides as whom.
//
//   admin/{block,lstay,stay,quiet}           0 or 1; read, and written by root and homed's own user
//   admin/{speed,gateways}                   a number (speed: 10000 = the reference; 0 = as measured)
//   admin/{decay-interval,slow-decay,fast-decay}   seconds; per mille kept in each
//   admin/{bring,expel}                      1 written: does it, the write returns when it is done; read: always 0
//   admin/nomfs                              1: there is no MFS; 0 cannot be written
//   admin/overheads                          a line per node: number, round trip in microseconds, bytes per second of
//   moves;
//                                            - where nothing is measured yet
//   admin/{mospe,version}                    this node's number; omig's version
//   config                                   the nodes as lines of a map: ID ADDRESS 1
//   nodes/N/{load,speed,util}                100 = a thread per reference CPU; 10000 = the reference; percent
//   nodes/N/{CPUs,mem,rmem,tmem,status}      whole CPUs, at least 1; bytes that others could have, in nobody's use,
//                                            all; bits of lib/client/facts.h
//   PID/where                                the number of the node it runs on; 0: at home
//   PID/goto, PID/migrate                    a node, home (or 0), balance (or -1) written: moves it; migrate reads as
//                                            nmigs
//   PID/nmigs, PID/cantmove                  completed moves; why it cannot move, empty if it can
//   PID/lock, PID/stay                       1: it moves only when asked to; stay also because the node's stay or lstay
//                                            say so; both written: its own lock
//   PID/disclosure                           0 to 3: what the tools of a node that it visits tell of it
//   self                                     a link to the PID of whoever looks
//
// Figures of a node that is down read as -101, as openMosix had it (its status as 0). Numbers end with a line feed.
#pragma once

#include <sys/types.h>

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/client/client.h"

namespace omig::tree {

// homed's answer with "ok": true to a request; else nothing, and *error is an errno (lib/client/facts.h).
using Ask = std::function<std::optional<Json>(const Json& request, milliseconds limit, int* error)>;

struct Attributes {
  mode_t mode = 0;  // with the type
  uid_t uid = 0;
  gid_t gid = 0;
};

// All paths are absolute: "/", "/admin/block". All functions return 0 or a negative errno.
int look(const Ask& ask, std::string_view path, Attributes* attributes);
int list(const Ask& ask, std::string_view path, std::vector<std::string>* names);
int read(const Ask& ask, std::string_view path, std::string* text);
// Returns when it is done; -EINVAL for a text that means nothing there.
int write(const Ask& ask, std::string_view path, std::string_view text);

// Whether it is `self`, which points to the number of the process that asks.
bool is_self(std::string_view path);

// The process that writing `path` would move; 0: none. Who writes to the file of its own process cannot be frozen as
// long as it waits for that: the caller has to let it go first.
pid_t moved_by(std::string_view path);

}  // namespace omig::tree
