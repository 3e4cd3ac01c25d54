// SPDX-License-Identifier: Apache-2.0
// 10,000 rounds of calls that block, under ten thousand real-time signals a second: every signal comes once and in its
// order, every byte is read once, and a call says EINTR only if a handler ran within it, and never with SA_RESTART.
#pragma once

#include "tests/programs/program.h"

namespace storm {

inline volatile sig_atomic_t handled = 0;
inline volatile int wrong_value = 0;

inline void handle(int, siginfo_t* info, void*) {
  if (info->si_value.sival_int != handled + 1 && wrong_value == 0) wrong_value = info->si_value.sival_int;
  handled = handled + 1;
}

// Sends until its pipe ends, then says how many.
inline int send_signals(pid_t target, int stop, int count_to) {
  int sent = 0;
  fcntl(stop, F_SETFL, O_NONBLOCK);
  char byte;
  while (read(stop, &byte, 1) < 0 && errno == EAGAIN) {
    sigval value{.sival_int = sent + 1};
    if (sigqueue(target, SIGRTMIN + 1, value) == 0) {
      sent++;
    } else {
      CHECK_EQ(errno, EAGAIN);  // as many are queued as may be
    }
    timespec pause = {0, 50'000};
    nanosleep(&pause, nullptr);
  }
  write_all(count_to, &sent, sizeof sent);
  return 0;
}

inline int echo(int from, int to) {
  long number;
  while (read(from, &number, sizeof number) == sizeof number) write_all(to, &number, sizeof number);
  return 0;
}

inline int run(int flags) {
  int stop[2], count[2], there[2], back[2];
  for (auto* ends : {stop, count, there, back}) CHECK_EQ(pipe2(ends, O_CLOEXEC), 0);
  on_signal(SIGRTMIN + 1, handle, flags);
  const pid_t self = getpid();
  Go go;
  pid_t sender = child([&] {
    close(stop[1]);
    return send_signals(self, stop[0], count[1]);
  });
  pid_t echoer = child([&] {
    close(there[1]);
    close(stop[1]);
    return echo(there[0], back[1]);
  });
  close(there[0]);
  close(stop[0]);
  long interrupted = 0;
  // One whole transfer of one number; says EINTR as often as it may.
  const auto transfer = [&](auto call, int fd, long* number) {
    for (;;) {
      const int before = handled;
      const ssize_t got = call(fd, number, sizeof *number);
      if (got == sizeof *number) return;
      if (got != -1 || errno != EINTR) FAIL("%zd of a transfer: %s", got, strerror(errno));
      if (flags & SA_RESTART) FAIL("EINTR in spite of SA_RESTART");
      if (handled == before) FAIL("EINTR, and no handler has run");
      interrupted++;
    }
  };
  for (long i = 1; i <= 10'000 || !go.done(); i++) {
    long sent = i, got = 0;
    transfer(write, there[1], &sent);
    transfer(read, back[0], &got);
    CHECK_EQ(got, i);
    if (wrong_value != 0) FAIL("signal %d came after %d", wrong_value, handled);
  }
  close(stop[1]);
  int sent = 0;
  ssize_t got;
  while ((got = read(count[0], &sent, sizeof sent)) < 0 && errno == EINTR) {
  }
  CHECK_EQ(got, sizeof sent);
  for (double end = seconds() + 20; handled < sent && seconds() < end;) usleep(1000);
  CHECK_EQ(handled, sent);
  CHECK_EQ(wrong_value, 0);
  CHECK(sent > 100);
  close(there[1]);
  EXPECT_END(sender, 0);
  EXPECT_END(echoer, 0);
  return 0;
}

}  // namespace storm
