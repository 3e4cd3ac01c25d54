// SPDX-License-Identifier: Apache-2.0
// Moved while recv with MSG_WAITALL has some of its bytes and waits for the rest: it returns all of them, or what came
// before the end. A user would see a program that takes half a message for a whole one.
#include "tests/programs/network.h"

int main() {
  int pair[2];
  tcp_pair(pair);
  char text[40] = {};
  for (const char* first : {"", "some", "some more"}) {
    write_all(pair[1], first, strlen(first));
    pid_t writer = after_go([&] {
      const char* rest = "0123456789012345678" + strlen(first);
      write_all(pair[1], rest, strlen(rest));
      write_all(pair[1], "+next", 5);
    });
    announce("blocked");
    memset(text, 0, sizeof text);
    CHECK_EQ(recv(pair[0], text, 20, MSG_WAITALL), 20);
    CHECK(strncmp(text, first, strlen(first)) == 0);
    CHECK(strcmp(text + strlen(first), &"0123456789012345678+"[strlen(first)]) == 0);
    EXPECT_END(writer, 0);
    read_all(pair[0], text, 4);
    CHECK(memcmp(text, "next", 4) == 0);
  }
  write_all(pair[1], "the end", 7);
  pid_t last = after_go([&] { CHECK_EQ(shutdown(pair[1], SHUT_WR), 0); });
  announce("blocked");
  CHECK_EQ(recv(pair[0], text, 20, MSG_WAITALL), 7);
  CHECK(memcmp(text, "the end", 7) == 0);
  EXPECT_END(last, 0);
  return 0;
}
