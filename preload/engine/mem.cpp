// SPDX-License-Identifier: Apache-2.0
// The memory functions a compiler may call by itself, even in freestanding code. `rep` needs no vector registers, which
// the engine must not touch.
#include "preload/engine/sys.h"

extern "C" {

void* memcpy(void* to, const void* from, unsigned long bytes) {
  void* result = to;
  asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(bytes) : : "memory");
  return result;
}

void* memmove(void* to, const void* from, unsigned long bytes) {
  auto t = static_cast<omig::u8*>(to);
  auto f = static_cast<const omig::u8*>(from);
  if (t <= f || t >= f + bytes) return memcpy(to, from, bytes);
  while (bytes-- > 0) t[bytes] = f[bytes];
  return to;
}

void* memset(void* to, int value, unsigned long bytes) {
  void* result = to;
  asm volatile("rep stosb" : "+D"(to), "+c"(bytes) : "a"(value) : "memory");
  return result;
}

int memcmp(const void* a, const void* b, unsigned long bytes) {
  auto x = static_cast<const omig::u8*>(a);
  auto y = static_cast<const omig::u8*>(b);
  for (; bytes > 0; --bytes, ++x, ++y)
    if (*x != *y) return *x < *y ? -1 : 1;
  return 0;
}

}  // extern "C"
