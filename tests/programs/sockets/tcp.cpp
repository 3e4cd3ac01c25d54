// SPDX-License-Identifier: Apache-2.0
// A TCP client and server in two processes, both moved, exchange checksummed messages all the time.
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "tests/programs/program.h"

namespace {
struct Message {
  unsigned length, number;
  unsigned long sum;
  unsigned char body[20'000];
};

void send_message(int fd, Message& message, unsigned number, Random& random) {
  message.number = number;
  message.length = static_cast<unsigned>(1 + random.next() % sizeof message.body);
  fill(message.body, message.length, random.next());
  message.sum = hash(message.body, message.length);
  write_all(fd, &message, offsetof(Message, body) + message.length);
}

void receive_message(int fd, Message& message, unsigned number) {
  read_all(fd, &message, offsetof(Message, body));
  CHECK_EQ(message.number, number);
  CHECK(message.length <= sizeof message.body);
  read_all(fd, message.body, message.length);
  CHECK(hash(message.body, message.length) == message.sum);
}
}  // namespace

int main() {
  int listener = socket(AF_INET, SOCK_STREAM, 0);
  CHECK(listener >= 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  CHECK_EQ(bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  CHECK_EQ(listen(listener, 5), 0);
  socklen_t length = sizeof address;
  CHECK_EQ(getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length), 0);
  static Message message;
  pid_t client = child([&] {
    close(listener);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    CHECK_EQ(connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    int yes = 1;
    CHECK_EQ(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes), 0);
    Random random{5};
    Go go(2);
    unsigned number = 0;
    for (; !go.done(); number++) {
      send_message(fd, message, number, random);
      receive_message(fd, message, number + 1'000'000);
    }
    CHECK_EQ(shutdown(fd, SHUT_WR), 0);
    char byte;
    CHECK_EQ(read(fd, &byte, 1), 0);
    return number > 0 ? 0 : 2;
  });
  sockaddr_in peer = {};
  length = sizeof peer;
  int fd = accept4(listener, reinterpret_cast<sockaddr*>(&peer), &length, SOCK_CLOEXEC);
  CHECK(fd >= 0);
  CHECK_EQ(peer.sin_addr.s_addr, htonl(INADDR_LOOPBACK));
  announce("busy", 2);
  Random random{6};
  char byte;
  for (unsigned number = 0; recv(fd, &byte, 1, MSG_PEEK) == 1; number++) {
    receive_message(fd, message, number);
    send_message(fd, message, number + 1'000'000, random);
  }
  close(fd);
  wait_for_go();
  EXPECT_END(client, 0);
  return 0;
}
