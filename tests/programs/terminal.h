// SPDX-License-Identifier: Apache-2.0
// What the programs about terminals share: a pseudo-terminal of their own, and a child that has it as its controlling
// terminal.
#pragma once

#include <poll.h>
#include <sys/ioctl.h>
#include <termios.h>

#include "tests/programs/program.h"

namespace program {

struct Pty {
  int master = -1, slave = -1;
  char name[100] = {};
};

inline Pty open_pty() {
  Pty pty;
  pty.master = posix_openpt(O_RDWR | O_NOCTTY);
  CHECK(pty.master >= 0);
  CHECK_EQ(grantpt(pty.master), 0);
  CHECK_EQ(unlockpt(pty.master), 0);
  CHECK_EQ(ptsname_r(pty.master, pty.name, sizeof pty.name), 0);
  pty.slave = open(pty.name, O_RDWR | O_NOCTTY);
  CHECK(pty.slave >= 0);
  return pty;
}

// Changes the settings at once: `change` gets them to edit.
template <class Change>
void change_settings(int fd, Change&& change) {
  termios settings;
  CHECK_EQ(tcgetattr(fd, &settings), 0);
  change(settings);
  CHECK_EQ(tcsetattr(fd, TCSANOW, &settings), 0);
}

inline void clear(tcflag_t& flags, unsigned which) { flags &= ~static_cast<tcflag_t>(which); }

// What comes out of `fd` must be exactly `want`, and nothing behind it.
inline void expect_bytes(int fd, const char* want) {
  char got[500] = {};
  size_t length = strlen(want);
  CHECK(length < sizeof got);
  read_all(fd, got, length);
  if (strcmp(got, want) != 0) FAIL("read \"%s\", not \"%s\"", got, want);
  pollfd polled = {fd, POLLIN, 0};
  CHECK_EQ(poll(&polled, 1, 0), 0);
}

inline void expect_line(int fd, const char* want) {
  char got[500] = {};
  CHECK_EQ(read(fd, got, sizeof got - 1), strlen(want));
  if (strcmp(got, want) != 0) FAIL("read \"%s\", not \"%s\"", got, want);
}

inline int waiting_bytes(int fd, unsigned long what = FIONREAD) {
  int count = -1;
  CHECK_EQ(ioctl(fd, what, &count), 0);
  return count;
}

// What is written at one end of a pseudo-terminal arrives at the other a moment later, also natively.
inline void expect_waiting(int fd, int want) {
  double end = seconds() + 20;
  while (waiting_bytes(fd) != want && seconds() < end) usleep(200);
  CHECK_EQ(waiting_bytes(fd), want);
}

inline void type(const Pty& pty, const char* text) { write_all(pty.master, text, strlen(text)); }

// The leader of a new session on the terminal runs `body`; descriptors 0 to 2 remain the program's.
template <class Body>
pid_t session_on(const Pty& pty, Body&& body) {
  return child([&] {
    CHECK(setsid() > 0);
    CHECK_EQ(ioctl(pty.slave, TIOCSCTTY, 0), 0);
    return body();
  });
}

}  // namespace program
