// SPDX-License-Identifier: Apache-2.0
// A set made before fork is one set of both processes, wherever each is: what one adds the other sees, and what only
// the child has open stays in it until the child ends. A user would see a pre-forking event loop starve.
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "tests/programs/program.h"

int main() {
  int set = epoll_create1(0), a = eventfd(0, 0), ends[2], answers[2];
  CHECK_EQ(pipe(answers), 0);
  CHECK_EQ(pipe(ends), 0);
  epoll_event event = {EPOLLIN, {.u64 = 1}}, got[4];
  CHECK_EQ(epoll_ctl(set, EPOLL_CTL_ADD, a, &event), 0);
  pid_t pid = child([&] {
    ready_and_wait();
    int b = eventfd(1, 0);
    epoll_event own = {EPOLLIN | EPOLLET, {.u64 = 2}};
    CHECK_EQ(epoll_ctl(set, EPOLL_CTL_ADD, b, &own), 0);
    write_all(ends[1], "a", 1);
    unsigned long one = 1;
    for (int i = 0; i < 2; i++) {
      char answer;
      read_all(answers[0], &answer, 1);
      ready_and_wait();
      CHECK_EQ(write(b, &one, 8), 8);
      write_all(ends[1], "w", 1);
    }
    char last;
    read_all(answers[0], &last, 1);  // what is open here only goes with this process
    return 0;
  });
  char byte;
  read_all(ends[0], &byte, 1);
  CHECK_EQ(epoll_wait(set, got, 4, 10'000), 1);
  CHECK_EQ(got[0].data.u64, 2);  // of a descriptor that this process does not have
  CHECK_EQ(epoll_wait(set, got, 4, 0), 0);
  for (int i = 0; i < 2; i++) {
    write_all(answers[1], "x", 1);
    read_all(ends[0], &byte, 1);
    CHECK_EQ(epoll_wait(set, got, 4, 10'000), 1);
    CHECK_EQ(got[0].data.u64, 2);
  }
  write_all(answers[1], "x", 1);
  EXPECT_END(pid, 0);
  CHECK_EQ(epoll_wait(set, got, 4, 0), 0);
  ready_and_wait();
  unsigned long one = 1;
  CHECK_EQ(write(a, &one, 8), 8);
  CHECK_EQ(epoll_wait(set, got, 4, 0), 1);
  CHECK_EQ(got[0].data.u64, 1);
  return 0;
}
