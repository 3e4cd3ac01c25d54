// SPDX-License-Identifier: Apache-2.0
// Names of Unix datagram sockets: by path, abstract with zero bytes, chosen by the kernel, none at all; senders are
// seen by them. A user would see a client that gets no answer, or somebody else's.
#include "tests/programs/network.h"

namespace {
socklen_t path_length(const char* path, size_t bytes, sockaddr_un* address) {
  *address = {};
  address->sun_family = AF_UNIX;
  memcpy(address->sun_path, path, bytes);
  return static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + bytes);
}
}  // namespace

int main() {
  sockaddr_un server, abstract, from, got;
  int fd = socket(AF_UNIX, SOCK_DGRAM, 0), other = socket(AF_UNIX, SOCK_DGRAM, 0);
  socklen_t server_length = path_length("server", 7, &server);
  char name[40];
  int bytes = snprintf(name + 1, sizeof name - 1, "omig test %d", getpid());
  name[0] = 0, name[5] = 0;  // zero bytes belong to an abstract name
  socklen_t abstract_length = path_length(name, static_cast<size_t>(bytes) + 1, &abstract);
  CHECK_EQ(bind(fd, as_sockaddr(server), server_length), 0);
  ready_and_wait();
  CHECK_EQ(bind(other, as_sockaddr(abstract), abstract_length), 0);
  int chosen = socket(AF_UNIX, SOCK_DGRAM, 0), nameless = socket(AF_UNIX, SOCK_DGRAM, 0);
  sa_family_t family = AF_UNIX;
  CHECK_EQ(bind(chosen, reinterpret_cast<sockaddr*>(&family), sizeof family), 0);
  socklen_t length = sizeof got;
  CHECK_EQ(getsockname(chosen, as_sockaddr(got), &length), 0);
  CHECK_EQ(length, sizeof family + 6);  // a zero byte and five digits
  CHECK_EQ(got.sun_path[0], 0);
  ready_and_wait();
  char text[10];
  const int senders[4] = {other, chosen, nameless, fd};
  const socklen_t lengths[4] = {abstract_length, sizeof family + 6, 0, server_length};
  const sockaddr_un* names[4] = {&abstract, &got, nullptr, &server};
  for (int i = 0; i < 4; i++) {
    CHECK_EQ(sendto(senders[i], "x", 1, 0, as_sockaddr(server), server_length), 1);
    length = sizeof from;
    CHECK_EQ(recvfrom(fd, text, 10, 0, as_sockaddr(from), &length), 1);
    CHECK_EQ(length, lengths[i]);
    if (names[i]) CHECK(memcmp(&from, names[i], length) == 0);
  }
  length = 4;  // less room than the name needs: cut, its true length told
  CHECK_EQ(getsockname(other, as_sockaddr(from), &length), 0);
  CHECK_EQ(length, abstract_length);
  CHECK_ERRNO(bind(nameless, as_sockaddr(abstract), abstract_length), EADDRINUSE);
  CHECK_EQ(connect(chosen, as_sockaddr(server), server_length), 0);
  CHECK_EQ(unlink("server"), 0);
  CHECK_EQ(send(chosen, "x", 1, 0), 1);  // connected, it needs the name no more
  CHECK_ERRNO(sendto(nameless, "x", 1, 0, as_sockaddr(server), server_length), ENOENT);
  close(fd);
  CHECK_ERRNO(send(chosen, "x", 1, 0), ECONNREFUSED);
  CHECK_EQ(bind(nameless, as_sockaddr(server), server_length), 0);
  CHECK_ERRNO(send(chosen, "x", 1, 0), ENOTCONN);
  return 0;
}
