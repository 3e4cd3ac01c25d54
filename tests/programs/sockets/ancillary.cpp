// SPDX-License-Identifier: Apache-2.0
// What a datagram tells beside its data: the address it was sent to, its TTL and TOS, the time of its arrival; and
// choosing the source address when sending. A user would see a server answer from the wrong address.
#include "tests/programs/network.h"

int main() {
  int fd = socket(AF_INET, SOCK_DGRAM, 0), sender = bound_socket(SOCK_DGRAM);
  sockaddr_in any = {}, target;
  any.sin_family = AF_INET;
  CHECK_EQ(bind(fd, as_sockaddr(any), sizeof any), 0);
  target = loopback(own_name(fd).sin_port);
  target.sin_addr.s_addr = htonl(0x7f000005);  // 127.0.0.5
  set_option(fd, IPPROTO_IP, IP_PKTINFO, 1);
  set_option(fd, IPPROTO_IP, IP_RECVTTL, 1);
  set_option(fd, IPPROTO_IP, IP_RECVTOS, 1);
  set_option(fd, SOL_SOCKET, SO_TIMESTAMPNS, 1);
  set_option(sender, IPPROTO_IP, IP_TTL, 77);
  set_option(sender, IPPROTO_IP, IP_TOS, 0x48);
  for (int round = 0; round < 2; round++) {
    timespec before, after;
    clock_gettime(CLOCK_REALTIME, &before);
    CHECK_EQ(sendto(sender, "hello", 5, 0, as_sockaddr(target), sizeof target), 5);
    ready_and_wait();
    char text[20] = {};
    alignas(cmsghdr) char control[300];
    sockaddr_in name = {};
    iovec piece = {text, sizeof text};
    msghdr message = {};
    message.msg_name = &name;
    message.msg_namelen = sizeof name;
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    CHECK_EQ(recvmsg(fd, &message, 0), 5);
    CHECK_EQ(message.msg_flags, 0);
    clock_gettime(CLOCK_REALTIME, &after);  // a stamp that was not yet switched on at the arrival is made now
    int seen = 0;
    in_pktinfo info = {};
    for (cmsghdr* header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
      int number = *CMSG_DATA(header);
      if (header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_TIMESTAMPNS) {
        timespec at;
        memcpy(&at, CMSG_DATA(header), sizeof at);
        CHECK(at.tv_sec > before.tv_sec || (at.tv_sec == before.tv_sec && at.tv_nsec >= before.tv_nsec - 1000));
        CHECK(at.tv_sec < after.tv_sec || (at.tv_sec == after.tv_sec && at.tv_nsec <= after.tv_nsec + 1000));
        seen |= 1;
      } else if (header->cmsg_type == IP_PKTINFO) {
        memcpy(&info, CMSG_DATA(header), sizeof info);
        CHECK_EQ(info.ipi_addr.s_addr, target.sin_addr.s_addr);
        CHECK(info.ipi_ifindex > 0);
        seen |= 2;
      } else if (header->cmsg_type == IP_TTL) {
        CHECK_EQ(number, 77);
        seen |= 4;
      } else if (header->cmsg_type == IP_TOS) {
        CHECK_EQ(number, 0x48);
        seen |= 8;
      }
    }
    CHECK_EQ(seen, 15);
    // The answer comes from the address that was asked.
    alignas(cmsghdr) char from[CMSG_SPACE(sizeof info)] = {};
    info.ipi_spec_dst = target.sin_addr;
    info.ipi_ifindex = 0;
    piece.iov_len = 5;
    message.msg_control = from;
    message.msg_controllen = sizeof from;
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = IPPROTO_IP;
    header->cmsg_type = IP_PKTINFO;
    header->cmsg_len = CMSG_LEN(sizeof info);
    memcpy(CMSG_DATA(header), &info, sizeof info);
    CHECK_EQ(sendmsg(fd, &message, 0), 5);
    socklen_t length = sizeof name;
    CHECK_EQ(recvfrom(sender, text, sizeof text, 0, as_sockaddr(name), &length), 5);
    CHECK_EQ(name.sin_addr.s_addr, target.sin_addr.s_addr);
  }
  return 0;
}
