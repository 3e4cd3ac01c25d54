// SPDX-License-Identifier: Apache-2.0
// Who may order a process about: openMosix' rule, in one place. A process obeys root, its owner and its effective user,
// and the members of its owning and of its effective group. A guest obeys who administers the node that it visits
// (daemon.h).
#pragma once

#include <sys/types.h>

#include <optional>
#include <string_view>
#include <vector>

namespace omig {

// At the other end of a socket, as the kernel says: with its effective ids, and all groups that it is a member of.
struct Asker {
  pid_t pid = 0;
  uid_t uid = static_cast<uid_t>(-1);
  gid_t gid = static_cast<gid_t>(-1);
  std::vector<gid_t> groups;
};
std::optional<Asker> asker_on(int socket);
Asker ourselves();  // what this homed does of its own accord

struct Owner {
  uid_t uid = 0, effective_uid = 0;
  gid_t gid = 0, effective_gid = 0;
};
std::optional<Owner> owner_in(std::string_view status);  // /proc/PID/status

bool may_command(const Asker& asker, const Owner& owner);

}  // namespace omig
