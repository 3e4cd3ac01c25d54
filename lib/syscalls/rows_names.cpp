// SPDX-License-Identifier: Apache-2.0
// Rows: names in the file system, what stands behind them (stat, attributes), and mounts.
#include "lib/syscalls/rows.h"

namespace omig::syscalls {
namespace {

using namespace dsl;

constexpr u32 kStatBytes = 144;
constexpr u32 kStatfsBytes = 120;
constexpr u32 kStatxBytes = 256;
constexpr u32 kXattrMost = 65536;       // XATTR_SIZE_MAX and XATTR_LIST_MAX
constexpr Shape kXattrName = str(256);  // XATTR_NAME_MAX and the NUL
constexpr std::string_view kProc = "The guest's own links under /proc (exe, cwd, fd) are answered as at home.";
constexpr std::string_view kMounts = "Changes the mounts that the program itself lives in.";

constexpr Row kRows[] = {
    harmless(home(4, "stat", never, {path, out(kStatBytes)})),
    harmless(home(5, "fstat", never, {fd, out(kStatBytes)})),
    harmless(home(6, "lstat", never, {path, out(kStatBytes)})),
    harmless(home(21, "access", never, {path, num})),
    home(76, "truncate", never, {path, num}),
    harmless(home(79, "getcwd", never, {out_by(1, 4096), num})),
    home(80, "chdir", never, {path}),
    home(81, "fchdir", never, {fd}),
    home(82, "rename", never, {path, path}),
    home(83, "mkdir", never, {path, num}),
    home(84, "rmdir", never, {path}),
    home(86, "link", never, {path, path}),
    home(87, "unlink", never, {path}),
    home(88, "symlink", never, {path, path}),
    harmless(special(89, "readlink", never, {path, out_by(2, 4096), num}, kProc)),
    home(90, "chmod", never, {path, num}),
    home(91, "fchmod", never, {fd, num}),
    home(92, "chown", never, {path, num, num}),
    home(93, "fchown", never, {fd, num, num}),
    home(94, "lchown", never, {path, num, num}),
    home(95, "umask", never, {num}),
    home(132, "utime", never, {path, in(16)}),
    home(133, "mknod", never, {path, num, num}),
    home(136, "ustat", never, {num, out(32)}),
    harmless(home(137, "statfs", never, {path, out(kStatfsBytes)})),
    harmless(home(138, "fstatfs", never, {fd, out(kStatfsBytes)})),
    come_home(139, "sysfs", "Obsolete: its buffer's size is not known."),
    home(161, "chroot", never, {path}, "The deputy's root changes, and with it every later name."),
    home(188, "setxattr", never, {path, kXattrName, in_by(3, kXattrMost), num, num}),
    home(189, "lsetxattr", never, {path, kXattrName, in_by(3, kXattrMost), num, num}),
    home(190, "fsetxattr", never, {fd, kXattrName, in_by(3, kXattrMost), num, num}),
    harmless(home(191, "getxattr", never, {path, kXattrName, out_by(3, kXattrMost), num})),
    harmless(home(192, "lgetxattr", never, {path, kXattrName, out_by(3, kXattrMost), num})),
    harmless(home(193, "fgetxattr", never, {fd, kXattrName, out_by(3, kXattrMost), num})),
    harmless(home(194, "listxattr", never, {path, out_by(2, kXattrMost), num})),
    harmless(home(195, "llistxattr", never, {path, out_by(2, kXattrMost), num})),
    harmless(home(196, "flistxattr", never, {fd, out_by(2, kXattrMost), num})),
    home(197, "removexattr", never, {path, kXattrName}),
    home(198, "lremovexattr", never, {path, kXattrName}),
    home(199, "fremovexattr", never, {fd, kXattrName}),
    home(235, "utimes", never, {path, in(32)}),
    home(258, "mkdirat", never, {fd, path, num}),
    home(259, "mknodat", never, {fd, path, num, num}),
    home(260, "fchownat", never, {fd, path, num, num, num}),
    home(261, "futimesat", never, {fd, path, in(32)}),
    harmless(home(262, "newfstatat", never, {fd, path, out(kStatBytes), num})),
    home(263, "unlinkat", never, {fd, path, num}),
    home(264, "renameat", never, {fd, path, fd, path}),
    home(265, "linkat", never, {fd, path, fd, path, num}),
    home(266, "symlinkat", never, {path, fd, path}),
    harmless(special(267, "readlinkat", never, {fd, path, out_by(3, 4096), num}, kProc)),
    home(268, "fchmodat", never, {fd, path, num}),
    harmless(home(269, "faccessat", never, {fd, path, num})),
    home(280, "utimensat", never, {fd, path, in(32), num}),
    home(303, "name_to_handle_at", never, {fd, path, code, code, num}),
    home(304, "open_by_handle_at", restartable, {fd, code, num}),
    home(316, "renameat2", never, {fd, path, fd, path, num}),
    harmless(home(332, "statx", never, {fd, path, num, num, out(kStatxBytes)})),
    harmless(home(439, "faccessat2", never, {fd, path, num, num})),
    home(452, "fchmodat2", never, {fd, path, num, num}),
    home(463, "setxattrat", never, {fd, path, num, kXattrName, code, num}),
    home(464, "getxattrat", never, {fd, path, num, kXattrName, code, num}),
    home(465, "listxattrat", never, {fd, path, num, out_by(4, kXattrMost), num}),
    home(466, "removexattrat", never, {fd, path, num, kXattrName}),
    home(468, "file_getattr", never, {fd, path, cap_by(3, 4096), num, num}),
    home(469, "file_setattr", never, {fd, path, in_by(3, 4096), num, num}),

    come_home(155, "pivot_root", kMounts),
    come_home(165, "mount", kMounts),
    come_home(166, "umount2", kMounts),
    come_home(179, "quotactl", "Its structures depend on the command."),
    come_home(428, "open_tree", kMounts),
    come_home(429, "move_mount", kMounts),
    come_home(430, "fsopen", kMounts),
    come_home(431, "fsconfig", kMounts),
    come_home(432, "fsmount", kMounts),
    come_home(433, "fspick", kMounts),
    come_home(442, "mount_setattr", kMounts),
    come_home(443, "quotactl_fd", "Its structures depend on the command."),
    home(457, "statmount", never, {code, code, num, num}),
    home(458, "listmount", never, {code, code, num, num}),
    come_home(467, "open_tree_attr", kMounts),
};

}  // namespace

std::span<const Row> name_rows() { return kRows; }

}  // namespace omig::syscalls
