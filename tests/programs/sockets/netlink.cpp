// SPDX-License-Identifier: Apache-2.0
// Netlink: a socket that the kernel names after the process, a dump of the interfaces in several messages, an answer to
// a request for one, an error. A user would see `ip` show another machine's network, or hang.
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>

#include "tests/programs/network.h"

namespace {
struct Request {
  nlmsghdr header;
  ifinfomsg link;
};

int ask(int fd, int flags, int index, unsigned sequence) {
  Request request = {};
  request.header = {sizeof request, RTM_GETLINK, static_cast<__u16>(NLM_F_REQUEST | flags), sequence, 0};
  request.link.ifi_index = index;
  sockaddr_nl kernel = {};
  kernel.nl_family = AF_NETLINK;
  return static_cast<int>(sendto(fd, &request, sizeof request, 0, as_sockaddr(kernel), sizeof kernel));
}

// How many interfaces the answers name; `loopback_index` is set if lo is among them. Minus an errno for an error.
int answers(int fd, unsigned sequence, bool dump, int* loopback_index) {
  alignas(nlmsghdr) static char buffer[65536];
  int count = 0;
  while (true) {
    sockaddr_nl from = {};
    socklen_t length = sizeof from;
    ssize_t got = recvfrom(fd, buffer, sizeof buffer, 0, as_sockaddr(from), &length);
    CHECK(got > 0);
    CHECK(length == sizeof from && from.nl_pid == 0);
    auto left = static_cast<unsigned>(got);
    for (auto* h = reinterpret_cast<nlmsghdr*>(buffer); NLMSG_OK(h, left); h = NLMSG_NEXT(h, left)) {
      CHECK_EQ(h->nlmsg_seq, sequence);
      CHECK_EQ(h->nlmsg_pid, static_cast<unsigned>(getpid()));
      if (h->nlmsg_type == NLMSG_DONE) return count;
      if (h->nlmsg_type == NLMSG_ERROR) return static_cast<nlmsgerr*>(NLMSG_DATA(h))->error;
      CHECK_EQ(h->nlmsg_type, RTM_NEWLINK);
      auto* link = static_cast<ifinfomsg*>(NLMSG_DATA(h));
      if (link->ifi_flags & IFF_LOOPBACK) *loopback_index = link->ifi_index;
      count++;
      if (!dump) return count;
    }
  }
}
}  // namespace

int main() {
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  CHECK(fd >= 0);
  ready_and_wait();
  sockaddr_nl own = {};
  own.nl_family = AF_NETLINK;
  CHECK_EQ(bind(fd, as_sockaddr(own), sizeof own), 0);
  socklen_t length = sizeof own;
  CHECK_EQ(getsockname(fd, as_sockaddr(own), &length), 0);
  CHECK_EQ(own.nl_pid, static_cast<unsigned>(getpid()));
  const int lo = static_cast<int>(if_nametoindex("lo"));
  for (unsigned round = 1; round <= 2; round++) {
    int found = -1;
    CHECK_EQ(ask(fd, NLM_F_DUMP, 0, 10 * round), sizeof(Request));
    ready_and_wait();
    CHECK(answers(fd, 10 * round, true, &found) >= 1);
    CHECK_EQ(found, lo);
    CHECK_EQ(ask(fd, 0, lo, 10 * round + 1), sizeof(Request));
    found = -1;
    CHECK_EQ(answers(fd, 10 * round + 1, false, &found), 1);
    CHECK_EQ(found, lo);
    CHECK_EQ(ask(fd, 0, 0x7ffffff0, 10 * round + 2), sizeof(Request));
    CHECK_EQ(answers(fd, 10 * round + 2, false, &found), -ENODEV);
  }
  return 0;
}
