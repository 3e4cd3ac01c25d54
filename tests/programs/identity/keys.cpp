// SPDX-License-Identifier: Apache-2.0
// Keys of the kernel's keyrings are found and read over moves. A user would see a program lose its Kerberos ticket or
// the password of its encrypted directory.
#include <linux/keyctl.h>
#include <sys/syscall.h>

#include "tests/programs/program.h"

int main() {
  long ring = syscall(SYS_add_key, "keyring", "omig-test", nullptr, 0, KEY_SPEC_PROCESS_KEYRING);
  if (ring == -1) {  // a kernel or a container without them says so everywhere
    const int reason = errno;
    ready_and_wait();
    CHECK_ERRNO(syscall(SYS_add_key, "keyring", "omig-test", nullptr, 0, KEY_SPEC_PROCESS_KEYRING), reason);
    return 0;
  }
  long key = syscall(SYS_add_key, "user", "ticket", "secret", 6, ring);
  CHECK(key > 0);
  for (int round = 0; round < 2; round++) {
    ready_and_wait();
    char text[200] = {};
    CHECK_EQ(syscall(SYS_keyctl, KEYCTL_READ, key, text, sizeof text), 6);
    CHECK(memcmp(text, round ? "newer!" : "secret", 6) == 0);
    CHECK_EQ(syscall(SYS_keyctl, KEYCTL_SEARCH, ring, "user", "ticket", 0), key);
    CHECK_EQ(syscall(SYS_request_key, "user", "ticket", nullptr, 0), key);
    CHECK(syscall(SYS_keyctl, KEYCTL_DESCRIBE, key, text, sizeof text) > 0);
    CHECK(strncmp(text, "user;", 5) == 0 && strstr(text, ";ticket"));
    CHECK_EQ(syscall(SYS_keyctl, KEYCTL_UPDATE, key, "newer!", 6), 0);
    CHECK_ERRNO(syscall(SYS_keyctl, KEYCTL_SEARCH, ring, "user", "none", 0), ENOKEY);
    CHECK_ERRNO(syscall(SYS_keyctl, KEYCTL_READ, 0x7fffffff, text, 1), ENOKEY);
  }
  CHECK_EQ(syscall(SYS_keyctl, KEYCTL_UNLINK, key, ring), 0);
  CHECK_ERRNO(syscall(SYS_keyctl, KEYCTL_SEARCH, ring, "user", "ticket", 0), ENOKEY);
  return 0;
}
