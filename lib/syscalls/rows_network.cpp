// SPDX-License-Identifier: Apache-2.0
// Rows: sockets and message queues.
//
// A socket call that has a time-out (SO_RCVTIMEO, SO_SNDTIMEO) gives EINTR whatever SA_RESTART says; without one it is
// restartable. The engine asks the socket which it is when a signal has ended the call (kReplyTimesOut).
#include "lib/syscalls/rows.h"

namespace omig::syscalls {
namespace {

using namespace dsl;

constexpr std::string_view kRights = "Descriptors in control messages are home's, their bytes pass unchanged.";

constexpr std::string_view kOwnPages =
    "MSG_ZEROCOPY comes home: the kernel sends from the program's own pages, and tells it when it is done with them.";
constexpr std::string_view kSends =
    "Descriptors in control messages are home's, their bytes pass unchanged. MSG_ZEROCOPY comes home.";

constexpr Row kRows[] = {
    home(41, "socket", never, {num, num, num}),
    home(42, "connect", restartable, {fd, addr_in(2), num}),
    home(43, "accept", restartable, {fd, addr_out(2), length}),
    home(44, "sendto", restartable, {fd, in_by(2), num, num, addr_in(5), num}, kOwnPages),
    home(45, "recvfrom", restartable, {fd, out_by(2), num, num, addr_out(5), length}),
    home(46, "sendmsg", restartable, {fd, msg_in, num}, kSends),
    home(47, "recvmsg", restartable, {fd, msg_out, num}, kRights),
    home(48, "shutdown", never, {fd, num}),
    home(49, "bind", never, {fd, addr_in(2), num}),
    home(50, "listen", never, {fd, num}),
    harmless(home(51, "getsockname", never, {fd, addr_out(2), length})),
    harmless(home(52, "getpeername", never, {fd, addr_out(2), length})),
    home(53, "socketpair", never, {num, num, num, out(8)}),
    home(54, "setsockopt", never, {fd, num, num, code, num},
         "Socket filters are carried; options that hold pointers otherwise come home."),
    harmless(
        home(55, "getsockopt", never, {fd, num, num, code, code}, "TCP_ZEROCOPY_RECEIVE comes home: it maps pages.")),
    home(288, "accept4", restartable, {fd, addr_out(2), length, num}),
    home(299, "recvmmsg", restartable, {fd, msgs_out(2), num, num, both(16)}, kRights),
    home(307, "sendmmsg", restartable, {fd, msgs_in(2), num, num}, kSends),

    // System V and POSIX message queues, semaphores.
    home(64, "semget", never, {num, num, num}),
    home(65, "semop", always_eintr, {num, array_in(2, 6), num}),
    home(66, "semctl", never, {num, num, num, code}),
    home(68, "msgget", never, {num, num}),
    home(69, "msgsnd", no_hand, {num, code, num, num}),
    home(70, "msgrcv", no_hand, {num, code, num, num, num}, "MSG_COPY and all others as at home."),
    home(71, "msgctl", never, {num, num, code}),
    home(220, "semtimedop", always_eintr, {num, array_in(2, 6), num, in(16)}),
    home(240, "mq_open", never, {path, num, num, in(64)}),
    home(241, "mq_unlink", never, {path}),
    home(242, "mq_timedsend", restartable, {fd, in_by(2), num, num, in(16)}),
    home(243, "mq_timedreceive", restartable, {fd, out_by(2), num, out(4), in(16)}),
    home(244, "mq_notify", never, {fd, code}, "SIGEV_THREAD comes home: glibc's helper reads a cookie by address."),
    home(245, "mq_getsetattr", never, {fd, in(64), out(64)}),
};

}  // namespace

std::span<const Row> network_rows() { return kRows; }

}  // namespace omig::syscalls
