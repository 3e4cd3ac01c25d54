// SPDX-License-Identifier: Apache-2.0
// Rows: users, groups, capabilities, keys and access rules. Credentials are the deputy's: they decide at home.
#include "lib/syscalls/rows.h"

namespace omig::syscalls {
namespace {

using namespace dsl;

constexpr Row kRows[] = {
    harmless(home(102, "getuid", never)),
    harmless(home(104, "getgid", never)),
    home(105, "setuid", never, {num}),
    home(106, "setgid", never, {num}),
    harmless(home(107, "geteuid", never)),
    harmless(home(108, "getegid", never)),
    home(113, "setreuid", never, {num, num}),
    home(114, "setregid", never, {num, num}),
    harmless(home(115, "getgroups", never, {num, array_out(0, 4)})),
    home(116, "setgroups", never, {num, array_in(0, 4)}),
    home(117, "setresuid", never, {num, num, num}),
    harmless(home(118, "getresuid", never, {out(4), out(4), out(4)})),
    home(119, "setresgid", never, {num, num, num}),
    harmless(home(120, "getresgid", never, {out(4), out(4), out(4)})),
    home(122, "setfsuid", never, {num}),
    home(123, "setfsgid", never, {num}),
    harmless(home(125, "capget", never, {code, code})),
    home(126, "capset", never, {code, code}),
    home(248, "add_key", never, {str(32), str(4096), in_by(3, 1 << 20), num, num}),
    home(249, "request_key", restartable, {str(32), str(4096), str(4096), num}),
    home(250, "keyctl", restartable, {num, code, code, code, num},
         "By operation; the public-key and Diffie-Hellman ones come home."),
    home(444, "landlock_create_ruleset", never, {in_by(1, 4096), num, num}),
    home(445, "landlock_add_rule", never, {fd, num, code, num}),
    come_home(446, "landlock_restrict_self", "The rules would bind the deputy's own links as well."),
    home(459, "lsm_get_self_attr", never, {num, code, code, num}),
    home(460, "lsm_set_self_attr", never, {num, in_by(2, 4096), num, num}),
    home(461, "lsm_list_modules", never, {code, code, num}),
};

}  // namespace

std::span<const Row> identity_rows() { return kRows; }

}  // namespace omig::syscalls
