// SPDX-License-Identifier: Apache-2.0
#include "preload/engine/seal.h"

#include <bearssl/bearssl_hash.h>

#include "preload/engine/sys.h"

#if !__STDC_HOSTED__
// Debian builds BearSSL with hardening; these two are what is left of the C library in it.
extern "C" {
[[noreturn, gnu::visibility("hidden")]] void __stack_chk_fail();
[[gnu::visibility("hidden")]] void* __memcpy_chk(void* to, const void* from, unsigned long bytes, unsigned long room);
}
void __stack_chk_fail() { __builtin_trap(); }
void* __memcpy_chk(void* to, const void* from, unsigned long bytes, unsigned long room) {
  if (bytes > room) __builtin_trap();
  return memcpy(to, from, bytes);
}
#endif

namespace omig::engine {
namespace {

constexpr u64 kCanaryAt = 0x28;
alignas(16) constexpr u8 kOurFs[kCanaryAt + 8] = {};

constexpr u32 kMostAuthenticated = sizeof(wire::RecordHead) + sizeof(wire::Hello);

// The head, and the hello: what is authenticated and not encrypted.
u32 authenticated(u8* to, const wire::RecordHead& head, const wire::Hello* hello) {
  memcpy(to, &head, sizeof head);
  if (hello == nullptr) return sizeof head;
  memcpy(to + sizeof head, hello, sizeof *hello);
  return kMostAuthenticated;
}

void key_stream(const u8* key, const u8* nonce, u8* to, u64 bytes) {
  memset(to, 0, bytes);
  br_chacha20_ct_run(key, nonce, 0, to, bytes);
}

void set_key(Direction& d) {
  if (d.cipher != wire::Cipher::aes128_gcm) return;
  constexpr u64 kAesKeyBytes = 16;
  br_aes_x86ni_ctr_init(&d.aes, d.key, kAesKeyBytes);
  constexpr u8 kZeros[wire::kNonceBytes] = {};
  memset(d.hash_key, 0, sizeof d.hash_key);
  br_aes_x86ni_ctr_run(&d.aes, kZeros, 0, d.hash_key, sizeof d.hash_key);
}

void begin(Direction& d, const u8* key, wire::Cipher cipher) {
  memcpy(d.key, key, sizeof d.key);
  d.count = 0;
  d.cipher = cipher;
  set_key(d);
}

void next_nonce(Direction& d, u8* nonce) {
  if (d.count != 0 && d.count % wire::kRecordsPerKey == 0) {
    u8 all[wire::kNonceBytes];
    memset(all, 0xff, sizeof all);
    u8 next[wire::kKeyBytes];
    key_stream(d.key, all, next, sizeof next);
    memcpy(d.key, next, sizeof next);
    set_key(d);
  }
  memset(nonce, 0, wire::kNonceBytes);
  memcpy(nonce + wire::kNonceBytes - sizeof d.count, &d.count, sizeof d.count);
  ++d.count;
}

void big_endian(u8* to, u64 value) {
  for (int i = 0; i < 8; ++i) to[i] = static_cast<u8>(value >> (56 - 8 * i));
}

// GCM's tag (NIST SP 800-38D, 7.1) of encrypted bytes.
void gcm_tag(Direction& d, const u8* nonce, const u8* bytes, u32 count, const u8* extra, u32 extra_bytes, u8* tag) {
  u8 hash[16] = {}, lengths[16];
  big_endian(lengths, extra_bytes * 8ull);
  big_endian(lengths + 8, count * 8ull);
  br_ghash_pclmul(hash, d.hash_key, extra, extra_bytes);
  br_ghash_pclmul(hash, d.hash_key, bytes, count);
  br_ghash_pclmul(hash, d.hash_key, lengths, sizeof lengths);
  br_aes_x86ni_ctr_run(&d.aes, nonce, 1, hash, sizeof hash);
  memcpy(tag, hash, sizeof hash);
}

// In constant time.
bool same(const u8* a, const u8* b) {
  u8 differs = 0;
  for (u32 i = 0; i < wire::kTagBytes; ++i) differs = static_cast<u8>(differs | (a[i] ^ b[i]));
  return differs == 0;
}

constexpr u32 kFirstBlock = 2;  // of GCM's counter

}  // namespace

void use_our_fs() { sys(__NR_arch_prctl, kSetFs, addr(kOurFs)); }

wire::Cipher best_cipher() {
  u32 a = 1, b, c = 0, d;
  asm volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
  constexpr u32 kPclmul = 1u << 1, kSse41 = 1u << 19, kAes = 1u << 25;
  constexpr u32 kAll = kPclmul | kSse41 | kAes;
  return (c & kAll) == kAll ? wire::Cipher::aes128_gcm : wire::Cipher::chacha20_poly1305;
}

void begin_seals(Seals& seals, const u8* token, const wire::Hello& hello) {
  u8 keys[2 * wire::kKeyBytes];
  key_stream(token, hello.nonce, keys, sizeof keys);
  begin(seals.out, keys, hello.cipher);
  begin(seals.in, keys + wire::kKeyBytes, hello.cipher);
  memcpy(seals.nonce, hello.nonce, sizeof seals.nonce);
  memset(keys, 0, sizeof keys);
}

void seal(Direction& d, const wire::RecordHead& head, u8* bytes, const wire::Hello* hello) {
  const u32 count = head.bytes;
  u8 nonce[wire::kNonceBytes], extra[kMostAuthenticated];
  const u32 extra_bytes = authenticated(extra, head, hello);
  next_nonce(d, nonce);
  if (d.cipher == wire::Cipher::aes128_gcm) {
    br_aes_x86ni_ctr_run(&d.aes, nonce, kFirstBlock, bytes, count);
    gcm_tag(d, nonce, bytes, count, extra, extra_bytes, bytes + count);
  } else {
    br_poly1305_ctmulq_run(d.key, nonce, bytes, count, extra, extra_bytes, bytes + count, &br_chacha20_ct_run, 1);
  }
}

bool unseal(Direction& d, const wire::RecordHead& head, u8* bytes) {
  const u32 count = head.bytes;
  u8 nonce[wire::kNonceBytes], extra[kMostAuthenticated], tag[wire::kTagBytes];
  const u32 extra_bytes = authenticated(extra, head, nullptr);
  next_nonce(d, nonce);
  if (d.cipher == wire::Cipher::aes128_gcm) {
    gcm_tag(d, nonce, bytes, count, extra, extra_bytes, tag);
    if (!same(tag, bytes + count)) return false;
    br_aes_x86ni_ctr_run(&d.aes, nonce, kFirstBlock, bytes, count);
    return true;
  }
  br_poly1305_ctmulq_run(d.key, nonce, bytes, count, extra, extra_bytes, tag, &br_chacha20_ct_run, 0);
  return same(tag, bytes + count);
}

}  // namespace omig::engine
