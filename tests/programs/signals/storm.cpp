// SPDX-License-Identifier: Apache-2.0
// A child sends thousands of numbered real-time signals while the parent reads from a pipe and is moved: none is lost,
// doubled or out of order, and no byte of the pipe either.
#include <poll.h>

#include "tests/programs/program.h"

namespace {
volatile int next_value = 0, wrong = -1;
void take(int, siginfo_t* info, void*) {
  if (info->si_value.sival_int != next_value && wrong < 0) wrong = info->si_value.sival_int;
  next_value = next_value + 1;
}
}  // namespace

int main() {
  on_signal(SIGRTMIN + 4, take, SA_RESTART);
  int data[2], end[2];
  CHECK_EQ(pipe(data), 0);
  CHECK_EQ(pipe(end), 0);
  pid_t parent = getpid();
  pid_t sender = child([&] {
    close(end[1]);
    close(data[0]);
    int sent = 0;
    unsigned char byte = 0;
    pollfd polled = {end[0], POLLIN, 0};
    while (poll(&polled, 1, 0) == 0) {
      sigval value;
      value.sival_int = sent;
      if (sigqueue(parent, SIGRTMIN + 4, value) == 0)
        sent++;
      else
        CHECK_EQ(errno, EAGAIN);
      if (sent % 7 == 0) write_all(data[1], &byte, 1), byte++;
      if (sent % 50 == 0) usleep(5000);
    }
    close(data[1]);
    FILE* file = fopen("sent", "w");
    fprintf(file, "%d", sent);
    return fclose(file);
  });
  close(data[1]);
  close(end[0]);
  unsigned char want = 0, byte;
  {
    Go go;
    while (!go.done()) {
      CHECK_EQ(read(data[0], &byte, 1), 1);
      CHECK_EQ(byte, want);
      want++;
    }
  }
  close(end[1]);
  for (ssize_t got; (got = read(data[0], &byte, 1)) != 0; want++) {
    CHECK_EQ(got, 1);
    CHECK_EQ(byte, want);
  }
  EXPECT_END(sender, 0);
  char text[20];
  slurp("sent", text);
  double deadline = seconds() + 10;
  while (next_value < atoi(text) && seconds() < deadline) usleep(1000);
  CHECK_EQ(wrong, -1);
  CHECK_EQ(next_value, atoi(text));
  CHECK_EQ(unlink("sent"), 0);
  return 0;
}
