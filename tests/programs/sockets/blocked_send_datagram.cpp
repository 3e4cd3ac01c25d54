// SPDX-License-Identifier: Apache-2.0
// Moved while sendto waits because the receiver of Unix datagrams has too many: a user would see a log line that is
// lost or doubled.
#include "tests/programs/network.h"

int main() {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  strcpy(address.sun_path, "log");
  int receiver = socket(AF_UNIX, SOCK_DGRAM, 0), sender = socket(AF_UNIX, SOCK_DGRAM, 0);
  CHECK_EQ(bind(receiver, as_sockaddr(address), sizeof address), 0);
  int count = 0;
  while (sendto(sender, &count, sizeof count, MSG_DONTWAIT, as_sockaddr(address), sizeof address) == sizeof count)
    count++;
  CHECK_EQ(errno, EAGAIN);
  CHECK(count > 0);
  pid_t reader = after_go([&] {
    int number = -1;
    for (int i = 0; i <= count; i++) {
      CHECK_EQ(recv(receiver, &number, sizeof number, 0), sizeof number);
      CHECK_EQ(number, i);
    }
    CHECK_EQ(recv(receiver, &number, sizeof number, 0), 3);
    CHECK_ERRNO(recv(receiver, &number, sizeof number, MSG_DONTWAIT), EAGAIN);
  });
  announce("blocked");
  CHECK_EQ(sendto(sender, &count, sizeof count, 0, as_sockaddr(address), sizeof address), sizeof count);
  CHECK_EQ(sendto(sender, "end", 3, 0, as_sockaddr(address), sizeof address), 3);
  EXPECT_END(reader, 0);
  return 0;
}
