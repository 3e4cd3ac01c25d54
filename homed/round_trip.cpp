// SPDX-License-Identifier: Apache-2.0
// A file of its own: glibc's netinet/tcp.h, which Asio includes, knows an older tcp_info and forbids linux/tcp.h.
#include "homed/round_trip.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstddef>

namespace omig {

double round_trip_s(int socket) {
  tcp_info info{};
  socklen_t length = sizeof(info);
  if (getsockopt(socket, IPPROTO_TCP, TCP_INFO, &info, &length) != 0) return 0;
  const bool tells = length >= offsetof(tcp_info, tcpi_min_rtt) + sizeof(info.tcpi_min_rtt);
  return tells && info.tcpi_min_rtt != ~0u ? info.tcpi_min_rtt * 1e-6 : 0;
}

}  // namespace omig
