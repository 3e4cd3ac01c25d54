// SPDX-License-Identifier: Apache-2.0
// How far away the other end of a TCP connection is.
#pragma once

namespace omig {

// Seconds there and back, without anybody's queue: the kernel times the segments of every connection and knows the
// shortest of the last five minutes (tcp_info's tcpi_min_rtt, net.ipv4.tcp_min_rtt_wlen). 0: it cannot tell.
double round_trip_s(int socket);

}  // namespace omig
