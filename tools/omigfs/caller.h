// SPDX-License-Identifier: Apache-2.0
// Asking homed as somebody else: with the credentials of whoever uses a file, which the kernel tells homed when the
// connection is made. Only a root omigfs can, and needs to: without root the mount is its user's alone.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "tools/omigfs/tree.h"

namespace omig::tree {

struct Caller {
  uid_t uid = 0;
  gid_t gid = 0;
  std::vector<gid_t> groups;
};

// Speaks to the homed of `state_dir` as `caller`; the function may be used after both are gone.
Ask ask_as(std::string state_dir, Caller caller);

}  // namespace omig::tree
