// SPDX-License-Identifier: Apache-2.0
// A terminal's number, name, lock and opening it from its master while away. A user would see "not a tty", or a login
// on somebody else's terminal.
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "tests/programs/terminal.h"

int main() {
  int master = posix_openpt(O_RDWR | O_NOCTTY);
  CHECK(master >= 0);
  char name[100], wanted[100];
  unsigned number = 999;
  int locked = -1;
  CHECK_EQ(ioctl(master, TIOCGPTN, &number), 0);
  snprintf(wanted, sizeof wanted, "/dev/pts/%u", number);
  ready_and_wait();
  CHECK_EQ(ptsname_r(master, name, sizeof name), 0);
  CHECK(strcmp(name, wanted) == 0);
  CHECK_EQ(ioctl(master, TIOCGPTLCK, &locked), 0);
  CHECK_EQ(locked, 1);
  CHECK_ERRNO(open(name, O_RDWR | O_NOCTTY), EIO);
  CHECK_EQ(unlockpt(master), 0);
  CHECK_EQ(ioctl(master, TIOCGPTLCK, &locked), 0);
  CHECK_EQ(locked, 0);
  int slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
  CHECK(slave >= 0);
  CHECK_EQ(fcntl(slave, F_GETFD), FD_CLOEXEC);
  ready_and_wait();
  CHECK_EQ(isatty(slave), 1);
  CHECK(ttyname(slave) && strcmp(ttyname(slave), wanted) == 0);
  struct stat by_name, by_fd;
  CHECK_EQ(stat(name, &by_name), 0);
  CHECK_EQ(fstat(slave, &by_fd), 0);
  CHECK(by_name.st_rdev == by_fd.st_rdev && by_name.st_ino == by_fd.st_ino);
  CHECK_EQ(minor(by_fd.st_rdev), number);
  CHECK_ERRNO(ioctl(slave, TIOCGPTN, &number), ENOTTY);
  CHECK_ERRNO(ioctl(slave, TIOCGPTPEER, O_RDWR), EIO);
  int null = open("/dev/null", O_RDWR);
  CHECK_EQ(isatty(null), 0);
  CHECK_EQ(errno, ENOTTY);
  CHECK_EQ(isatty(0x7fff), 0);
  CHECK_EQ(errno, EBADF);
  int on = 0, line = -1;
  CHECK_EQ(ioctl(slave, TIOCEXCL), 0);
  CHECK_EQ(ioctl(slave, TIOCGEXCL, &on), 0);
  CHECK_EQ(on, 1);
  CHECK_EQ(ioctl(slave, TIOCNXCL), 0);
  CHECK_EQ(ioctl(slave, TIOCGETD, &line), 0);
  CHECK_EQ(line, 0);
  return 0;
}
