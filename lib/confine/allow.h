// SPDX-License-Identifier: Apache-2.0
// deputy.allow: what a user lets programs do at home that may leave it, and with them the nodes that they visit, which
// speak to the deputy and give back the memory that the program comes home with. confine.h puts it into force.
//
//   # comment
//   read  /usr /etc ~/models     files and directories, with all below them: list and read
//   exec  /usr/bin /lib64        read and execute
//   write ~/work -/scratch       read, and all that changes them; with "-" before it, it need not exist
//   sockets none                 none (the default), local (unix), all
//   signals own                  own (the default): to the program and what it starts; all
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/types.h"

namespace omig::confine {

enum class Access : u8 { read, exec, write };
enum class Sockets : u8 { none, local, all };
enum class Signals : u8 { own, all };

struct AllowedPath {
  std::string path;  // absolute, or "~" or "~/..." of whoever it is for
  Access access = Access::read;
  bool may_be_missing = false;
  bool operator==(const AllowedPath&) const = default;
};

struct Allow {
  std::vector<AllowedPath> paths;
  Sockets sockets = Sockets::none;
  Signals signals = Signals::own;
};

inline constexpr size_t kMostAllowBytes = 16 * 1024;

// Nothing: `wrong` says which line, and what is wrong there. A path cannot have blanks in it.
std::optional<Allow> parse_allow(std::string_view text, std::string* wrong);

}  // namespace omig::confine
