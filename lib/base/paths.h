// SPDX-License-Identifier: Apache-2.0
// Where things lie: the state directory and our own binaries. Hosted code only.
#pragma once

#include <sys/types.h>

#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace omig {

// How a process' state directory follows from its environment: $OMIG_DIR, else /run/omig for root, else
// $XDG_RUNTIME_DIR/omig, else /tmp/omig-UID. `get` looks a variable up, so that homed can ask it of another process.
std::string state_dir_of(const std::function<std::optional<std::string>(std::string_view)>& get, uid_t uid);
// Of this process.
std::string default_state_dir();

// The path of one of our binaries ("libomig.so", "omig-host", "omig-stub", "omig-engine", "homed", "omctl"):
// $OMIG_LIBEXEC/NAME, else in the build tree or the installation around this executable, else next to it, else
// /usr/lib/omig/NAME. Empty if it is in none of these places.
std::string find_binary(std::string_view name);

// The directory of the running executable.
std::string own_directory();

}  // namespace omig
