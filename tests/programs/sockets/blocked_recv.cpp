// SPDX-License-Identifier: Apache-2.0
// Moved while blocked in recvmsg on a stream with MSG_WAITALL, and in a second thread in a recv with a time-out set on
// the socket (which the kernel handles like a call that any stop interrupts).
#include <sys/socket.h>

#include "tests/programs/program.h"

namespace {
int timed[2];
void* receive_timed(void*) {
  char byte;
  CHECK_EQ(recv(timed[0], &byte, 1, 0), 1);
  CHECK_EQ(byte, 't');
  return nullptr;
}
}  // namespace

int main() {
  int pair[2];
  CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
  CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, timed), 0);
  timeval wait = {30, 0};
  CHECK_EQ(setsockopt(timed[0], SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait), 0);
  pid_t helper = after_go([&] {
    write_all(pair[1], "first", 5);
    write_all(pair[1], "second", 6);
    write_all(timed[1], "t", 1);
  });
  pthread_t thread;
  CHECK_EQ(pthread_create(&thread, nullptr, receive_timed, nullptr), 0);
  char one[4] = {}, two[9] = {};
  iovec pieces[2] = {{one, 3}, {two, 8}};
  msghdr message = {};
  message.msg_iov = pieces;
  message.msg_iovlen = 2;
  announce("blocked");
  CHECK_EQ(recvmsg(pair[0], &message, MSG_WAITALL), 11);
  CHECK(strcmp(one, "fir") == 0 && strcmp(two, "stsecond") == 0);
  CHECK_EQ(pthread_join(thread, nullptr), 0);
  EXPECT_END(helper, 0);
  return 0;
}
