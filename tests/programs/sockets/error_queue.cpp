// SPDX-License-Identifier: Apache-2.0
// A datagram that nobody takes: ECONNREFUSED on the connected socket, once, and in the error queue with the address it
// was sent to. A user would see traceroute or a resolver wait instead of asking the next server.
#include <poll.h>

#include "tests/programs/network.h"
// clang-format off: needs struct timespec before it
#include <linux/errqueue.h>
// clang-format on

int main() {
  int fd = bound_socket(SOCK_DGRAM), gone = bound_socket(SOCK_DGRAM);
  sockaddr_in target = own_name(gone);
  close(gone);
  CHECK_EQ(connect(fd, as_sockaddr(target), sizeof target), 0);
  for (int round = 0; round < 2; round++) {
    char text[20] = {};
    CHECK_EQ(send(fd, "lost", 4, 0), 4);
    pollfd polled = {fd, POLLIN, 0};
    CHECK_EQ(poll(&polled, 1, 20'000), 1);
    ready_and_wait();
    CHECK_ERRNO(recv(fd, text, sizeof text, MSG_DONTWAIT), ECONNREFUSED);
    CHECK_ERRNO(recv(fd, text, sizeof text, MSG_DONTWAIT), EAGAIN);
    set_option(fd, IPPROTO_IP, IP_RECVERR, 1);
    CHECK_EQ(send(fd, "again", 5, 0), 5);
    CHECK_EQ(poll(&polled, 1, 20'000), 1);
    CHECK(polled.revents & POLLERR);
    ready_and_wait();
    alignas(cmsghdr) char control[200];
    sockaddr_in name = {};
    iovec piece = {text, sizeof text};
    msghdr message = {};
    message.msg_name = &name;
    message.msg_namelen = sizeof name;
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    CHECK_EQ(recvmsg(fd, &message, MSG_ERRQUEUE), 5);
    CHECK(memcmp(text, "again", 5) == 0);
    CHECK_EQ(message.msg_flags & MSG_ERRQUEUE, MSG_ERRQUEUE);
    CHECK_EQ(name.sin_port, target.sin_port);
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    CHECK(header && header->cmsg_level == IPPROTO_IP && header->cmsg_type == IP_RECVERR);
    sock_extended_err error;
    memcpy(&error, CMSG_DATA(header), sizeof error);
    CHECK_EQ(error.ee_errno, ECONNREFUSED);
    CHECK_EQ(error.ee_origin, SO_EE_ORIGIN_ICMP);
    CHECK_ERRNO(recvmsg(fd, &message, MSG_ERRQUEUE), EAGAIN);
    (void)get_option<int>(fd, SOL_SOCKET, SO_ERROR);
    set_option(fd, IPPROTO_IP, IP_RECVERR, 0);
  }
  return 0;
}
