// SPDX-License-Identifier: Apache-2.0
// What an ordinary user may not: raw and packet sockets, ports of the system, options that need rights; and what the
// kernel does not know. A user would see a program fall back wrongly, or do what it must not.
#include <linux/netlink.h>
#include <net/ethernet.h>

#include "tests/programs/network.h"

int main() {
  pid_t pid = child([] {
    if (geteuid() == 0) {
      CHECK_EQ(setresgid(65534, 65534, 65534), 0);
      CHECK_EQ(setresuid(65534, 65534, 65534), 0);
    }
    for (int round = 0; round < 2; round++) {
      ready_and_wait();
      CHECK_ERRNO(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP), EPERM);
      CHECK_ERRNO(socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL)), EPERM);
      int fd = socket(AF_INET, SOCK_STREAM, 0), low = 0;
      int settings = open("/proc/sys/net/ipv4/ip_unprivileged_port_start", O_RDONLY);
      char text[20] = {};
      if (settings >= 0 && read(settings, text, sizeof text - 1) > 0) low = atoi(text);
      close(settings);
      sockaddr_in address = loopback(htons(83));
      if (low > 83) CHECK_ERRNO(bind(fd, as_sockaddr(address), sizeof address), EACCES);
      int one = 1, mark = 5;
      CHECK_ERRNO(setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof mark), EPERM);
      CHECK_ERRNO(setsockopt(fd, SOL_SOCKET, SO_DEBUG, &one, sizeof one), EACCES);
      CHECK_ERRNO(setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &one, sizeof one), EPERM);
      CHECK_ERRNO(setsockopt(fd, IPPROTO_IP, IP_TRANSPARENT, &one, sizeof one), EPERM);
      address.sin_addr.s_addr = inet_addr("198.51.100.1");  // nobody's
      address.sin_port = 0;
      CHECK_ERRNO(bind(fd, as_sockaddr(address), sizeof address), EADDRNOTAVAIL);
      CHECK_ERRNO(bind(fd, as_sockaddr(address), 3), EINVAL);
      CHECK_ERRNO(socket(4711, SOCK_STREAM, 0), EAFNOSUPPORT);
      CHECK_ERRNO(socket(AF_INET, SOCK_STREAM, IPPROTO_UDP), EPROTONOSUPPORT);
      CHECK_ERRNO(socket(AF_NETLINK, SOCK_RAW, 31), EPROTONOSUPPORT);
      CHECK_ERRNO(listen(0, 1), ENOTSOCK);
      CHECK_ERRNO(recv(fd, text, 1, 0), ENOTCONN);
      CHECK_ERRNO(send(fd, "x", 1, MSG_NOSIGNAL), EPIPE);
      CHECK_ERRNO(shutdown(fd, SHUT_RD), ENOTCONN);
      CHECK_ERRNO(shutdown(fd, 9), EINVAL);
      close(fd);
    }
    return 70;
  });
  EXPECT_END(pid, 70);
  return 0;
}
