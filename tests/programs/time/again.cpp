// SPDX-License-Identifier: Apache-2.0
// A wait that a handler has ended is over: the same wait again takes its whole time, however the first was moved about.
#include <linux/futex.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>

#include "tests/programs/program.h"

namespace {

constexpr double kTime = 0.2;
constexpr timespec kTimespec{0, 200'000'000};
volatile sig_atomic_t alarms = 0;
int silent, epoll_fd, semaphores;

int wait(int kind) {
  timespec time = kTimespec;
  timeval small{0, 200'000};
  unsigned word = 0;
  char byte;
  epoll_event event;
  sembuf down{0, -1, 0};
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  switch (kind) {
    case 0: return nanosleep(&time, nullptr);
    case 1: return poll(nullptr, 0, 200);
    case 2: return select(0, nullptr, nullptr, nullptr, &small);
    case 3: return epoll_wait(epoll_fd, &event, 1, 200);
    case 4: return ppoll(nullptr, 0, &time, nullptr);
    case 5: return sigtimedwait(&set, nullptr, &time);
    case 6: return static_cast<int>(syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, &time, nullptr, 0));
    case 7: return semtimedop(semaphores, &down, 1, &time);
    default: return static_cast<int>(recv(silent, &byte, 1, 0));
  }
}
constexpr int kKinds = 9;

}  // namespace

int main() {
  on_signal(
      SIGALRM, +[](int) { alarms = alarms + 1; }, SA_RESTART);
  silent = socket(AF_INET, SOCK_DGRAM, 0);
  sockaddr_in any{};
  any.sin_family = AF_INET;
  any.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  CHECK_EQ(bind(silent, reinterpret_cast<sockaddr*>(&any), sizeof any), 0);
  const timeval time{0, 200'000};
  CHECK_EQ(setsockopt(silent, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time), 0);
  epoll_fd = epoll_create1(0);
  semaphores = semget(IPC_PRIVATE, 1, 0600);
  CHECK(semaphores >= 0);
  int kind = 0, rounds = 0;
  Go go;
  do {
    const int before = alarms;
    const itimerval soon{{0, 0}, {0, 100'000}};
    CHECK_EQ(setitimer(ITIMER_REAL, &soon, nullptr), 0);
    const int result = wait(kind);
    if (alarms != before)
      CHECK(result == -1 && errno == EINTR);  // else the machine was so slow that its time came first
    const itimerval none{};
    CHECK_EQ(setitimer(ITIMER_REAL, &none, nullptr), 0);
    const int now = alarms;
    const double start = seconds();
    wait(kind);
    const double took = seconds() - start;
    if (now == alarms && (took < kTime - 0.001 || took > kTime + 1.5))
      FAIL("wait %d of %.1f s took %.3f s", kind, kTime, took);
    kind = (kind + 1) % kKinds;
    rounds++;
  } while (!go.done() || rounds < kKinds);
  semctl(semaphores, 0, IPC_RMID);
  return 0;
}
