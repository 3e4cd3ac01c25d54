// SPDX-License-Identifier: Apache-2.0
// Setting file times to the nanosecond, to now and not at all, by every call for it; and a new file's time lies between
// what the program's clock said before and after. A user would see make build everything, or nothing.
#include <sys/stat.h>
#include <sys/time.h>
#include <utime.h>

#include "tests/programs/program.h"

namespace {
struct stat info;
void expect(long access_s, long access_ns, long change_s, long change_ns) {
  CHECK_EQ(stat("file", &info), 0);
  CHECK(info.st_atim.tv_sec == access_s && info.st_atim.tv_nsec == access_ns);
  CHECK(info.st_mtim.tv_sec == change_s && info.st_mtim.tv_nsec == change_ns);
}
bool later(const timespec& a, const timespec& b) {
  return a.tv_sec > b.tv_sec || (a.tv_sec == b.tv_sec && a.tv_nsec >= b.tv_nsec);
}
}  // namespace

int main() {
  for (int round = 0; round < 2; round++) {
    ready_and_wait();
    timespec before, after, times[2] = {{1000, 123'456'789}, {2000, 987'654'321}};
    CHECK_EQ(clock_gettime(CLOCK_REALTIME_COARSE, &before), 0);
    int fd = open("file", O_RDWR | O_CREAT | O_TRUNC, 0600);
    write_all(fd, "x", 1);
    CHECK_EQ(fstat(fd, &info), 0);
    CHECK_EQ(clock_gettime(CLOCK_REALTIME, &after), 0);
    CHECK(later(info.st_mtim, before) && later(after, info.st_mtim));
    CHECK_EQ(utimensat(AT_FDCWD, "file", times, 0), 0);
    expect(1000, 123'456'789, 2000, 987'654'321);
    ready_and_wait();
    times[0].tv_nsec = UTIME_OMIT;
    times[1] = {3000, 5};
    CHECK_EQ(futimens(fd, times), 0);
    expect(1000, 123'456'789, 3000, 5);
    timeval old[2] = {{7, 8}, {9, 10}};
    CHECK_EQ(utimes("file", old), 0);
    expect(7, 8000, 9, 10'000);
    utimbuf oldest = {11, 12};
    CHECK_EQ(utime("file", &oldest), 0);
    expect(11, 0, 12, 0);
    times[0].tv_nsec = UTIME_NOW;
    times[1].tv_nsec = UTIME_OMIT;
    CHECK_EQ(clock_gettime(CLOCK_REALTIME_COARSE, &before), 0);
    CHECK_EQ(utimensat(AT_FDCWD, "file", times, 0), 0);
    CHECK_EQ(stat("file", &info), 0);
    CHECK(later(info.st_atim, before) && info.st_mtim.tv_sec == 12);
    times[0].tv_nsec = 1'000'000'000;
    CHECK_ERRNO(utimensat(AT_FDCWD, "file", times, 0), EINVAL);
    CHECK_ERRNO(utimensat(AT_FDCWD, "none", nullptr, 0), ENOENT);
    close(fd);
  }
  return 0;
}
