// SPDX-License-Identifier: Apache-2.0
// Bytes over a socket, within somebody's patience: the floor of the blocking functions of peer.h. A file of its own, so
// that a program that only speaks to its own homed (lib/client) links no cryptography.
//
// Every wait is a poll that is charged to the caller's patience, and every transfer is MSG_DONTWAIT, so that a peer
// that trickles bytes cannot hold us longer than one that sends none.
#pragma once

#include <cstddef>

#include "lib/base/patience.h"

namespace omig {

// True: ready. False: errno says why (ETIMEDOUT when the patience is over).
bool wait_for(int fd, short events, Patience& patience);
// At least one byte; 0: end of stream (errno 0), error, no patience left.
size_t read_part(int fd, void* data, size_t bytes, Patience& patience);
bool read_until(int fd, void* data, size_t bytes, Patience& patience);
bool write_until(int fd, const void* data, size_t bytes, Patience& patience);

}  // namespace omig
