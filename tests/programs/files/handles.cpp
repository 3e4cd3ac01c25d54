// SPDX-License-Identifier: Apache-2.0
// name_to_handle_at names a file for ever, open_by_handle_at opens it under any name. A user would see a user-space NFS
// server answer "stale file handle".
#include <sys/stat.h>

#include "tests/programs/program.h"

int main() {
  int fd = open("file", O_RDWR | O_CREAT | O_TRUNC, 0600), here = open(".", O_RDONLY | O_DIRECTORY);
  CHECK(fd >= 0 && here >= 0);
  write_all(fd, "by handle", 9);
  alignas(file_handle) unsigned char room[2][sizeof(file_handle) + MAX_HANDLE_SZ] = {};
  auto* first = reinterpret_cast<file_handle*>(room[0]);
  auto* second = reinterpret_cast<file_handle*>(room[1]);
  int mount = -1, again = -1;
  first->handle_bytes = 0;
  CHECK_ERRNO(name_to_handle_at(AT_FDCWD, "file", first, &mount, 0), EOVERFLOW);
  const unsigned bytes = first->handle_bytes;
  CHECK(bytes > 0 && bytes <= MAX_HANDLE_SZ);
  CHECK_EQ(name_to_handle_at(AT_FDCWD, "file", first, &mount, 0), 0);
  for (int round = 0; round < 2; round++) {
    ready_and_wait();
    CHECK_EQ(rename(round ? "renamed" : "file", round ? "file" : "renamed"), 0);
    second->handle_bytes = MAX_HANDLE_SZ;
    CHECK_EQ(name_to_handle_at(fd, "", second, &again, AT_EMPTY_PATH), 0);
    CHECK(second->handle_bytes == bytes && second->handle_type == first->handle_type);
    CHECK(again == mount && memcmp(first->f_handle, second->f_handle, bytes) == 0);
    int opened = open_by_handle_at(here, first, O_RDONLY);
    if (geteuid() == 0) {
      CHECK(opened >= 0);
      char text[20];
      CHECK_EQ(read(opened, text, sizeof text), 9);
      CHECK(memcmp(text, "by handle", 9) == 0);
      close(opened);
    } else {
      CHECK(opened == -1 && errno == EPERM);
    }
    CHECK_ERRNO(name_to_handle_at(AT_FDCWD, "none", second, &again, 0), ENOENT);
    second->handle_bytes = MAX_HANDLE_SZ + 1;
    CHECK_ERRNO(name_to_handle_at(fd, "", second, &again, AT_EMPTY_PATH), EINVAL);
  }
  CHECK_EQ(unlink("file"), 0);
  close(fd);
  ready_and_wait();
  if (geteuid() == 0) CHECK_ERRNO(open_by_handle_at(here, first, O_RDONLY), ESTALE);
  return 0;
}
