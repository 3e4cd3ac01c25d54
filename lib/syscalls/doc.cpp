// SPDX-License-Identifier: Apache-2.0
#include "lib/syscalls/doc.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <iterator>

#include "lib/syscalls/plan.h"
#include "lib/syscalls/table.h"

namespace omig::syscalls {
namespace {

std::string_view served(Route route) {
  switch (route) {
    case Route::local: return "here";
    case Route::home: return "at home";
    case Route::traced: return "by the host, traced";
    case Route::special: return "by the host";
    case Route::come_home: return "comes home";
    case Route::absent: return "ENOSYS";
  }
  return "?";
}

std::string_view interrupted(Restart restart) {
  switch (restart) {
    case Restart::never: return "-";
    case Restart::restartable: return "SA_RESTART decides";
    case Restart::no_hand: return "EINTR after a handler, else restarted";
    case Restart::always_eintr: return "EINTR, never restarted";
    case Restart::block: return "EINTR after a handler, else goes on with the time left";
  }
  return "?";
}

constexpr std::string_view kHead = R"(# How each syscall is served while a program is away

Generated from the table in `lib/syscalls/` by `omig-syscall-doc`; change the table, then run
`ninja -C build lib/syscalls/omig-syscall-doc && build/lib/syscalls/omig-syscall-doc > docs/SYSCALLS.md`.

| served | how | calls |
|---|---|---|
)";

constexpr std::string_view kAfterSummary = R"(
A number that is not in this table comes home: the process returns, executes the call there, and may leave again. So no
program fails because a call is missing here.

"When a signal comes" says what native Linux does to the interrupted call, which is what the program sees away from home
as well.

| nr | name | served | when a signal comes | note |
|---:|---|---|---|---|
)";

constexpr std::string_view kIoctls = R"(
## ioctl

Served away by name:

)";

constexpr std::string_view kIoctlFamilies = R"(
Also served: `SIOCGIFCONF`, `FS_IOC_FIEMAP` and `FIDEDUPERANGE` with the arrays they carry, and by the size that is encoded in them the
requests of terminals (`T`), ext4 and its relatives (`f`), file versions (`v`), file systems (`X`: freeze, trim, labels), block devices
(0x12), socket time stamps, clocks (`p`), input devices (`E`), the random device (`R`), watchdogs (`W`), namespaces (0xb7) and pidfds
(0xff). Any other request comes home.
)";

}  // namespace

std::string syscall_page() {
  struct Line {
    Route route;
    std::string_view how;
  };
  constexpr Line kLines[] = {
      {Route::local, "by the visited node's kernel, at native speed"},
      {Route::home, "forwarded to the deputy, which executes it with the program's real files, ids and children"},
      {Route::traced,
       "stopped just before: the host has the child made at home, then lets it happen here with the same number"},
      {Route::special, "the host does its part here and forwards the rest"},
      {Route::come_home, "the process goes home first and executes it there"},
      {Route::absent, "answered as by a kernel without the call"},
  };
  std::string page{kHead};
  auto to = std::back_inserter(page);
  for (const Line& line : kLines) {
    const auto count = std::ranges::count(rows(), line.route, &Row::route);
    fmt::format_to(to, "| {} | {} | {} |\n", served(line.route), line.how, count);
  }
  fmt::format_to(to, "| **all** | | {} |\n{}", rows().size(), kAfterSummary);
  for (const Row& row : rows()) {
    fmt::format_to(to, "| {} | `{}` | {} | {} | {} |\n", row.nr, row.name, served(row.route), interrupted(row.restart),
                   row.note);
  }
  page += kIoctls;
  for (const IoctlNames& list : ioctl_names())
    fmt::format_to(to, "- {}: `{}`\n", list.title, fmt::join(list.names, "`, `"));
  page += kIoctlFamilies;
  return page;
}

}  // namespace omig::syscalls
