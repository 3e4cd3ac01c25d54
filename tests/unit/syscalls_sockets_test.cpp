// SPDX-License-Identifier: Apache-2.0
// Sockets: addresses, message headers, descriptors in control data, options.
#include <arpa/inet.h>
#include <asm/unistd.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <string>

#include "tests/unit/syscalls_deputy.h"

namespace omig::syscalls {
namespace {

class Sockets : public Guest {
 protected:
  void SetUp() override {
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair), 0);
    for (int& socket : udp) {
      socket = ::socket(AF_INET, SOCK_DGRAM, 0);
      ASSERT_EQ(bind(socket, reinterpret_cast<sockaddr*>(&any), sizeof(any)), 0);
    }
    socklen_t bytes = sizeof(address);
    ASSERT_EQ(::getsockname(udp[0], reinterpret_cast<sockaddr*>(&address), &bytes), 0);
    ASSERT_EQ(::getsockname(udp[1], reinterpret_cast<sockaddr*>(&sender), &bytes), 0);
  }
  void TearDown() override {
    for (int fd : {pair[0], pair[1], udp[0], udp[1]}) close(fd);
  }
  int pair[2], udp[2];
  sockaddr_in any{.sin_family = AF_INET, .sin_port = 0, .sin_addr = {htonl(INADDR_LOOPBACK)}, .sin_zero = {}};
  sockaddr_in address{}, sender{};
};

TEST_F(Sockets, AddressesBothWays) {
  EXPECT_EQ(call(__NR_sendto, udp[1], "ping", 4, 0, &address, sizeof(address)), 4);
  EXPECT_EQ(sent().flags, wire::kCallWantsSigpipe | wire::kCallTimesOut);
  EXPECT_EQ(forward(__NR_sendto, udp[1], "ping", 4, MSG_ZEROCOPY, &address, sizeof(address)).gathered,
            Gathered::come_home);
  sockaddr_in from{};
  socklen_t bytes = sizeof(from);
  char buffer[16];
  memset(buffer, '#', sizeof(buffer));
  EXPECT_EQ(call(__NR_recvfrom, udp[0], buffer, sizeof(buffer), 0, &from, &bytes), 4);
  EXPECT_EQ(std::string(buffer, 5), "ping#");
  EXPECT_EQ(bytes, sizeof(from));
  EXPECT_EQ(from.sin_port, sender.sin_port);
  // A short buffer gets a part, and the true length.
  struct {
    u8 part[4] = {}, guard[12] = {};
  } small;
  bytes = 4;
  EXPECT_EQ(call(__NR_getsockname, udp[0], &small, &bytes), 0);
  EXPECT_EQ(bytes, sizeof(address));
  EXPECT_EQ(memcmp(small.part, &address, 4), 0);
  EXPECT_EQ(small.guard[0], 0);
  // An empty datagram still has a sender.
  EXPECT_EQ(call(__NR_sendto, udp[1], nullptr, 0, MSG_NOSIGNAL, &address, sizeof(address)), 0);
  EXPECT_EQ(sent().flags, wire::kCallTimesOut);
  from = {};
  bytes = sizeof(from);
  EXPECT_EQ(call(__NR_recvfrom, udp[0], buffer, sizeof(buffer), 0, &from, &bytes), 0);
  EXPECT_EQ(from.sin_port, sender.sin_port);
}

TEST_F(Sockets, BadAddresses) {
  Edge edge;
  u32 length = 16, negative = ~0u;
  for (void* bad : {static_cast<void*>(edge.end()), kernel_address(), static_cast<void*>(nullptr)}) {
    for (const int bytes : {0, 2, 16, 128, 129, -1}) expect_as_native(__NR_bind, pair[0], bad, bytes);
    expect_as_native(__NR_getsockname, udp[0], bad, &length);
    expect_as_native(__NR_getsockname, udp[0], &address, bad);
    expect_as_native(__NR_getsockname, udp[0], bad, &negative);
    expect_as_native(__NR_getsockname, -1, bad, bad);
    expect_as_native(__NR_sendto, udp[1], "x", 1, 0, bad, 16);
    expect_as_native(__NR_sendmsg, udp[1], bad, 0);
    expect_as_native(__NR_recvmsg, udp[1], bad, MSG_DONTWAIT);
    expect_as_native(__NR_getsockopt, udp[0], SOL_SOCKET, SO_TYPE, bad, &length);
    expect_as_native(__NR_getsockopt, udp[0], SOL_SOCKET, SO_TYPE, &length, bad);
    expect_as_native(__NR_setsockopt, udp[0], SOL_SOCKET, SO_REUSEADDR, bad, 4);
  }
  expect_as_native(__NR_getsockname, udp[0], &address, &negative);
}

