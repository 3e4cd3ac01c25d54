// SPDX-License-Identifier: Apache-2.0
// A classic BPF filter on a socket, set before or while away, lets through what it should, can be locked and taken off.
// A user would see a DHCP client or tcpdump take everything, or nothing.
#include <linux/filter.h>

#include "tests/programs/network.h"

namespace {
void filter_by_first_byte(int fd, unsigned char byte) {
  sock_filter code[] = {BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 8),  // behind the UDP header
                        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, byte, 0, 1), BPF_STMT(BPF_RET | BPF_K, 0xffff),
                        BPF_STMT(BPF_RET | BPF_K, 0)};
  set_option(fd, SOL_SOCKET, SO_ATTACH_FILTER, sock_fprog{4, code});
}
}  // namespace

int main() {
  int fd = bound_socket(SOCK_DGRAM), sender = bound_socket(SOCK_DGRAM);
  sockaddr_in address = own_name(fd);
  auto passes = [&](const char* text) {
    CHECK_EQ(sendto(sender, text, strlen(text), 0, as_sockaddr(address), sizeof address), strlen(text));
    char got[10];
    return recv(fd, got, sizeof got, MSG_DONTWAIT) == static_cast<ssize_t>(strlen(text));
  };
  filter_by_first_byte(fd, 'a');
  ready_and_wait();
  CHECK(passes("apple") && !passes("banana"));
  filter_by_first_byte(fd, 'b');
  CHECK(!passes("apple") && passes("banana"));
  ready_and_wait();
  CHECK(!passes("apple") && passes("banana"));
  set_option(fd, SOL_SOCKET, SO_DETACH_FILTER, 0);
  CHECK(passes("apple") && passes("banana"));
  filter_by_first_byte(fd, 'a');
  set_option(fd, SOL_SOCKET, SO_LOCK_FILTER, 1);
  int zero = 0;
  CHECK_ERRNO(setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &zero, sizeof zero), EPERM);
  sock_filter loop[] = {BPF_JUMP(BPF_JMP | BPF_JA, 1000, 0, 0)};
  sock_fprog bad = {1, loop};
  CHECK_ERRNO(setsockopt(sender, SOL_SOCKET, SO_ATTACH_FILTER, &bad, sizeof bad), EINVAL);
  return 0;
}
