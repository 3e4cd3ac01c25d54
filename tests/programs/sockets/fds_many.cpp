// SPDX-License-Identifier: Apache-2.0
// As many descriptors in one message as Linux allows, received while away, each the right one: a user would see a
// server that hands the wrong connection to its worker.
#include <sys/stat.h>

#include "tests/programs/network.h"

int main() {
  constexpr size_t kMost = 253;
  int pair[2], fds[kMost], got[kMost + 1];
  CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
  ino_t inodes[kMost];
  for (size_t i = 0; i < kMost; i++) {
    char name[20];
    snprintf(name, sizeof name, "file%zu", i);
    fds[i] = open(name, O_RDWR | O_CREAT, 0600);
    CHECK(fds[i] >= 0);
    struct stat info;
    CHECK_EQ(fstat(fds[i], &info), 0);
    inodes[i] = info.st_ino;
  }
  CHECK_EQ(send_descriptors(pair[0], "before", fds, kMost), 6);
  ready_and_wait();
  CHECK_EQ(send_descriptors(pair[0], "after", fds, kMost), 5);
  for (int fd : fds) close(fd);  // in flight they live on
  for (const char* text : {"before", "after"}) {
    int flags;
    CHECK_EQ(receive_descriptors(pair[1], text, got, kMost, &flags, MSG_CMSG_CLOEXEC), kMost);
    CHECK_EQ(flags & MSG_CTRUNC, 0);
    for (size_t i = 0; i < kMost; i++) {
      struct stat info;
      CHECK_EQ(fstat(got[i], &info), 0);
      CHECK_EQ(info.st_ino, inodes[i]);
      CHECK_EQ(fcntl(got[i], F_GETFD), FD_CLOEXEC);
      close(got[i]);
    }
  }
  int many[kMost + 1] = {};
  CHECK_ERRNO(send_descriptors(pair[0], "x", many, kMost + 1), EINVAL);
  many[0] = 0x7fff;
  CHECK_ERRNO(send_descriptors(pair[0], "x", many, 2), EBADF);
  return 0;
}
