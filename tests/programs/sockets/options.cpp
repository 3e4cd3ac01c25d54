// SPDX-License-Identifier: Apache-2.0
// Non-blocking connects, socket options, errors on the socket, shutdown, out-of-band data, names of both ends.
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "tests/programs/program.h"

namespace {
template <class T>
T option(int fd, int level, int name) {
  T value = {};
  socklen_t length = sizeof value;
  CHECK_EQ(getsockopt(fd, level, name, &value, &length), 0);
  return value;
}
}  // namespace

int main() {
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int yes = 1;
  CHECK_EQ(setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes), 0);
  CHECK_EQ(bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  CHECK_EQ(listen(listener, 5), 0);
  socklen_t length = sizeof address;
  CHECK_EQ(getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length), 0);
  for (int round = 0; round < 2; round++) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    int connected = connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address);
    CHECK(connected == 0 || errno == EINPROGRESS);
    pollfd polled = {fd, POLLOUT, 0};
    CHECK_EQ(poll(&polled, 1, 5000), 1);
    CHECK_EQ(option<int>(fd, SOL_SOCKET, SO_ERROR), 0);
    int server = accept(listener, nullptr, nullptr);
    CHECK(server >= 0);
    ready_and_wait();
    char byte;
    CHECK_ERRNO(recv(fd, &byte, 1, 0), EAGAIN);
    linger wait = {1, 3};
    CHECK_EQ(setsockopt(fd, SOL_SOCKET, SO_LINGER, &wait, sizeof wait), 0);
    CHECK_EQ(option<linger>(fd, SOL_SOCKET, SO_LINGER).l_linger, 3);
    CHECK_EQ(option<int>(fd, SOL_SOCKET, SO_TYPE), SOCK_STREAM);
    CHECK(option<int>(fd, SOL_SOCKET, SO_RCVBUF) > 0);
    CHECK_EQ(option<tcp_info>(fd, IPPROTO_TCP, TCP_INFO).tcpi_state, 1);
    sockaddr_in here = {}, there = {};
    length = sizeof here;
    CHECK_EQ(getsockname(fd, reinterpret_cast<sockaddr*>(&here), &length), 0);
    CHECK_EQ(getpeername(server, reinterpret_cast<sockaddr*>(&there), &length), 0);
    CHECK_EQ(here.sin_port, there.sin_port);
    CHECK_EQ(send(server, "data", 4, 0), 4);
    CHECK_EQ(send(server, "!", 1, MSG_OOB), 1);
    polled = {fd, POLLPRI, 0};
    CHECK_EQ(poll(&polled, 1, 5000), 1);
    CHECK_EQ(recv(fd, &byte, 1, MSG_OOB), 1);
    CHECK_EQ(byte, '!');
    int available = 0;
    CHECK_EQ(ioctl(fd, FIONREAD, &available), 0);
    CHECK_EQ(available, 4);
    char text[4];
    CHECK_EQ(recv(fd, text, 4, MSG_WAITALL), 4);
    CHECK_EQ(shutdown(fd, SHUT_WR), 0);
    signal(SIGPIPE, SIG_DFL);
    CHECK_ERRNO(send(fd, "x", 1, MSG_NOSIGNAL), EPIPE);
    CHECK_EQ(recv(server, &byte, 1, 0), 0);
    close(fd);
    close(server);
  }
  close(listener);
  int refused = socket(AF_INET, SOCK_STREAM, 0);
  CHECK_ERRNO(connect(refused, reinterpret_cast<sockaddr*>(&address), sizeof address), ECONNREFUSED);
  CHECK_ERRNO(socket(AF_INET, 77, 0), EINVAL);
  return 0;
}
