// SPDX-License-Identifier: Apache-2.0
// The cgroups of visits, by which the kernel keeps guests to the settings guest_mb and guest_cpu. They are made only
// while such a limit is set, for the guests that come from then on:
//
//   PARENT               homed's own cgroup or the next above that may have children with the controller; never one
//     omig-guests-PID    above a limit, which guests must not escape
//       VISIT            cpu: a quota for the guests and the host that works for them
//         host           the omig-host. Its memory has no limit, or it could not take its guests home.
//         guests         memory: the wall
//
// v2 has memory.high: whoever is beyond it waits ever longer for more. v1 has a hard limit; without the OOM killer, who
// touches memory beyond it waits until there is room (but a system call that needs some fails with ENOMEM). Both give
// homed the time to send the guest home, for which it moves the wall (guest_limits.h). Swap is no way around it.
// Sources: Documentation/admin-guide/cgroup-v2.rst, "memory.high"; cgroup-v1/memory.rst, section 10.
#pragma once

#include <sys/types.h>

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "lib/base/types.h"
#include "lib/link/peer.h"

namespace omig {

// For all guests of a visit together; 0: no limit.
struct Hold {
  u64 bytes = 0;
  u32 cpu_percent = 0;  // of one CPU
  bool operator==(const Hold&) const = default;
};

class GuestGroups {
 public:
  // The folders made are noted in STATE_DIR/guest-groups, for a later homed and for who removes the node. `root` is put
  // before each path (tests).
  explicit GuestGroups(std::string state_dir, std::string root = "");

  // Why the kernel keeps no guest to such a limit here; empty: it does. Looks anew each time.
  std::string why_not(const Hold& hold) const;

  // Where a visit's processes write "0" to come in: a cgroup.procs of each hierarchy.
  struct Room {
    std::vector<Fd> host, guests;
  };
  // A new visit's folders. No descriptors where `hold` has no limit that the kernel can keep here (why_not); nothing,
  // with what is wrong in *error, if they could not be made.
  std::optional<Room> make(const Hold& hold, std::string* error);
  // Changes what the visit of this guest (its pid here) is held to. False: it has no folders, or the kernel refuses,
  // as v1 does for a wall behind which it cannot get.
  bool hold(pid_t guest, const Hold& hold) const;
  // Whether the guest's visit has all the memory that it may have.
  bool at_wall(pid_t guest) const;
  // Removes the folders of visits that have ended.
  void sweep();

 private:
  struct Hierarchy {
    std::string parent;
    bool v2 = false, memory = false, cpu = false;
  };
  std::vector<Hierarchy> hierarchies(const Hold& hold, std::string* why_not) const;
  struct Place {
    std::string visit, guests;
    bool v2 = false;
  };
  // Where this controller has a guest's visit; nothing: nowhere of ours.
  std::optional<Place> place_of(pid_t guest, const std::string& controller) const;
  bool note_folders() const;

  std::string state_dir_, root_;
  std::set<std::string> bases_;  // ours, and those of former homeds that may still have guests
  u32 visits_ = 0;
};

}  // namespace omig
