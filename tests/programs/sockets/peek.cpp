// SPDX-License-Identifier: Apache-2.0
// Looking at data without taking it, from an offset, and learning a message's true length. A user would see a server
// guess the wrong protocol, or lose the bytes that it looked at.
#include "tests/programs/network.h"

int main() {
  int pair[2], records[2];
  tcp_pair(pair);
  CHECK_EQ(socketpair(AF_UNIX, SOCK_DGRAM, 0, records), 0);
  write_all(pair[1], "GET /", 5);
  CHECK_EQ(send(records[1], "a long record", 13, 0), 13);
  CHECK_EQ(send(records[1], "second", 6, 0), 6);
  char text[20] = {};
  for (int round = 0; round < 2; round++) {
    ready_and_wait();
    memset(text, 0, sizeof text);
    CHECK_EQ(recv(pair[0], text, 3, MSG_PEEK), 3);
    CHECK(strcmp(text, "GET") == 0);
    CHECK_EQ(recv(pair[0], text, sizeof text, MSG_PEEK | MSG_DONTWAIT), 5);
    CHECK_EQ(recv(records[0], text, 1, MSG_PEEK | MSG_TRUNC), 13);
    CHECK_EQ(recv(records[0], nullptr, 0, MSG_PEEK | MSG_TRUNC), 13);
  }
  CHECK_EQ(recv(records[0], text, 6, MSG_TRUNC), 13);  // the rest of the record is lost
  CHECK(memcmp(text, "a long", 6) == 0);
  CHECK_EQ(recv(records[0], text, sizeof text, 0), 6);
  int stream[2];
  CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, stream), 0);
  set_option(stream[0], SOL_SOCKET, SO_PEEK_OFF, 2);
  write_all(stream[1], "abcdef", 6);
  CHECK_EQ(recv(stream[0], text, 2, MSG_PEEK), 2);
  CHECK(memcmp(text, "cd", 2) == 0);
  ready_and_wait();
  CHECK_EQ(recv(stream[0], text, 2, MSG_PEEK), 2);  // the offset moved on
  CHECK(memcmp(text, "ef", 2) == 0);
  CHECK_EQ(get_option<int>(stream[0], SOL_SOCKET, SO_PEEK_OFF), 6);
  CHECK_EQ(recv(stream[0], text, 3, 0), 3);
  CHECK(memcmp(text, "abc", 3) == 0);
  CHECK_EQ(get_option<int>(stream[0], SOL_SOCKET, SO_PEEK_OFF), 3);
  CHECK_EQ(recv(pair[0], text, 5, MSG_TRUNC), 5);  // on TCP: thrown away unseen
  CHECK_ERRNO(recv(pair[0], text, 5, MSG_DONTWAIT), EAGAIN);
  return 0;
}
