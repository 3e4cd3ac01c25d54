// SPDX-License-Identifier: Apache-2.0
// Who may bind what: an address in use, SO_REUSEADDR behind a closed connection, SO_REUSEPORT with several listeners
// that share the connections, a port below the range. A user would see a server that cannot be restarted.
#include <poll.h>

#include "tests/programs/network.h"

int main() {
  int first = tcp_listener();
  sockaddr_in address = own_name(first);
  set_option(first, SOL_SOCKET, SO_REUSEADDR, 1);  // for its connections
  ready_and_wait();
  int second = socket(AF_INET, SOCK_STREAM, 0);
  CHECK_ERRNO(bind(second, as_sockaddr(address), sizeof address), EADDRINUSE);
  // A connection closed from this side lingers in TIME_WAIT.
  int client = tcp_client(first), server = accept(first, nullptr, nullptr);
  close(server);
  char byte;
  CHECK_EQ(read(client, &byte, 1), 0);
  close(client);
  close(first);
  CHECK_ERRNO(bind(second, as_sockaddr(address), sizeof address), EADDRINUSE);
  set_option(second, SOL_SOCKET, SO_REUSEADDR, 1);
  CHECK_EQ(bind(second, as_sockaddr(address), sizeof address), 0);
  close(second);
  // Several listeners on one port.
  int listeners[3];
  sockaddr_in shared = loopback();
  for (int& each : listeners) {
    each = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    set_option(each, SOL_SOCKET, SO_REUSEPORT, 1);
    CHECK_EQ(bind(each, as_sockaddr(shared), sizeof shared), 0);
    CHECK_EQ(listen(each, 100), 0);
    shared = own_name(each);
  }
  ready_and_wait();
  int clients[60], served[3] = {};
  for (int& each : clients) each = tcp_client(listeners[0]);
  ready_and_wait();
  for (int i = 0; i < 3; i++)
    while (true) {
      int fd = accept(listeners[i], nullptr, nullptr);
      if (fd < 0) {
        CHECK_EQ(errno, EAGAIN);
        break;
      }
      served[i]++;
    }
  CHECK_EQ(served[0] + served[1] + served[2], 60);
  for (int each : served) CHECK(each > 0);
  int last = socket(AF_INET, SOCK_STREAM, 0);
  set_option(last, SOL_SOCKET, SO_REUSEADDR, 1);
  CHECK_ERRNO(bind(last, as_sockaddr(shared), sizeof shared), EADDRINUSE);
  return 0;
}
