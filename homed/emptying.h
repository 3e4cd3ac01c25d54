// SPDX-License-Identifier: Apache-2.0
// Emptying a node: its own processes home, its guests out. For the orders bring and expel, and before it changes or
// leaves its cluster.
#pragma once

#include "homed/daemon.h"

namespace omig {

class Moves;

// The client that ordered it, who may want to hear how far it is: {"progress":{"moved","left"}} lines on its socket.
class Listener {
 public:
  using Socket = asio::local::stream_protocol::socket;
  Listener(Socket& socket, const Json& request) : socket_(socket), wants_(field(request, "progress", false)) {}
  awaitable<bool> tell(Json progress);  // if it is news to a client that wants it; false: the client has gone

 private:
  Socket& socket_;
  bool wants_;
  Json told_;
};

enum class Emptied { own, guests };

// Sends for all own processes, or sends all guests home, and returns when nobody is left or who is left cannot be
// moved:
// {"ok","moved","failed":[{"pid","home","reason"}]}. The caller sees to it that no other one leaves, or comes.
awaitable<Json> empty(Daemon& daemon, Moves& moves, Listener& listener, Emptied what);

// The first half of {"op":"bring"} (lstay is set, then the own ones come home) and {"op":"expel"} (block is set, then
// the guests go). Root and homed's user may. A refusal, or {"ok":true}.
Json close_door(Daemon& daemon, Emptied what, uid_t asker);

}  // namespace omig
