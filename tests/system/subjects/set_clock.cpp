// SPDX-License-Identifier: Apache-2.0
// A real-time clock that a test can set, for the one process that is started with LD_PRELOAD=libset_clock.so: all
// namespaces of a machine share the true one. OMIG_TEST_CLOCK names a file of eight bytes: by how many seconds that
// process' clock is ahead (lab.h, OwnClock).
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include <cstdlib>
#include <ctime>

namespace {

const volatile long* ahead_s = nullptr;

[[gnu::constructor]] void open_clock() {
  const char* path = getenv("OMIG_TEST_CLOCK");
  const int fd = path != nullptr ? open(path, O_RDONLY | O_CLOEXEC) : -1;
  if (fd < 0) abort();
  void* const at = mmap(nullptr, sizeof(long), PROT_READ, MAP_SHARED, fd, 0);
  if (at == MAP_FAILED) abort();
  close(fd);
  ahead_s = static_cast<const long*>(at);
}

}  // namespace

extern "C" {

int clock_gettime(clockid_t clock, timespec* now) noexcept {
  const int result = static_cast<int>(syscall(SYS_clock_gettime, clock, now));
  if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE) && ahead_s != nullptr)
    now->tv_sec += *ahead_s;
  return result;
}

time_t time(time_t* out) noexcept {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  if (out != nullptr) *out = now.tv_sec;
  return now.tv_sec;
}

int gettimeofday(timeval* now, void*) noexcept {
  timespec precise{};
  clock_gettime(CLOCK_REALTIME, &precise);
  *now = {precise.tv_sec, precise.tv_nsec / 1000};
  return 0;
}
}
