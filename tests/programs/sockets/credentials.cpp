// SPDX-License-Identifier: Apache-2.0
// Who is at the other end of a Unix socket: SO_PEERCRED of the one that connected, credentials in a message as the
// sender states them and as the kernel adds them. A user would see sudo, D-Bus or PostgreSQL take them for another.
#include "tests/programs/network.h"

namespace {
void expect_credentials(int fd, pid_t pid) {
  char text[10];
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(ucred))];
  iovec piece = {text, sizeof text};
  msghdr message = {};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  CHECK_EQ(recvmsg(fd, &message, 0), 1);
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  CHECK(header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_CREDENTIALS);
  ucred who;
  memcpy(&who, CMSG_DATA(header), sizeof who);
  CHECK_EQ(who.pid, pid);
  CHECK_EQ(who.uid, geteuid());
  CHECK_EQ(who.gid, getegid());
}

ssize_t send_as(int fd, pid_t pid) {
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(ucred))] = {};
  iovec piece = {const_cast<char*>("x"), 1};
  msghdr message = {};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_CREDENTIALS;
  header->cmsg_len = CMSG_LEN(sizeof(ucred));
  const ucred who = {pid, geteuid(), getegid()};
  memcpy(CMSG_DATA(header), &who, sizeof who);
  return sendmsg(fd, &message, 0);
}
}  // namespace

int main() {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  strcpy(address.sun_path, "service");
  int listener = socket(AF_UNIX, SOCK_STREAM, 0), pair[2];
  CHECK_EQ(bind(listener, as_sockaddr(address), sizeof address), 0);
  CHECK_EQ(listen(listener, 5), 0);
  CHECK_EQ(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair), 0);
  set_option(pair[0], SOL_SOCKET, SO_PASSCRED, 1);
  for (int round = 0; round < 2; round++) {
    ready_and_wait();
    int ends[2];
    CHECK_EQ(pipe(ends), 0);
    pid_t client = child([&] {
      int fd = socket(AF_UNIX, SOCK_STREAM, 0);
      CHECK_EQ(connect(fd, as_sockaddr(address), sizeof address), 0);
      CHECK_EQ(get_option<ucred>(fd, SOL_SOCKET, SO_PEERCRED).pid, getppid());  // who listens
      CHECK_EQ(send(pair[1], "x", 1, 0), 1);
      CHECK_EQ(send_as(pair[1], getpid()), 1);
      if (geteuid() != 0) CHECK_ERRNO(send_as(pair[1], getppid()), EPERM);
      char byte;
      read_all(ends[0], &byte, 1);
      return 0;
    });
    int server = accept(listener, nullptr, nullptr);
    ucred peer = get_option<ucred>(server, SOL_SOCKET, SO_PEERCRED);
    CHECK_EQ(peer.pid, client);
    CHECK_EQ(peer.uid, geteuid());
    CHECK_EQ(peer.gid, getegid());
    for (int i = 0; i < 2; i++) expect_credentials(pair[0], client);
    write_all(ends[1], "x", 1);
    EXPECT_END(client, 0);
    CHECK_EQ(send(pair[1], "x", 1, 0), 1);
    expect_credentials(pair[0], getpid());
    close(server);
  }
  CHECK_EQ(get_option<ucred>(pair[0], SOL_SOCKET, SO_PEERCRED).pid, getpid());
  return 0;
}
