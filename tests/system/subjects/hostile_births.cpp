// SPDX-License-Identifier: Apache-2.0
// A guest that multiplies in ways that no library uses: children that would escape their tracer, calls that the kernel
// refuses after the host has arranged a child for them, and then namespaces with the arrangement that is left over.
#include <errno.h>
#include <linux/sched.h>
#include <sys/syscall.h>

#include "tests/programs/program.h"
#include "tests/system/subjects/hostile.h"

namespace omig::test {

int odd_births(void (*announce)()) {
  announce();
  // A child that asks not to be traced is one like any other.
  const long untraced = syscall(SYS_clone, CLONE_UNTRACED | SIGCHLD, 0, 0, 0, 0);
  if (untraced == 0) _exit(getppid() > 0 ? 7 : 8);
  EXPECT_END(static_cast<pid_t>(untraced), 7);
  // Refused by every kernel, here like at home.
  CHECK_ERRNO(syscall(SYS_clone, CLONE_THREAD | SIGCHLD, 0, 0, 0, 0), EINVAL);
  CHECK_ERRNO(syscall(SYS_clone, CLONE_THREAD | CLONE_SIGHAND, 0, 0, 0, 0), EINVAL);
  announce();  // now the visited node allows no process more
  CHECK_ERRNO(fork(), EAGAIN);
  announce();  // and now it does
  EXPECT_END(child([] { return 9; }), 9);
  // All that is left over of the births that came to nothing must not carry this one, which belongs at home.
  const long own = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);
  if (own == 0) {
    announce();
    _exit(10);
  }
  CHECK(own > 0 || errno == EPERM);
  if (own > 0) EXPECT_END(static_cast<pid_t>(own), 10);
  return 0;
}

}  // namespace omig::test
