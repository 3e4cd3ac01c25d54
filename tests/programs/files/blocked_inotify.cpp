// SPDX-License-Identifier: Apache-2.0
// Moved while it waits in a read for changes of a directory: they come whole and with their names. A user would see an
// editor or a build that no longer notices saved files.
#include <sys/inotify.h>

#include "tests/programs/program.h"

int main() {
  int fd = inotify_init1(IN_CLOEXEC);
  CHECK(fd >= 0);
  int watch = inotify_add_watch(fd, ".", IN_CLOSE_WRITE | IN_MOVE);
  CHECK(watch > 0);
  pid_t editor = after_go([] {
    CHECK_EQ(rename("one", "two"), 0);
    int file = open("three", O_WRONLY | O_CREAT, 0600);
    CHECK(file >= 0);
    close(file);
  });
  int file = open("one", O_RDWR | O_CREAT, 0600);
  CHECK(file >= 0);
  alignas(inotify_event) char buffer[4096];
  auto* event = reinterpret_cast<inotify_event*>(buffer);
  close(file);
  CHECK_EQ(read(fd, buffer, sizeof buffer), static_cast<ssize_t>(sizeof *event + 16));
  CHECK(event->mask == IN_CLOSE_WRITE && strcmp(event->name, "one") == 0);
  announce("blocked");
  CHECK_EQ(read(fd, buffer, sizeof *event + 16), static_cast<ssize_t>(sizeof *event + 16));
  CHECK(event->wd == watch && event->mask == IN_MOVED_FROM && strcmp(event->name, "one") == 0);
  uint32_t cookie = event->cookie;
  CHECK_EQ(read(fd, buffer, sizeof *event + 16), static_cast<ssize_t>(sizeof *event + 16));
  CHECK(event->mask == IN_MOVED_TO && event->cookie == cookie && strcmp(event->name, "two") == 0);
  CHECK_EQ(read(fd, buffer, sizeof *event + 16), static_cast<ssize_t>(sizeof *event + 16));
  CHECK(event->mask == IN_CLOSE_WRITE && strcmp(event->name, "three") == 0);
  EXPECT_END(editor, 0);
  CHECK_EQ(unlink("two"), 0);
  CHECK_EQ(unlink("three"), 0);
  return 0;
}
