// SPDX-License-Identifier: Apache-2.0
// A node of another version, as far as its neighbours can see: it knows the cluster's key and speaks another wire
// version.
//   fake_peer listen A.B.C.D:PORT STATE-DIR VERSION   answers every request as a homed of that version would
//   fake_peer ask A.B.C.D:PORT STATE-DIR JSON         asks one question, prints the answer
#include <fmt/format.h>
#include <sys/socket.h>

#include <cstring>
#include <thread>

#include "lib/link/peer.h"

namespace {

using namespace omig;

[[noreturn]] void fail(const std::string& text) {
  fmt::print(stderr, "fake_peer: {}\n", text);
  exit(1);
}

void serve(Fd fd, const ClusterKey& key, const std::string& version) {
  if (!accept_peer(fd.get(), key)) return;
  while (const auto request = recv_json(fd.get(), kMaxMessageBytes, milliseconds(60'000))) {
    fmt::print("{}\n", request->value("op", "?"));
    fflush(stdout);
    if (!send_json(fd.get(), {{"ok", false}, {"reason", "version mismatch: node3 speaks " + version}})) return;
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) fail("usage: see its source");
  const auto at = Endpoint::parse(argv[2]);
  std::string error;
  const auto key = load_cluster_key(argv[3], &error);
  if (!at || !key) fail("bad address or no key: " + error);
  if (strcmp(argv[1], "ask") == 0) {
    const Fd fd = connect_peer(*at, *key, kPeerTimeout, &error);
    if (!fd) fail(error);
    const auto answer = ask_json(fd.get(), nlohmann::json::parse(argv[4]));
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
      std::thread([fd = std::move(fd), &key, version = std::string(argv[4])]() mutable {
        serve(std::move(fd), *key, version);
      }).detach();
  }
}
