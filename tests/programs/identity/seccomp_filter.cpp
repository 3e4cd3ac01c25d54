// SPDX-License-Identifier: Apache-2.0
// A program with a seccomp filter of its own stays home (the filter would bind its deputy as well).
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>

#include "tests/programs/program.h"

int main() {
  sock_filter allow[] = {{BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW}};
  sock_fprog filter = {1, allow};
  CHECK_EQ(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
  CHECK_EQ(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter), 0);
  ready_and_wait();
  CHECK_EQ(prctl(PR_GET_SECCOMP), SECCOMP_MODE_FILTER);
  return 0;
}
