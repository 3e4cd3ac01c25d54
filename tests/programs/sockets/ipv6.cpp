// SPDX-License-Identifier: Apache-2.0
// IPv6: addresses of both kinds on one socket, the one kind only on another, what a datagram tells of its way. A user
// would see a server that one half of the world cannot reach.
#include "tests/programs/network.h"

namespace {
int bound6(sockaddr_in6& address, bool only) {
  int fd = socket(AF_INET6, SOCK_DGRAM, 0);
  if (fd < 0) {  // a machine without IPv6 cannot run this test natively either
    CHECK_EQ(errno, EAFNOSUPPORT);
    _exit(0);
  }
  set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, only ? 1 : 0);
  address = {};
  address.sin6_family = AF_INET6;
  CHECK_EQ(bind(fd, as_sockaddr(address), sizeof address), 0);
  socklen_t length = sizeof address;
  CHECK_EQ(getsockname(fd, as_sockaddr(address), &length), 0);
  CHECK_EQ(length, sizeof address);
  return fd;
}
}  // namespace

int main() {
  sockaddr_in6 both_name, only_name, from;
  int both = bound6(both_name, false), only = bound6(only_name, true), four = bound_socket(SOCK_DGRAM);
  set_option(both, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1);
  set_option(both, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
  ready_and_wait();
  CHECK_EQ(get_option<int>(only, IPPROTO_IPV6, IPV6_V6ONLY), 1);
  sockaddr_in target = loopback(both_name.sin6_port);
  CHECK_EQ(sendto(four, "four", 4, 0, as_sockaddr(target), sizeof target), 4);
  char text[10];
  socklen_t length = sizeof from;
  CHECK_EQ(recvfrom(both, text, sizeof text, 0, as_sockaddr(from), &length), 4);
  char name[INET6_ADDRSTRLEN];
  CHECK(inet_ntop(AF_INET6, &from.sin6_addr, name, sizeof name));
  CHECK(strcmp(name, "::ffff:127.0.0.1") == 0);
  CHECK_EQ(from.sin6_port, own_name(four).sin_port);
  target.sin_port = only_name.sin6_port;  // of the other kind only: nobody there
  CHECK_EQ(connect(four, as_sockaddr(target), sizeof target), 0);
  CHECK_EQ(send(four, "x", 1, 0), 1);
  CHECK_ERRNO(recv(four, text, 1, 0), ECONNREFUSED);
  CHECK_EQ(send(four, "x", 1, 0), 1);
  CHECK_ERRNO(recv(only, text, 1, MSG_DONTWAIT), EAGAIN);
  ready_and_wait();
  sockaddr_in6 own = both_name;
  own.sin6_addr = in6addr_loopback;
  if (sendto(only, "six", 3, 0, as_sockaddr(own), sizeof own) != 3) {  // ::1 may be switched off
    CHECK_EQ(errno, EADDRNOTAVAIL);
    return 0;
  }
  alignas(cmsghdr) char control[200];
  iovec piece = {text, sizeof text};
  msghdr message = {};
  message.msg_name = &from;
  message.msg_namelen = sizeof from;
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  CHECK_EQ(recvmsg(both, &message, 0), 3);
  CHECK(IN6_IS_ADDR_LOOPBACK(&from.sin6_addr) && from.sin6_port == only_name.sin6_port);
  int seen = 0;
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_type == IPV6_HOPLIMIT) seen |= 1;
    if (header->cmsg_type == IPV6_PKTINFO) {
      in6_pktinfo info;
      memcpy(&info, CMSG_DATA(header), sizeof info);
      CHECK(IN6_IS_ADDR_LOOPBACK(&info.ipi6_addr));
      seen |= 2;
    }
  }
  CHECK_EQ(seen, 3);
  return 0;
}
