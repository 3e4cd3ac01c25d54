// SPDX-License-Identifier: Apache-2.0
// Moved while recvmmsg waits for the first of several datagrams: each must come once, with its length, its sender's
// name and in order. A user would see answers lost or mixed up in a name server.
#include "tests/programs/network.h"

int main() {
  int receiver = bound_socket(SOCK_DGRAM), sender = bound_socket(SOCK_DGRAM);
  sockaddr_in target = own_name(receiver), source = own_name(sender);
  const char* texts[3] = {"one", "", "three"};
  pid_t helper = after_go([&] {
    for (const char* text : texts)
      CHECK_EQ(sendto(sender, text, strlen(text), 0, as_sockaddr(target), sizeof target), strlen(text));
  });
  char data[4][20] = {};
  sockaddr_in names[4] = {};
  iovec pieces[4];
  mmsghdr messages[4] = {};
  for (int i = 0; i < 4; i++) {
    pieces[i] = {data[i], sizeof data[i]};
    messages[i].msg_len = 999;
    messages[i].msg_hdr.msg_iov = &pieces[i];
    messages[i].msg_hdr.msg_iovlen = 1;
    messages[i].msg_hdr.msg_name = &names[i];
    messages[i].msg_hdr.msg_namelen = sizeof names[i];
  }
  announce("blocked");
  timespec enough = {100, 0};
  CHECK_EQ(recvmmsg(receiver, messages, 3, 0, &enough), 3);
  CHECK(enough.tv_sec < 100);  // what is left comes back
  for (int i = 0; i < 3; i++) {
    CHECK_EQ(messages[i].msg_len, strlen(texts[i]));
    CHECK(strcmp(data[i], texts[i]) == 0);
    CHECK_EQ(names[i].sin_port, source.sin_port);
    CHECK_EQ(messages[i].msg_hdr.msg_namelen, sizeof names[i]);
  }
  CHECK_EQ(messages[3].msg_len, 999);  // not asked for, not touched
  EXPECT_END(helper, 0);
  CHECK_ERRNO(recvmmsg(receiver, messages, 4, MSG_DONTWAIT, nullptr), EAGAIN);
  CHECK_EQ(sendto(sender, "last", 4, 0, as_sockaddr(target), sizeof target), 4);
  CHECK_EQ(recvmmsg(receiver, messages, 4, MSG_WAITFORONE, nullptr), 1);
  return 0;
}
