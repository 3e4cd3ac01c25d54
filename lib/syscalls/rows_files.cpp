// SPDX-License-Identifier: Apache-2.0
// Rows: open files and their contents. Descriptors are home's numbers, so they pass unchanged.
#include "lib/syscalls/rows.h"

namespace omig::syscalls {
namespace {

using namespace dsl;

constexpr std::string_view kReadCut = "A count above 64 MiB is cut to 64 MiB: a short read, also from a regular file.";
constexpr std::string_view kWriteCut = "More than 64 MiB in one call comes home, so that no write is cut.";

constexpr Row kRows[] = {
    reads(home(0, "read", restartable, {fd, out_by(2), num}, kReadCut)),
    home(1, "write", restartable, {fd, in_by(2), num}, kWriteCut),
    opens(special(2, "open", restartable, {path, num, num},
                  "/proc/self and the guest's own /proc files show the guest.")),
    closes(home(3, "close", never, {fd})),
    reads(home(8, "lseek", never, {fd, num, num})),
    home(16, "ioctl", restartable, {fd, num, code},
         "By request: terminals, sockets and files are served; a request whose layout is unknown comes home."),
    harmless(home(17, "pread64", restartable, {fd, out_by(2), num, num}, kReadCut)),
    home(18, "pwrite64", restartable, {fd, in_by(2), num, num}, kWriteCut),
    reads(home(19, "readv", restartable, {fd, iov_out(2), num}, kReadCut)),
    home(20, "writev", restartable, {fd, iov_in(2), num}, kWriteCut),
    home(22, "pipe", never, {out(8)}),
    home(32, "dup", never, {fd}),
    home(33, "dup2", never, {fd, num}),
    home(40, "sendfile", restartable, {fd, fd, both(8), num}, "Both files are home's: no data crosses the link."),
    home(72, "fcntl", restartable, {fd, num, code}, "By command; an unknown command comes home."),
    home(73, "flock", restartable, {fd, num}),
    harmless(home(74, "fsync", never, {fd})),
    harmless(home(75, "fdatasync", never, {fd})),
    home(77, "ftruncate", never, {fd, num}),
    reads(home(78, "getdents", never, {fd, out_by(2), num})),
    home(85, "creat", restartable, {path, num}),
    harmless(home(162, "sync", never)),
    harmless(home(187, "readahead", never, {fd, num, num})),
    reads(home(217, "getdents64", never, {fd, out_by(2), num}, "The engine's thread and descriptors are not listed.")),
    harmless(home(221, "fadvise64", never, {fd, num, num, num})),
    opens(special(257, "openat", restartable, {fd, path, num, num},
                  "/proc/self and the guest's own /proc files show the guest.")),
    home(275, "splice", restartable, {fd, both(8), fd, both(8), num, num}),
    home(276, "tee", restartable, {fd, fd, num, num}),
    harmless(home(277, "sync_file_range", never, {fd, num, num, num})),
    come_home(278, "vmsplice", "The pipe would share pages with the program's memory."),
    home(285, "fallocate", never, {fd, num, num, num}),
    home(292, "dup3", never, {fd, num, num}),
    home(293, "pipe2", never, {out(8), num}),
    harmless(home(295, "preadv", restartable, {fd, iov_out(2), num, num, num}, kReadCut)),
    home(296, "pwritev", restartable, {fd, iov_in(2), num, num, num}, kWriteCut),
    harmless(home(306, "syncfs", never, {fd})),
    home(319, "memfd_create", never, {str(250), num},
         "The file is home's; a shared mapping of it comes home (see mmap)."),
    home(326, "copy_file_range", restartable, {fd, both(8), fd, both(8), num, num}),
    reads(home(327, "preadv2", restartable, {fd, iov_out(2), num, num, num, num}, kReadCut)),
    home(328, "pwritev2", restartable, {fd, iov_in(2), num, num, num, num}, kWriteCut),
    special(436, "close_range", never, {num, num, num}, "Spares the engine's own descriptors at home."),
    special(437, "openat2", restartable, {fd, path, in_by(3, 4096), num},
            "/proc/self and the guest's own /proc files show the guest."),
    harmless(home(451, "cachestat", never, {fd, in(16), out(40), num})),

    // Linux asynchronous I/O keeps a ring in the program's memory that the kernel writes.
    come_home(206, "io_setup", "The completion ring is memory that home's kernel writes."),
    come_home(207, "io_destroy", "See io_setup."),
    come_home(208, "io_getevents", "See io_setup."),
    come_home(209, "io_submit", "See io_setup."),
    come_home(210, "io_cancel", "See io_setup."),
    come_home(333, "io_pgetevents", "See io_setup."),
    absent(425, "io_uring_setup", "Answered as by a kernel without io_uring: programs have a fallback."),
    absent(426, "io_uring_enter", "See io_uring_setup."),
    absent(427, "io_uring_register", "See io_uring_setup."),
};

}  // namespace

std::span<const Row> file_rows() { return kRows; }

}  // namespace omig::syscalls
