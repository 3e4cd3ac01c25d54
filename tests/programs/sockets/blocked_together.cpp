// SPDX-License-Identifier: Apache-2.0
// Moved while eight threads wait in eight different socket calls at once: each gets its own answer. A user would see a
// threaded server mix up its clients.
#include <poll.h>
#include <sys/epoll.h>
#include <sys/uio.h>

#include "tests/programs/network.h"

namespace {
int listener, streams[6][2], datagrams;

void* wait_in(void* argument) {
  long which = reinterpret_cast<long>(argument);
  char byte = 0;
  pollfd polled = {};
  epoll_event event = {};
  iovec piece = {&byte, 1};
  mmsghdr message = {};
  int fd = which < 6 ? streams[which][0] : -1, set = -1;
  switch (which) {
    case 0: CHECK_EQ(read(fd, &byte, 1), 1); break;
    case 1: CHECK_EQ(recv(fd, &byte, 1, 0), 1); break;
    case 2:
      message.msg_hdr.msg_iov = &piece;
      message.msg_hdr.msg_iovlen = 1;
      CHECK_EQ(recvmsg(fd, &message.msg_hdr, 0), 1);
      break;
    case 3:
      polled = {fd, POLLIN, 0};
      CHECK_EQ(poll(&polled, 1, -1), 1);
      CHECK_EQ(read(fd, &byte, 1), 1);
      break;
    case 4:
      set = epoll_create1(0);
      event = {EPOLLIN, {.fd = fd}};
      CHECK_EQ(epoll_ctl(set, EPOLL_CTL_ADD, fd, &event), 0);
      CHECK_EQ(epoll_wait(set, &event, 1, -1), 1);
      CHECK_EQ(read(event.data.fd, &byte, 1), 1);
      break;
    case 5: CHECK_EQ(readv(fd, &piece, 1), 1); break;
    case 6:
      fd = accept(listener, nullptr, nullptr);
      CHECK(fd >= 0);
      CHECK_EQ(read(fd, &byte, 1), 1);
      break;
    default:
      message.msg_hdr.msg_iov = &piece;
      message.msg_hdr.msg_iovlen = 1;
      CHECK_EQ(recvmmsg(datagrams, &message, 1, 0, nullptr), 1);
      CHECK_EQ(message.msg_len, 1);
  }
  CHECK_EQ(byte, 'a' + which);
  return nullptr;
}
}  // namespace

int main() {
  listener = tcp_listener();
  datagrams = bound_socket(SOCK_DGRAM);
  for (auto& stream : streams) CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, stream), 0);
  pid_t helper = after_go([] {
    sockaddr_in address = own_name(datagrams);
    CHECK_EQ(sendto(datagrams, "h", 1, 0, as_sockaddr(address), sizeof address), 1);
    write_all(tcp_client(listener), "g", 1);
    for (int i = 5; i >= 0; i--) write_all(streams[i][1], &"abcdef"[i], 1);
  });
  pthread_t threads[8];
  for (long i = 1; i < 8; i++) CHECK_EQ(pthread_create(&threads[i], nullptr, wait_in, reinterpret_cast<void*>(i)), 0);
  announce("blocked");
  wait_in(nullptr);
  for (int i = 1; i < 8; i++) CHECK_EQ(pthread_join(threads[i], nullptr), 0);
  EXPECT_END(helper, 0);
  return 0;
}
