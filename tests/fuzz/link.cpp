// SPDX-License-Identifier: Apache-2.0
// A stranger on a link: both halves of the handshake, and messages behind it. The first byte says which.
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const omig::u8* data, size_t bytes) {
  using namespace omig;
  if (bytes == 0) return 0;
  const ClusterKey key{1, 2, 3};
  const fuzz::Peer peer(data + 1, bytes - 1);
  constexpr milliseconds kShort{1'000};
  switch (data[0] % 4) {
    case 0: CLAIM(!accept_peer(peer.fd(), key, kShort)); break;  // nobody can guess a MAC
    case 1: CLAIM(!greet_peer(peer.fd(), key, kShort)); break;
    case 2:
      while (const auto message = recv_json(peer.fd(), 1 << 16, kShort)) CLAIM(!message->is_discarded());
      break;
    default: {
      const std::string_view text(reinterpret_cast<const char*>(data + 1), bytes - 1);
      if (const auto endpoint = Endpoint::parse(text)) CLAIM(Endpoint::parse(endpoint->text()) == endpoint);
      u8 token[16];
      if (hex_decode(text, token, sizeof token)) CLAIM(hex_encode(token, sizeof token).size() == text.size());
    }
  }
  return 0;
}
