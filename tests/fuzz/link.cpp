// SPDX-License-Identifier: Apache-2.0
// A stranger on a connection: TLS as a member and by ticket, messages, tokens, lists of the revoked. The first byte
// says which.
#include <signal.h>

#include "lib/link/identity.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const omig::u8* data, size_t bytes) {
  using namespace omig;
  static const Identity own = new_cluster("fuzz");
  static const Ticket ticket = Ticket::fresh();
  static const bool quiet = signal(SIGPIPE, SIG_IGN) != SIG_ERR;
  if (bytes == 0 || !quiet) return 0;
  fuzz::Peer peer(data + 1, bytes - 1);
  const std::string_view text(reinterpret_cast<const char*>(data + 1), bytes - 1);
  constexpr milliseconds kShort{1'000};
  std::string error;
  switch (data[0] % 5) {
    case 0: CLAIM(!Conversation::answer(Fd(dup(peer.fd())), own, kShort, &error)); break;  // nobody can guess a key
    case 1: CLAIM(!Conversation::answer(Fd(dup(peer.fd())), ticket, kShort, &error)); break;
    case 2: {
      const auto read = [&](void* to, size_t count) { return peer.read(to, count, kShort); };
      while (const auto message = message_from(read, 1 << 16)) CLAIM(!message->is_discarded());
      break;
    }
    case 3: {
      if (const auto invitation = invitation_in(text)) CLAIM(invitation_in(token_of(*invitation)).has_value());
      const auto list = revocations_from_json(nlohmann::json::parse(text, nullptr, false));
      CLAIM(!list || !is_signed(*list, own.cluster));
      break;
    }
    default: {
      if (const auto endpoint = Endpoint::parse(text)) CLAIM(Endpoint::parse(endpoint->text()) == endpoint);
      u8 token[16];
      if (hex_decode(text, token, sizeof token)) CLAIM(hex_encode(token, sizeof token).size() == text.size());
    }
  }
  return 0;
}
