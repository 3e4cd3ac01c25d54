// SPDX-License-Identifier: Apache-2.0
// Membership of a multicast group on the loopback interface holds over moves, and ends when it is given up. A user
// would see a program that finds others by multicast (mDNS) go deaf.
#include <net/if.h>
#include <poll.h>

#include "tests/programs/network.h"

int main() {
  int fd = socket(AF_INET, SOCK_DGRAM, 0), sender = bound_socket(SOCK_DGRAM);
  sockaddr_in group = {};
  group.sin_family = AF_INET;
  group.sin_addr.s_addr = inet_addr("239.77.1.2");
  CHECK_EQ(bind(fd, as_sockaddr(group), sizeof group), 0);
  group.sin_port = own_name(fd).sin_port;
  ip_mreqn member = {group.sin_addr, {htonl(INADDR_LOOPBACK)}, static_cast<int>(if_nametoindex("lo"))};
  CHECK(member.imr_ifindex > 0);
  CHECK_EQ(setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &member, sizeof member), 0);
  CHECK_EQ(setsockopt(sender, IPPROTO_IP, IP_MULTICAST_IF, &member, sizeof member), 0);
  set_option(sender, IPPROTO_IP, IP_MULTICAST_TTL, 3);
  auto arrives = [&] {
    CHECK_EQ(sendto(sender, "all", 3, 0, as_sockaddr(group), sizeof group), 3);
    char text[4];
    pollfd polled = {fd, POLLIN, 0};
    return poll(&polled, 1, 0) == 1 && recv(fd, text, 4, 0) == 3;  // loopback delivers before it returns
  };
  ready_and_wait();
  CHECK(arrives());
  CHECK_ERRNO(setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &member, sizeof member), EADDRINUSE);
  CHECK_EQ(get_option<int>(sender, IPPROTO_IP, IP_MULTICAST_TTL), 3);
  set_option(sender, IPPROTO_IP, IP_MULTICAST_LOOP, 0);
  ready_and_wait();
  CHECK_EQ(get_option<int>(sender, IPPROTO_IP, IP_MULTICAST_LOOP), 0);
  CHECK(arrives());
  CHECK_EQ(setsockopt(fd, IPPROTO_IP, IP_DROP_MEMBERSHIP, &member, sizeof member), 0);
  set_option(fd, IPPROTO_IP, IP_MULTICAST_ALL, 0);
  CHECK(!arrives());
  CHECK_ERRNO(setsockopt(fd, IPPROTO_IP, IP_DROP_MEMBERSHIP, &member, sizeof member), EADDRNOTAVAIL);
  return 0;
}
