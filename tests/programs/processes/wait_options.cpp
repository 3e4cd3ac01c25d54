// SPDX-License-Identifier: Apache-2.0
// waitid and waitpid with their options: NOHANG, NOWAIT, stopped and continued children, groups, and siginfo.
#include "tests/programs/program.h"

namespace {
void run() {
  siginfo_t info;
  pid_t stopper = child([] {
    raise(SIGSTOP);
    return 21;
  });
  info = {};
  CHECK_EQ(waitid(P_PID, static_cast<id_t>(stopper), &info, WSTOPPED | WNOWAIT), 0);
  CHECK_EQ(info.si_pid, stopper);
  CHECK_EQ(info.si_code, CLD_STOPPED);
  CHECK_EQ(info.si_status, SIGSTOP);
  CHECK_EQ(waitid(P_PID, static_cast<id_t>(stopper), &info, WSTOPPED), 0);
  int status;
  CHECK_EQ(waitpid(stopper, &status, WNOHANG | WUNTRACED), 0);
  CHECK_EQ(kill(stopper, SIGCONT), 0);
  CHECK_EQ(waitpid(stopper, &status, WCONTINUED), stopper);
  CHECK(WIFCONTINUED(status) || (WIFEXITED(status) && WEXITSTATUS(status) == 21));
  if (WIFCONTINUED(status)) {
    info = {};
    CHECK_EQ(waitid(P_ALL, 0, &info, WEXITED | WNOWAIT), 0);
    CHECK_EQ(info.si_code, CLD_EXITED);
    CHECK_EQ(info.si_status, 21);
    CHECK_EQ(info.si_uid, getuid());
    EXPECT_END(stopper, 21);
  }
  pid_t killed = child([] {
    pause();
    return 0;
  });
  CHECK_EQ(setpgid(killed, killed), 0);
  info = {};
  info.si_pid = 77;
  CHECK_EQ(waitid(P_PGID, static_cast<id_t>(killed), &info, WEXITED | WNOHANG), 0);
  CHECK_EQ(info.si_pid, 0);
  CHECK_EQ(kill(-killed, SIGQUIT), 0);
  CHECK_EQ(waitid(P_PGID, static_cast<id_t>(killed), &info, WEXITED), 0);
  CHECK_EQ(info.si_pid, killed);
  CHECK(info.si_code == CLD_KILLED || info.si_code == CLD_DUMPED);
  CHECK_EQ(info.si_status, SIGQUIT);
  CHECK_ERRNO(waitpid(-killed, &status, 0), ECHILD);
  CHECK_ERRNO(waitpid(-1, &status, 0x100), EINVAL);
}
}  // namespace

int main() {
  run();
  ready_and_wait();
  run();
  return 0;
}
