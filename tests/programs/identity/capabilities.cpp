// SPDX-License-Identifier: Apache-2.0
// Capabilities that are given up stay given up over moves, and those that are kept work. A user would see a daemon that
// has more rights than it shows, or fails for lack of one.
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "tests/programs/program.h"

namespace {
struct Caps {
  __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2] = {};
  long get() { return syscall(SYS_capget, &head, data); }
  long set() { return syscall(SYS_capset, &head, data); }
};
}  // namespace

int main() {
  if (geteuid() != 0) {  // nothing to give up
    ready_and_wait();
    Caps caps;
    CHECK_EQ(caps.get(), 0);
    CHECK_EQ(caps.data[0].effective, 0);
    caps.data[0].permitted = 1U << CAP_CHOWN;
    CHECK_ERRNO(caps.set(), EPERM);
    return 0;
  }
  int fd = open("owned", O_RDWR | O_CREAT | O_TRUNC, 0600);
  CHECK(fd >= 0);
  Caps caps;
  CHECK_EQ(caps.get(), 0);
  const unsigned all = caps.data[0].permitted;
  caps.data[0].effective &= ~(1U << CAP_CHOWN);
  CHECK_EQ(caps.set(), 0);
  CHECK_EQ(prctl(PR_CAPBSET_DROP, CAP_MKNOD), 0);
  for (int round = 0; round < 2; round++) {
    ready_and_wait();
    Caps now;
    CHECK_EQ(now.get(), 0);
    CHECK_EQ(now.data[0].effective, all & ~(1U << CAP_CHOWN));
    CHECK_EQ(now.data[0].permitted, all);
    CHECK_ERRNO(fchown(fd, 12'345, -1U), EPERM);
    now.data[0].effective = all;
    CHECK_EQ(now.set(), 0);
    CHECK_EQ(fchown(fd, static_cast<uid_t>(12'345 + round), -1U), 0);
    now.data[0].effective &= ~(1U << CAP_CHOWN);
    CHECK_EQ(now.set(), 0);
    CHECK_EQ(prctl(PR_CAPBSET_READ, CAP_MKNOD), 0);
    CHECK_EQ(prctl(PR_CAPBSET_READ, CAP_CHOWN), 1);
    char status[8192], want[60];
    slurp("/proc/self/status", status);
    snprintf(want, sizeof want, "\nCapEff:\t%08x%08x\n", now.data[1].effective, now.data[0].effective);
    CHECK(strstr(status, want));
  }
  caps.data[0].permitted = caps.data[0].effective = 0, caps.data[1] = {};
  CHECK_EQ(caps.set(), 0);
  CHECK_ERRNO(fchown(fd, 0, -1U), EPERM);
  caps.data[0].permitted = 1U << CAP_CHOWN;
  CHECK_ERRNO(caps.set(), EPERM);
  CHECK_EQ(unlink("owned"), 0);
  return 0;
}
