// SPDX-License-Identifier: Apache-2.0
// Moved while threads wait with waitid: for one child's end without taking it, for its stop, for a process group. Each
// gets its own child's news; the end of a child that nobody waits for ends no wait.
#include "tests/programs/waits.h"

namespace {
void expect_news(idtype_t kind, pid_t id, int options, pid_t child, int code, int status) {
  siginfo_t info = {};
  CHECK_EQ(waitid(kind, static_cast<id_t>(id), &info, options), 0);
  CHECK_EQ(info.si_signo, SIGCHLD);
  CHECK_EQ(info.si_pid, child);
  CHECK_EQ(info.si_uid, getuid());
  CHECK_EQ(info.si_code, code);
  CHECK_EQ(info.si_status, status);
}
}  // namespace

int main() {
  int stop[2], end[2];
  CHECK_EQ(pipe(stop), 0);
  CHECK_EQ(pipe(end), 0);
  char byte;
  const pid_t stopper = child([&] {
    read_all(stop[0], &byte, 1);
    raise(SIGSTOP);
    return 12;
  });
  const pid_t grouped = child([&] {
    CHECK_EQ(setpgid(0, 0), 0);
    read_all(end[0], &byte, 1);
    return 13;
  });
  CHECK(setpgid(grouped, grouped) == 0 || errno == EACCES);
  const pid_t killed = child([] {
    pause();
    return 0;
  });
  const pid_t helper = after_go([&] {
    write_all(stop[1], "x", 1);
    usleep(30'000);
    write_all(end[1], "x", 1);
    usleep(30'000);
    kill(killed, SIGTERM);
    _exit(14);
  });
  pthread_t threads[] = {
      thread([stopper] { expect_news(P_PID, stopper, WSTOPPED, stopper, CLD_STOPPED, SIGSTOP); }),
      thread([grouped] { expect_news(P_PGID, grouped, WEXITED, grouped, CLD_EXITED, 13); }),
      thread([helper] { expect_news(P_PID, helper, WEXITED | WNOWAIT, helper, CLD_EXITED, 14); }),
  };
  announce("blocked");
  expect_news(P_PID, killed, WEXITED | WNOWAIT, killed, CLD_KILLED, SIGTERM);
  for (pthread_t each : threads) join(each);
  expect_news(P_PID, killed, WEXITED, killed, CLD_KILLED, SIGTERM);
  expect_news(P_ALL, 0, WEXITED, helper, CLD_EXITED, 14);
  CHECK_EQ(kill(stopper, SIGCONT), 0);
  expect_news(P_ALL, 0, WEXITED, stopper, CLD_EXITED, 12);
  siginfo_t info;
  CHECK_ERRNO(waitid(P_ALL, 0, &info, WEXITED), ECHILD);
  return 0;
}
