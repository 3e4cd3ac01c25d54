// SPDX-License-Identifier: Apache-2.0
// A node of another version, as far as its neighbours can see: it is of the cluster and speaks another wire
// version.
//   fake_peer listen A.B.C.D:PORT STATE-DIR VERSION   answers every request as a homed of that version alone would
//   fake_peer ask A.B.C.D:PORT STATE-DIR JSON         asks one question, prints the answer
#include <fmt/format.h>
#include <signal.h>
#include <sys/socket.h>

#include <cstring>
#include <thread>

#include "lib/link/conversation.h"

namespace {

using namespace omig;

[[noreturn]] void fail(const std::string& text) {
  fmt::print(stderr, "fake_peer: {}\n", text);
  exit(1);
}

void serve(Fd fd, const Identity& identity, const std::string& version) {
  std::string error;
  Conversation peer = Conversation::answer(std::move(fd), identity, kPeerTimeout, &error);
  while (const auto request = peer.receive(kMaxMessageBytes, milliseconds(60'000))) {
    fmt::print("{}\n", request->value("op", "?"));
    fflush(stdout);
    if (!peer.send({{"ok", false}, {"reason", "version mismatch: node3 speaks " + version}})) return;
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) fail("usage: see its source");
  const auto at = Endpoint::parse(argv[2]);
  std::string error;
  const auto identity = load_identity(argv[3], &error);
  if (!at || !identity) fail("bad address or no identity: " + error);
  signal(SIGPIPE, SIG_IGN);
  if (strcmp(argv[1], "ask") == 0) {
    Conversation peer = Conversation::call(*at, *identity, kPeerTimeout, &error);
    if (!peer) fail(error);
    peer.send(nlohmann::json::parse(argv[4]));
    const auto answer = peer.receive();
    if (!answer) fail(fmt::format("no answer: {}", strerror(errno)));
    fmt::print("{}\n", answer->dump());
    return 0;
  }
  const Fd listener = listen_tcp(*at, &error);
  if (!listener) fail(error);
  fmt::print("listening\n");
  fflush(stdout);
  for (;;) {
    Fd fd(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (fd)
      std::thread([fd = std::move(fd), &identity, version = std::string(argv[4])]() mutable {
        serve(std::move(fd), *identity, version);
      }).detach();
  }
}
