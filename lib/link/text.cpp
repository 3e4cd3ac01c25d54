// SPDX-License-Identifier: Apache-2.0
// The pure half of peer.h, and mac.h: text forms, randomness, MACs.
#include <netinet/in.h>
#include <openssl/crypto.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include <charconv>
#include <cstdlib>
#include <cstring>

#include "lib/link/mac.h"
#include "lib/link/peer.h"

namespace omig {

std::optional<Endpoint> Endpoint::parse(std::string_view text, u16 default_port) {
  Endpoint result;
  result.port = default_port;
  const char* at = text.data();
  const char* const end = at + text.size();
  for (int i = 0; i < 4; ++i) {
    if (i > 0 && (at == end || *at++ != '.')) return std::nullopt;
    const auto [next, code] = std::from_chars(at, end, result.address[static_cast<size_t>(i)]);
    if (code != std::errc{}) return std::nullopt;
    at = next;
  }
  if (at != end) {
    if (*at++ != ':') return std::nullopt;
    const auto [next, code] = std::from_chars(at, end, result.port);
    if (code != std::errc{} || next != end) return std::nullopt;
  }
  if (result.port == 0) return std::nullopt;
  return result;
}

Endpoint Endpoint::from_sockaddr(const sockaddr_in& in) {
  Endpoint result;
  std::memcpy(result.address.data(), &in.sin_addr, 4);
  result.port = ntohs(in.sin_port);
  return result;
}

sockaddr_in Endpoint::to_sockaddr() const {
  sockaddr_in in{};
  in.sin_family = AF_INET;
  in.sin_port = htons(port);
  std::memcpy(&in.sin_addr, address.data(), 4);
  return in;
}

std::string Endpoint::address_text() const {
  std::string text;
  for (size_t i = 0; i < 4; ++i) text += (i > 0 ? "." : "") + std::to_string(address[i]);
  return text;
}

std::string Endpoint::text() const { return address_text() + ":" + std::to_string(port); }

void fill_random(void* data, size_t bytes) {
  // Without randomness there is no authentication; going on would be worse than ending.
  if (RAND_bytes(static_cast<unsigned char*>(data), static_cast<int>(bytes)) != 1) std::abort();
}

Mac mac_of(const ClusterKey& key, std::string_view text) {
  Mac mac{};
  unsigned int bytes = 0;
  const auto* ok = HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
                        reinterpret_cast<const unsigned char*>(text.data()), text.size(), mac.data(), &bytes);
  if (ok == nullptr || bytes != mac.size()) std::abort();
  return mac;
}

bool mac_equal(const Mac& a, const Mac& b) { return CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0; }

std::string frame_json(const nlohmann::json& message) {
  // Names and command lines are bytes to the kernel; what is not UTF-8 in them becomes U+FFFD instead of an exception.
  const std::string text = message.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  if (text.size() > kMaxMessageBytes) return {};
  const u32 length = static_cast<u32>(text.size());
  std::string frame(sizeof(length), '\0');
  std::memcpy(frame.data(), &length, sizeof(length));
  return frame + text;
}

std::string hex_encode(const void* data, size_t bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  text.reserve(2 * bytes);
  for (size_t i = 0; i < bytes; ++i) {
    const u8 byte = static_cast<const u8*>(data)[i];
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

bool hex_decode(std::string_view text, void* data, size_t bytes) {
  if (text.size() != 2 * bytes) return false;
  for (size_t i = 0; i < bytes; ++i) {
    u8 byte = 0;
    const char* at = text.data() + 2 * i;
    const auto [next, code] = std::from_chars(at, at + 2, byte, 16);
    if (code != std::errc{} || next != at + 2) return false;
    static_cast<u8*>(data)[i] = byte;
  }
  return true;
}

}  // namespace omig
