// SPDX-License-Identifier: Apache-2.0
#include "homed/permission.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>

#include "homed/proc.h"

namespace omig {

namespace {

// "1000\t1001\t1000\t1000": the real one and the effective one.
template <class Id>
bool read_ids(std::string_view text, Id* real, Id* effective) {
  const char *at = text.data(), *end = at + text.size();
  for (Id* id : {real, effective}) {
    const auto [next, error] = std::from_chars(at, end, *id);
    if (error != std::errc()) return false;
    at = next == end ? end : next + 1;
  }
  return true;
}

}  // namespace

std::optional<Asker> asker_on(int socket) {
  ucred peer{};
  socklen_t length = sizeof(peer);
  if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) return std::nullopt;
  Asker asker{peer.pid, peer.uid, peer.gid, {}};
  // The kernel says how much room it needs (ERANGE); they do not change any more.
  length = 0;
  getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, nullptr, &length);
  asker.groups.resize(length / sizeof(gid_t));
  length = static_cast<socklen_t>(asker.groups.size() * sizeof(gid_t));
  if (length != 0 && getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, asker.groups.data(), &length) != 0)
    asker.groups.clear();
  return asker;
}

Asker ourselves() { return {getpid(), geteuid(), getegid(), {}}; }

std::optional<Owner> owner_in(std::string_view status) {
  Owner owner;
  const bool known = read_ids(status_field(status, "Uid"), &owner.uid, &owner.effective_uid) &&
                     read_ids(status_field(status, "Gid"), &owner.gid, &owner.effective_gid);
  return known ? std::optional(owner) : std::nullopt;
}

bool may_command(const Asker& asker, const Owner& owner) {
  if (asker.uid == 0 || asker.uid == owner.uid || asker.uid == owner.effective_uid) return true;
  const auto is_member = [&](gid_t group) {
    return asker.gid == group || std::ranges::find(asker.groups, group) != asker.groups.end();
  };
  return is_member(owner.gid) || is_member(owner.effective_gid);
}

}  // namespace omig
