// SPDX-License-Identifier: Apache-2.0
// Datagrams of strangers. Nobody can guess a MAC; so the second half of the inputs is given a right one, as a broken
// node that knows the key would.
#include "lib/cluster/discovery.h"

#include "lib/link/mac.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const omig::u8* data, size_t bytes) {
  using namespace omig;
  if (bytes == 0) return 0;
  const ClusterKey key{1, 2, 3};
  std::string text(reinterpret_cast<const char*>(data + 1), bytes - 1), why;
  if (data[0] % 2 == 0) {
    CLAIM(!cluster::from_datagram(text, key, &why) && !why.empty());
    return 0;
  }
  const Mac mac = mac_of(key, "discovery" + text);
  text.append(reinterpret_cast<const char*>(mac.data()), mac.size());
  const auto presence = cluster::from_datagram(text, key, &why);
  CLAIM(presence.has_value() == why.empty());
  if (!presence) return 0;
  CLAIM(text.size() <= cluster::kMaxDatagram && cluster::to_datagram(*presence, key) == text);
  CLAIM(presence->id >= 1 && presence->id <= 65535 && presence->at.port != 0 &&
        presence->name.size() <= cluster::kMaxName);
  cluster::Freshness fresh;
  const bool news = fresh.take(*presence, 1'800'000'000'000).empty();
  CLAIM(!news || !fresh.take(*presence, 1'800'000'000'000).empty());
  return 0;
}