TEST_F(Sockets, Accept) {
  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  EXPECT_EQ(call(__NR_bind, listener, &any, sizeof(any)), 0);
  EXPECT_EQ(call(__NR_listen, listener, 5), 0);
  sockaddr_in where{}, peer{};
  socklen_t bytes = sizeof(where);
  EXPECT_EQ(call(__NR_getsockname, listener, &where, &bytes), 0);
  const int client = socket(AF_INET, SOCK_STREAM, 0);
  EXPECT_EQ(call(__NR_connect, client, &where, sizeof(where)), 0);
  bytes = sizeof(peer);
  const long server = call(__NR_accept4, listener, &peer, &bytes, SOCK_CLOEXEC);
  ASSERT_GE(server, 0);
  EXPECT_EQ(peer.sin_addr.s_addr, htonl(INADDR_LOOPBACK));
  const int second = socket(AF_INET, SOCK_STREAM, 0);
  ASSERT_EQ(call(__NR_connect, second, &where, sizeof(where)), 0);
  const long other = call(__NR_accept, listener, nullptr, nullptr);
  EXPECT_GE(other, 0);
  for (long fd : {long{listener}, long{client}, server, long{second}, other}) close(static_cast<int>(fd));
}

TEST_F(Sockets, MessagesWithDescriptors) {
  int pipes[2];
  ASSERT_EQ(pipe(pipes), 0);
  char first[] = "some ", second[] = "data";
  iovec parts[] = {{first, 5}, {second, 4}};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr out{.msg_name = nullptr,
             .msg_namelen = 0,
             .msg_iov = parts,
             .msg_iovlen = 2,
             .msg_control = control,
             .msg_controllen = sizeof(control),
             .msg_flags = 0};
  cmsghdr* header = CMSG_FIRSTHDR(&out);
  *header = {CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
  memcpy(CMSG_DATA(header), &pipes[1], sizeof(int));
  EXPECT_EQ(call(__NR_sendmsg, pair[0], &out, 0), 9);

  char a[3], b[20];
  memset(a, '#', sizeof(a));
  memset(b, '#', sizeof(b));
  iovec places[] = {{a, 3}, {b, 20}};
  alignas(cmsghdr) char space[256];
  memset(space, '#', sizeof(space));
  msghdr in{.msg_name = nullptr,
            .msg_namelen = 77,
            .msg_iov = places,
            .msg_iovlen = 2,
            .msg_control = space,
            .msg_controllen = sizeof(space),
            .msg_flags = 99};
  EXPECT_EQ(call(__NR_recvmsg, pair[1], &in, 0), 9);
  EXPECT_EQ(std::string(a, 3) + std::string(b, 7), "some data#");
  EXPECT_EQ(in.msg_flags, 0);
  EXPECT_EQ(in.msg_iov, places) << "the guest's own pointers stay";
  EXPECT_EQ(in.msg_control, space);
  EXPECT_EQ(in.msg_controllen, sizeof(control));
  EXPECT_EQ(space[sizeof(control)], '#');
  const cmsghdr* got = CMSG_FIRSTHDR(&in);
  ASSERT_NE(got, nullptr);
  EXPECT_EQ(got->cmsg_type, SCM_RIGHTS);
  int received;
  memcpy(&received, CMSG_DATA(got), sizeof(int));
  EXPECT_EQ(write(received, "!", 1), 1);
  char c;
  EXPECT_EQ(read(pipes[0], &c, 1), 1);
  for (int fd : {pipes[0], pipes[1], received}) close(fd);
}

TEST_F(Sockets, TruncatedAndEmptyMessages) {
  ASSERT_EQ(sendto(udp[1], "0123456789", 10, 0, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 10);
  struct {
    char buffer[4], guard[4] = {'#', '#', '#', '#'};
  } place;
  iovec part{place.buffer, 4};
  sockaddr_in from{};
  msghdr in{};
  in.msg_name = &from;
  in.msg_namelen = sizeof(from);
  in.msg_iov = &part;
  in.msg_iovlen = 1;
  EXPECT_EQ(call(__NR_recvmsg, udp[0], &in, MSG_TRUNC), 10);
  EXPECT_EQ(std::string(place.buffer, 5), "0123#");
  EXPECT_EQ(in.msg_flags & MSG_TRUNC, MSG_TRUNC);
  EXPECT_EQ(from.sin_port, sender.sin_port);
  ASSERT_EQ(sendto(udp[1], "", 0, 0, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  from = {};
  EXPECT_EQ(call(__NR_recvmsg, udp[0], &in, 0), 0);
  EXPECT_EQ(from.sin_port, sender.sin_port);
  EXPECT_EQ(call(__NR_recvmsg, udp[0], &in, MSG_DONTWAIT), -EAGAIN);
}

TEST_F(Sockets, BadMessages) {
  Edge edge;
  iovec part{edge.end(), 4};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  expect_as_native(__NR_sendmsg, pair[0], &message, MSG_DONTWAIT);
  message.msg_iovlen = 1025;
  expect_as_native(__NR_sendmsg, pair[0], &message, MSG_DONTWAIT);
  message.msg_iovlen = 0;
  message.msg_control = edge.end();
  for (const std::size_t bytes : {std::size_t{16}, std::size_t{1} << 22, std::size_t{1} << 40}) {
    message.msg_controllen = bytes;
    expect_as_native(__NR_sendmsg, pair[0], &message, MSG_DONTWAIT);
  }
  message.msg_controllen = 0;
  message.msg_name = edge.end();
  for (const u32 bytes : {16u, 500u, ~0u}) {
    message.msg_namelen = bytes;
    expect_as_native(__NR_sendmsg, pair[0], &message, MSG_DONTWAIT);
  }
  // The last bytes of a header are missing.
  memcpy(edge.last(40), &message, 40);
  expect_as_native(__NR_sendmsg, pair[0], edge.last(40), MSG_DONTWAIT);
}

TEST_F(Sockets, ManyMessages) {
  char texts[3][8] = {"one", "three", "fifteen"};
  iovec parts[3] = {{texts[0], 3}, {texts[1], 5}, {texts[2], 7}};
  mmsghdr out[3] = {};
  for (int i = 0; i < 3; ++i) {
    out[i].msg_hdr.msg_iov = &parts[i];
    out[i].msg_hdr.msg_iovlen = 1;
    out[i].msg_hdr.msg_name = &address;
    out[i].msg_hdr.msg_namelen = sizeof(address);
  }
  EXPECT_EQ(call(__NR_sendmmsg, udp[1], out, 3, 0), 3);
  EXPECT_EQ(out[2].msg_len, 7u);

  char buffers[4][16];
  memset(buffers, '#', sizeof(buffers));
  sockaddr_in from[4] = {};
  from[3].sin_port = 4711;
  iovec places[4];
  mmsghdr in[4] = {};
  for (int i = 0; i < 4; ++i) {
    places[i] = {buffers[i], 16};
    in[i].msg_hdr.msg_iov = &places[i];
    in[i].msg_hdr.msg_iovlen = 1;
    in[i].msg_hdr.msg_name = &from[i];
    in[i].msg_hdr.msg_namelen = sizeof(from[i]);
    in[i].msg_len = 12345;
  }
  EXPECT_EQ(call(__NR_recvmmsg, udp[0], in, 4, MSG_DONTWAIT, nullptr), 3);
  EXPECT_EQ(std::string(buffers[0], 4), "one#");
  EXPECT_EQ(std::string(buffers[2], 8), "fifteen#");
  EXPECT_EQ(in[1].msg_len, 5u);
  EXPECT_EQ(from[1].sin_port, sender.sin_port);
  EXPECT_EQ(buffers[3][0], '#') << "a message that did not come changes nothing";
  EXPECT_EQ(in[3].msg_len, 12345u);
  EXPECT_EQ(from[3].sin_port, 4711);
}

TEST_F(Sockets, Options) {
  int value = -1;
  socklen_t bytes = sizeof(value);
  EXPECT_EQ(call(__NR_getsockopt, udp[0], SOL_SOCKET, SO_TYPE, &value, &bytes), 0);
  EXPECT_EQ(value, SOCK_DGRAM);
  EXPECT_EQ(bytes, 4u);
  int on = 1;
  EXPECT_EQ(call(__NR_setsockopt, udp[0], SOL_SOCKET, SO_BROADCAST, &on, sizeof(on)), 0);
  EXPECT_EQ(::getsockopt(udp[0], SOL_SOCKET, SO_BROADCAST, &value, &bytes), 0);
  EXPECT_EQ(value, 1);
  EXPECT_EQ(call(__NR_setsockopt, udp[0], SOL_SOCKET, SO_BROADCAST, &on, -1), -EINVAL);
  EXPECT_EQ(call(__NR_setsockopt, udp[0], SOL_SOCKET, SO_BROADCAST, &on, 1), -EINVAL);
  // A value at the very end of memory, with a length that promises more: the kernel writes four bytes.
  Edge edge;
  bytes = 1000;
  EXPECT_EQ(call(__NR_getsockopt, udp[0], SOL_SOCKET, SO_TYPE, edge.last(4), &bytes), 0);
  EXPECT_EQ(bytes, 4u);
  int at_edge;
  memcpy(&at_edge, edge.last(4), 4);
  EXPECT_EQ(at_edge, SOCK_DGRAM);
  EXPECT_EQ(forward(__NR_getsockopt, udp[0], IPPROTO_TCP, TCP_ZEROCOPY_RECEIVE, &value, &bytes).gathered,
            Gathered::come_home);
}

TEST_F(Sockets, FiltersAreCarried) {
  sock_filter nothing[] = {BPF_STMT(BPF_RET | BPF_K, 0)};
  sock_fprog program{1, nothing};
  EXPECT_EQ(call(__NR_setsockopt, udp[0], SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)), 0);
  ASSERT_EQ(sendto(udp[1], "x", 1, 0, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 1);
  char c;
  EXPECT_EQ(call(__NR_recvfrom, udp[0], &c, 1, MSG_DONTWAIT, nullptr, nullptr), -EAGAIN) << "the filter dropped it";
}

TEST_F(Sockets, Interfaces) {
  ifreq request{};
  strcpy(request.ifr_name, "lo");
  EXPECT_EQ(call(__NR_ioctl, udp[0], SIOCGIFINDEX, &request), 0);
  EXPECT_EQ(request.ifr_ifindex, static_cast<int>(if_nametoindex("lo")));
  std::array<ifreq, 64> list{};
  ifconf configuration{};
  configuration.ifc_len = sizeof(list);
  configuration.ifc_req = list.data();
  EXPECT_EQ(call(__NR_ioctl, udp[0], SIOCGIFCONF, &configuration), 0);
  EXPECT_EQ(configuration.ifc_req, list.data());
  EXPECT_GT(configuration.ifc_len, 0);
  EXPECT_STREQ(list[0].ifr_name, "lo");
  int waiting = -1;
  EXPECT_EQ(call(__NR_ioctl, udp[0], FIONREAD, &waiting), 0);
  EXPECT_EQ(waiting, 0);
}

TEST_F(Sockets, SigpipeIsAskedFor) {
  char c = 'x';
  iovec part{&c, 1};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  EXPECT_EQ(call(__NR_sendmsg, pair[0], &message, MSG_NOSIGNAL), 1);
  EXPECT_EQ(sent().flags, wire::kCallTimesOut);
  EXPECT_EQ(call(__NR_sendmsg, pair[0], &message, 0), 1);
  EXPECT_EQ(sent().flags, wire::kCallWantsSigpipe | wire::kCallTimesOut);
}

}  // namespace
}  // namespace omig::syscalls
