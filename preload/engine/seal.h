// SPDX-License-Identifier: Apache-2.0
// What travels on a link is sealed (lib/wire/link.h says how). The primitives are BearSSL's: it needs no C library, and
// has AES by the processor's instructions. Its objects are Debian's and look for a stack protector's canary at
// %fs:0x28, so a deputy's FS points to use_our_fs's place in the engine's image; the program's own comes back with its
// registers.
#pragma once

#include <bearssl/bearssl_block.h>

#include "lib/wire/link.h"

namespace omig::engine {

// One direction of a link.
struct Direction {
  u8 key[wire::kKeyBytes];
  u64 count;  // records so far
  wire::Cipher cipher;
  u8 hash_key[16];  // of GHASH
  br_aes_x86ni_ctr_keys aes;
};

struct Seals {
  Direction out, in;
  u8 nonce[wire::kNonceBytes];  // of the link's hello, which is its name
};

void use_our_fs();

wire::Cipher best_cipher();
void begin_seals(Seals& seals, const u8* token, const wire::Hello& hello);
// Encrypts head.bytes in place and writes the tag behind. `hello`: authenticated as well, if it is the first record;
// else null.
void seal(Direction& d, const wire::RecordHead& head, u8* bytes, const wire::Hello* hello);
// The tag stands behind the bytes. False: they are not as they were sealed, or not the next ones.
bool unseal(Direction& d, const wire::RecordHead& head, u8* bytes);

}  // namespace omig::engine
