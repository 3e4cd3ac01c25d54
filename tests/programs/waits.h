// SPDX-License-Identifier: Apache-2.0
// What programs share whose threads wait for each other while they are moved: raw futex calls, times, and a thread that
// does what ends the waits.
#pragma once

#include <linux/futex.h>
#include <poll.h>
#include <sys/syscall.h>

#include "tests/programs/program.h"

namespace program {

// The kernel's own call: -1 and errno.
inline long futex(void* word, int op, unsigned value, const timespec* timeout = nullptr, void* word2 = nullptr,
                  unsigned value3 = 0) {
  return syscall(SYS_futex, word, op, value, timeout, word2, value3);
}

inline timespec after_ms(clockid_t clock, long ms) {
  timespec t;
  clock_gettime(clock, &t);
  t.tv_nsec += ms % 1000 * 1'000'000;
  t.tv_sec += ms / 1000 + t.tv_nsec / 1'000'000'000;
  t.tv_nsec %= 1'000'000'000;
  return t;
}

// Waits with a time-out last kWaitMs and a little more, and are moved from kMovedAfterMs on: one that a move made begin
// anew would end so late that no loaded machine is an excuse.
constexpr long kWaitMs = 2500, kMovedAfterMs = 1200;

// A wait that began at `start` (monotonic) must have taken `ms`.
inline void expect_waited(double start, long ms, const char* what) {
  const double took = (seconds() - start) * 1000;
  if (took < static_cast<double>(ms) - 2 || took > static_cast<double>(ms + kMovedAfterMs - 200))
    FAIL("%s of %ld ms took %.1f ms", what, ms, took);
}

template <class Body>
pthread_t thread(Body&& body) {
  auto* own = new std::decay_t<Body>(static_cast<Body&&>(body));
  pthread_t made;
  const int error = pthread_create(
      &made, nullptr,
      +[](void* given) -> void* {
        auto* it = static_cast<std::decay_t<Body>*>(given);
        (*it)();
        delete it;
        return nullptr;
      },
      own);
  if (error != 0) FAIL("pthread_create: %s", strerror(error));
  return made;
}

inline void join(pthread_t thread) { CHECK_EQ(pthread_join(thread, nullptr), 0); }

// Announces in the middle of waits that have a time-out of kWaitMs.
inline pthread_t announce_later() {
  return thread([] {
    poll(nullptr, 0, kMovedAfterMs);
    announce("blocked", 1, kWaitMs - kMovedAfterMs);
  });
}

// As after_go, but a thread of the same process, which shares its memory.
template <class Action>
pthread_t thread_after_go(Action action) {
  return thread([action]() mutable {
    if (!getenv("OMIG_TEST_FIFOS")) usleep(200'000);
    wait_for_go();
    action();
  });
}

}  // namespace program
