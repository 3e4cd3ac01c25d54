// SPDX-License-Identifier: Apache-2.0
// inotify: events before, between and after moves, in order, with names.
#include <sys/inotify.h>

#include "tests/programs/program.h"

namespace {
void touch(const char* name) {
  int fd = open(name, O_WRONLY | O_CREAT, 0600);
  CHECK(fd >= 0);
  close(fd);
}
void expect(int fd, uint32_t mask, const char* name) {
  // One event at a time: a small buffer makes the kernel give only what fits.
  alignas(inotify_event) char buffer[sizeof(inotify_event) + 16];
  CHECK_EQ(read(fd, buffer, sizeof buffer), static_cast<ssize_t>(sizeof buffer));
  auto* event = reinterpret_cast<inotify_event*>(buffer);
  CHECK_EQ(event->mask, mask);
  CHECK(strcmp(event->name, name) == 0);
}
}  // namespace

int main() {
  int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
  CHECK(fd >= 0);
  int watch = inotify_add_watch(fd, ".", IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO);
  CHECK(watch > 0);
  touch("first");
  ready_and_wait();
  touch("second");
  CHECK_EQ(rename("second", "third"), 0);
  expect(fd, IN_CREATE, "first");
  expect(fd, IN_CREATE, "second");
  expect(fd, IN_MOVED_FROM, "second");
  ready_and_wait();
  expect(fd, IN_MOVED_TO, "third");
  CHECK_EQ(unlink("first"), 0);
  expect(fd, IN_DELETE, "first");
  CHECK_EQ(unlink("third"), 0);
  expect(fd, IN_DELETE, "third");
  char byte;
  CHECK_ERRNO(read(fd, &byte, 1), EAGAIN);
  CHECK_EQ(inotify_rm_watch(fd, watch), 0);
  return 0;
}
