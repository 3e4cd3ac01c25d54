// SPDX-License-Identifier: Apache-2.0
// What the engine has instead of a C library: raw syscalls that return negative errno values, and four memory
// functions.
#pragma once

#include <asm/unistd.h>
#include <errno.h>

#include "lib/base/types.h"

#if !__STDC_HOSTED__
extern "C" {
[[gnu::visibility("hidden")]] void* memcpy(void* to, const void* from, unsigned long bytes);
[[gnu::visibility("hidden")]] void* memmove(void* to, const void* from, unsigned long bytes);
[[gnu::visibility("hidden")]] void* memset(void* to, int value, unsigned long bytes);
[[gnu::visibility("hidden")]] int memcmp(const void* a, const void* b, unsigned long bytes);
}
#endif

namespace omig::engine {

inline long sys(long nr, u64 a = 0, u64 b = 0, u64 c = 0, u64 d = 0, u64 e = 0, u64 f = 0) {
  register u64 r10 asm("r10") = d;
  register u64 r8 asm("r8") = e;
  register u64 r9 asm("r9") = f;
  long ret;
  asm volatile("syscall"
               : "=a"(ret)
               : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
               : "rcx", "r11", "memory");
  return ret;
}

template <typename T>
u64 addr(T* pointer) {
  return reinterpret_cast<u64>(pointer);
}

// Timeouts are relative; both calls may return early, so the caller loops over its condition.
struct Timespec {
  i64 seconds;
  i64 nanoseconds;
};
inline long futex_wait(u32* word, u32 value, const Timespec* timeout = nullptr) {
  return sys(__NR_futex, addr(word), 0, value, addr(timeout));
}
inline void futex_wake_all(u32* word) { sys(__NR_futex, addr(word), 1, 0x7fffffff); }
inline u32 load(u32* word) { return __atomic_load_n(word, __ATOMIC_ACQUIRE); }
inline void store_and_wake(u32* word, u32 value) {
  __atomic_store_n(word, value, __ATOMIC_RELEASE);
  futex_wake_all(word);
}

struct Pollfd {
  i32 fd;
  std::int16_t events, revents;
};
inline constexpr std::int16_t kPollIn = 1, kPollOut = 4, kPollHup = 16;

inline bool failed(long ret) { return ret < 0 && ret >= -4095; }

inline constexpr u64 kSetGs = 0x1001, kSetFs = 0x1002, kGetFs = 0x1003;  // arch_prctl

inline constexpr int kBlock = 0, kUnblock = 1, kSetMask = 2;
inline void set_mask(u64 mask) { sys(__NR_rt_sigprocmask, kSetMask, addr(&mask), 0, 8); }
constexpr u64 bit(int signal) { return 1ull << (signal - 1); }

[[noreturn]] inline void exit_thread(int status) {
  for (;;) sys(__NR_exit, static_cast<u64>(status));
}
[[noreturn]] inline void exit_group(int status) {
  for (;;) sys(__NR_exit_group, static_cast<u64>(status));
}

}  // namespace omig::engine
