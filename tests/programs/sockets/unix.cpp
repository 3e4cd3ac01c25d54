// SPDX-License-Identifier: Apache-2.0
// Unix sockets: named and abstract, descriptors and credentials passed in messages, before and while away.
#include <sys/socket.h>
#include <sys/un.h>

#include "tests/programs/program.h"

namespace {
void send_descriptor(int socket, int fd, const char* text) {
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  iovec piece = {const_cast<char*>(text), strlen(text)};
  msghdr message = {};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  memcpy(CMSG_DATA(header), &fd, sizeof fd);
  CHECK_EQ(sendmsg(socket, &message, 0), strlen(text));
}

int receive_descriptor(int socket, const char* want, pid_t sender) {
  char text[100] = {};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(ucred))] = {};
  iovec piece = {text, sizeof text - 1};
  msghdr message = {};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  CHECK_EQ(recvmsg(socket, &message, MSG_CMSG_CLOEXEC), strlen(want));
  CHECK(strcmp(text, want) == 0);
  CHECK_EQ(message.msg_flags, MSG_CMSG_CLOEXEC);
  int fd = -1;
  bool credentials = false;
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_type == SCM_RIGHTS) memcpy(&fd, CMSG_DATA(header), sizeof fd);
    if (header->cmsg_type == SCM_CREDENTIALS) {
      ucred who;
      memcpy(&who, CMSG_DATA(header), sizeof who);
      CHECK_EQ(who.pid, sender);
      CHECK_EQ(who.uid, getuid());
      credentials = true;
    }
  }
  CHECK(fd >= 0 && credentials);
  return fd;
}
}  // namespace

int main() {
  int pair[2], yes = 1;
  CHECK_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
  CHECK_EQ(setsockopt(pair[1], SOL_SOCKET, SO_PASSCRED, &yes, sizeof yes), 0);
  int ends[2];
  CHECK_EQ(pipe(ends), 0);
  for (int round = 0; round < 2; round++) {
    send_descriptor(pair[0], ends[1], "a pipe");
    ready_and_wait();
    int got = receive_descriptor(pair[1], "a pipe", getpid());
    write_all(got, "x", 1);
    char byte;
    read_all(ends[0], &byte, 1);
    close(got);
    pid_t sender = child([&] {
      int file = open("/dev/null", O_RDONLY);
      send_descriptor(pair[0], file, "from the child");
      return 0;
    });
    got = receive_descriptor(pair[1], "from the child", sender);
    CHECK_EQ(read(got, &byte, 1), 0);
    close(got);
    EXPECT_END(sender, 0);
  }
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  strcpy(address.sun_path, "socket");
  int listener = socket(AF_UNIX, SOCK_STREAM, 0), client = socket(AF_UNIX, SOCK_STREAM, 0);
  CHECK_EQ(bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  CHECK_EQ(listen(listener, 1), 0);
  CHECK_EQ(connect(client, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  int server = accept(listener, nullptr, nullptr);
  CHECK(server >= 0);
  ucred peer;
  socklen_t length = sizeof peer;
  CHECK_EQ(getsockopt(server, SOL_SOCKET, SO_PEERCRED, &peer, &length), 0);
  CHECK_EQ(peer.pid, getpid());
  write_all(client, "hello", 5);
  char text[10] = {};
  read_all(server, text, 5);
  CHECK(strcmp(text, "hello") == 0);
  CHECK_EQ(unlink("socket"), 0);
  return 0;
}
