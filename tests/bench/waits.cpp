// SPDX-License-Identifier: Apache-2.0
// Waits for the same time in every way at once, a thread each, and prints how late each ended, in ms (before its time:
// negative). An end by anything but the time is an error.
#include "tests/bench/waits.h"

#include <linux/futex.h>
#include <mqueue.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/ipc.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>

#include "tests/programs/program.h"

namespace {

using omig::bench::kWaitKinds;
using omig::bench::kWaitSeconds;

constexpr timespec kTime{static_cast<time_t>(kWaitSeconds),
                         static_cast<long>((kWaitSeconds - static_cast<int>(kWaitSeconds)) * 1e9)};
constexpr int kMilliseconds = static_cast<int>(kWaitSeconds * 1e3);

timespec time_on(clockid_t clock) {
  timespec t;
  clock_gettime(clock, &t);
  t.tv_sec += kTime.tv_sec;
  t.tv_nsec += kTime.tv_nsec;
  if (t.tv_nsec >= 1'000'000'000) t.tv_nsec -= 1'000'000'000, ++t.tv_sec;
  return t;
}

int silent_socket(int option) {
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  sockaddr_in any{};
  any.sin_family = AF_INET;
  any.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  CHECK_EQ(bind(fd, reinterpret_cast<sockaddr*>(&any), sizeof any), 0);
  const timeval time{kTime.tv_sec, kTime.tv_nsec / 1000};
  CHECK_EQ(setsockopt(fd, SOL_SOCKET, option, &time, sizeof time), 0);
  return fd;
}

int listener() {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  CHECK_EQ(listen(fd, 1), 0);
  const timeval time{kTime.tv_sec, kTime.tv_nsec / 1000};
  CHECK_EQ(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time), 0);
  return fd;
}

int full_socket() {
  static char block[4096];
  int pair[2];
  CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
  while (send(pair[0], block, sizeof block, MSG_DONTWAIT) > 0) {
  }
  const timeval time{kTime.tv_sec, kTime.tv_nsec / 1000};
  CHECK_EQ(setsockopt(pair[0], SOL_SOCKET, SO_SNDTIMEO, &time, sizeof time), 0);
  return pair[0];
}

// Each prepares, notes the time, waits, notes the time again.
double wait(int kind) {
  double from = 0;
  timespec time = kTime;
  timeval small{kTime.tv_sec, kTime.tv_nsec / 1000};
  unsigned word = 0;
  char byte;
  epoll_event event;
  switch (kind) {
    case 0:
      from = seconds();
      CHECK_EQ(nanosleep(&time, nullptr), 0);
      break;
    case 1:
      time = time_on(CLOCK_MONOTONIC), from = seconds();
      CHECK_EQ(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, nullptr), 0);
      break;
    case 2:
      from = seconds();
      CHECK_EQ(poll(nullptr, 0, kMilliseconds), 0);
      break;
    case 3:
      from = seconds();
      CHECK_EQ(ppoll(nullptr, 0, &time, nullptr), 0);
      break;
    case 4:
      from = seconds();
      CHECK_EQ(select(0, nullptr, nullptr, nullptr, &small), 0);
      break;
    case 5:
      from = seconds();
      CHECK_EQ(pselect(0, nullptr, nullptr, nullptr, &time, nullptr), 0);
      break;
    case 6: {
      const int fd = epoll_create1(EPOLL_CLOEXEC);
      from = seconds();
      CHECK_EQ(epoll_wait(fd, &event, 1, kMilliseconds), 0);
      break;
    }
    case 7: {
      const int fd = epoll_create1(EPOLL_CLOEXEC);
      from = seconds();
      CHECK_EQ(syscall(SYS_epoll_pwait2, fd, &event, 1, &time, nullptr, 0), 0);
      break;
    }
    case 8: {
      sigset_t set;
      sigemptyset(&set);
      sigaddset(&set, SIGUSR1);
      CHECK_EQ(pthread_sigmask(SIG_BLOCK, &set, nullptr), 0);
      from = seconds();
      CHECK_ERRNO(sigtimedwait(&set, nullptr, &time), EAGAIN);
      break;
    }
    case 9:
      from = seconds();
      CHECK_ERRNO(syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, &time, nullptr, 0), ETIMEDOUT);
      break;
    case 10:
      time = time_on(CLOCK_MONOTONIC), from = seconds();
      CHECK_ERRNO(syscall(SYS_futex, &word, FUTEX_WAIT_BITSET_PRIVATE, 0, &time, nullptr, ~0u), ETIMEDOUT);
      break;
    case 11: {
      const int id = semget(IPC_PRIVATE, 1, 0600);
      CHECK(id >= 0);
      sembuf down{0, -1, 0};
      from = seconds();
      CHECK_ERRNO(semtimedop(id, &down, 1, &time), EAGAIN);
      const double to = seconds();
      semctl(id, 0, IPC_RMID);
      return (to - from - kWaitSeconds) * 1e3;
    }
    case 12: {
      char name[64];
      snprintf(name, sizeof name, "/omig-waits-%d", getpid());
      mq_attr attributes{};
      attributes.mq_maxmsg = 1, attributes.mq_msgsize = 8;
      const mqd_t queue = mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, &attributes);
      CHECK(queue != -1);
      mq_unlink(name);
      char message[8];
      time = time_on(CLOCK_REALTIME), from = seconds();
      CHECK_ERRNO(mq_timedreceive(queue, message, sizeof message, nullptr, &time), ETIMEDOUT);
      break;
    }
    case 13: {
      const int fd = silent_socket(SO_RCVTIMEO);
      from = seconds();
      CHECK_ERRNO(recv(fd, &byte, 1, 0), EAGAIN);
      break;
    }
    case 14: {
      const int fd = silent_socket(SO_RCVTIMEO);
      from = seconds();
      CHECK_ERRNO(read(fd, &byte, 1), EAGAIN);
      break;
    }
    case 15: {
      const int fd = listener();
      from = seconds();
      CHECK_ERRNO(accept(fd, nullptr, nullptr), EAGAIN);
      break;
    }
    case 16: {
      const int fd = full_socket();
      from = seconds();
      CHECK_ERRNO(send(fd, &byte, 1, 0), EAGAIN);
      break;
    }
    default: {
      const int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
      itimerspec timer{};
      timer.it_value = time;
      from = seconds();
      CHECK_EQ(timerfd_settime(fd, 0, &timer, nullptr), 0);
      unsigned long expirations;
      CHECK_EQ(read(fd, &expirations, sizeof expirations), sizeof expirations);
    }
  }
  return (seconds() - from - kWaitSeconds) * 1e3;
}

double late_ms[kWaitKinds];
void* run(void* kind) {
  late_ms[reinterpret_cast<long>(kind)] = wait(static_cast<int>(reinterpret_cast<long>(kind)));
  return nullptr;
}

}  // namespace

int main(int argc, char** argv) {
  const long only = argc > 1 ? atol(argv[1]) : -1;
  pthread_t threads[kWaitKinds];
  for (long kind = 0; kind < kWaitKinds; kind++)
    if (only < 0 || only == kind)
      CHECK_EQ(pthread_create(&threads[kind], nullptr, run, reinterpret_cast<void*>(kind)), 0);
  announce("blocked", 1, static_cast<int>(kWaitSeconds * 1e3));
  for (long kind = 0; kind < kWaitKinds; kind++)
    if (only < 0 || only == kind) CHECK_EQ(pthread_join(threads[kind], nullptr), 0);
  for (double each : late_ms) printf("%.3f\n", each);
  return 0;
}
