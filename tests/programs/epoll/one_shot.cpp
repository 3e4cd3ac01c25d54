// SPDX-License-Identifier: Apache-2.0
// EPOLLONESHOT with a pool of threads: every request is given to one worker and to no other. A user would see a request
// that is answered twice or by nobody.
#include <sys/epoll.h>

#include "tests/programs/network.h"

namespace {
int set, pairs[8][2];
std::atomic<int> inside[8], served[8], stop{0};

void* work(void*) {
  while (!stop.load()) {
    epoll_event event;
    int count = epoll_wait(set, &event, 1, 100);
    CHECK(count >= 0);
    if (count == 0) continue;
    unsigned which = event.data.u32;
    CHECK_EQ(inside[which].exchange(1), 0);
    char request;
    CHECK_EQ(read(pairs[which][0], &request, 1), 1);
    served[which]++;
    CHECK_EQ(write(pairs[which][0], &request, 1), 1);
    inside[which] = 0;
    event = {EPOLLIN | EPOLLONESHOT, {.u32 = which}};
    CHECK_EQ(epoll_ctl(set, EPOLL_CTL_MOD, pairs[which][0], &event), 0);
  }
  return nullptr;
}
}  // namespace

int main() {
  set = epoll_create1(0);
  for (unsigned i = 0; i < 8; i++) {
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pairs[i]), 0);
    epoll_event event = {EPOLLIN | EPOLLONESHOT, {.u32 = i}};
    CHECK_EQ(epoll_ctl(set, EPOLL_CTL_ADD, pairs[i][0], &event), 0);
  }
  pthread_t threads[3];
  for (pthread_t& thread : threads) CHECK_EQ(pthread_create(&thread, nullptr, work, nullptr), 0);
  int rounds = 0;
  {
    Go go;
    for (; !go.done(); rounds++) {
      char letter = static_cast<char>('a' + rounds % 26), answer;
      for (auto& pair : pairs) CHECK_EQ(write(pair[1], &letter, 1), 1);
      for (auto& pair : pairs) {
        CHECK_EQ(read(pair[1], &answer, 1), 1);
        CHECK_EQ(answer, letter);
      }
    }
  }
  stop = 1;
  for (pthread_t thread : threads) CHECK_EQ(pthread_join(thread, nullptr), 0);
  for (auto& count : served) CHECK_EQ(count.load(), rounds);
  return 0;
}
