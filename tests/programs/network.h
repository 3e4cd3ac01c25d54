// SPDX-License-Identifier: Apache-2.0
// What the programs about sockets share: addresses on the loopback interface, and pairs of connected sockets.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "tests/programs/program.h"

namespace program {

template <class Address>
sockaddr* as_sockaddr(Address& address) {
  return reinterpret_cast<sockaddr*>(&address);
}

inline sockaddr_in loopback(in_port_t port = 0) {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = port;
  return address;
}

inline sockaddr_in own_name(int fd) {
  sockaddr_in address = {};
  socklen_t length = sizeof address;
  CHECK_EQ(getsockname(fd, as_sockaddr(address), &length), 0);
  return address;
}

// An IPv4 socket on a free port of 127.0.0.1.
inline int bound_socket(int type) {
  int fd = socket(AF_INET, type, 0);
  CHECK(fd >= 0);
  sockaddr_in address = loopback();
  CHECK_EQ(bind(fd, as_sockaddr(address), sizeof address), 0);
  return fd;
}

inline int tcp_listener(int backlog = 5) {
  int fd = bound_socket(SOCK_STREAM);
  CHECK_EQ(listen(fd, backlog), 0);
  return fd;
}

inline int tcp_client(int listener) {
  sockaddr_in address = own_name(listener);
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  CHECK_EQ(connect(fd, as_sockaddr(address), sizeof address), 0);
  return fd;
}

inline void tcp_pair(int (&pair)[2]) {
  int listener = tcp_listener();
  pair[0] = tcp_client(listener);
  pair[1] = accept(listener, nullptr, nullptr);
  CHECK(pair[1] >= 0);
  close(listener);
}

template <class T>
T get_option(int fd, int level, int name) {
  T value = {};
  socklen_t length = sizeof value;
  CHECK_EQ(getsockopt(fd, level, name, &value, &length), 0);
  return value;
}

template <class T>
void set_option(int fd, int level, int name, T value) {
  CHECK_EQ(setsockopt(fd, level, name, &value, sizeof value), 0);
}

// One message of `text` with descriptors in it.
inline ssize_t send_descriptors(int socket, const char* text, const int* fds, size_t count, int flags = 0) {
  alignas(cmsghdr) static thread_local char control[CMSG_SPACE(300 * sizeof(int))];
  memset(control, 0, sizeof control);
  iovec piece = {const_cast<char*>(text), strlen(text)};
  msghdr message = {};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = CMSG_SPACE(count * sizeof(int));
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(count * sizeof(int));
  memcpy(CMSG_DATA(header), fds, count * sizeof(int));
  return sendmsg(socket, &message, flags);
}

// Receives one message that must be `text`; returns how many descriptors came (at most `room`) and the message's flags.
inline size_t receive_descriptors(int socket, const char* text, int* fds, size_t room, int* flags, int ask = 0) {
  alignas(cmsghdr) static thread_local char control[CMSG_SPACE(300 * sizeof(int))];
  char got[200] = {};
  iovec piece = {got, sizeof got - 1};
  msghdr message = {};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = room ? CMSG_LEN(room * sizeof(int)) : 0;
  CHECK_EQ(recvmsg(socket, &message, ask), strlen(text));
  CHECK(strcmp(got, text) == 0);
  if (flags) *flags = message.msg_flags;
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  if (!header) return 0;
  CHECK(header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS);
  size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
  memcpy(fds, CMSG_DATA(header), count * sizeof(int));
  return count;
}

}  // namespace program
