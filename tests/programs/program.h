// SPDX-License-Identifier: Apache-2.0
// What every test program shares: set up, announce ready, [the moves happen here], check.
//
// The harness (tests/system/run.cpp) talks with a program through two FIFOs in the directory OMIG_TEST_FIFOS:
// `ready`, on which a process says "ready PID PARTIES STATE LIMIT_MS\n", and `go`, from which every waiting party reads
// one byte once the moves are done. FIFOs by path, not descriptors, because they survive exec, `omctl lab exec` and
// programs that close everything they do not know. Without OMIG_TEST_FIFOS nobody waits and a program just runs: that
// is how one runs it by hand.
//
// STATE tells the harness what the process does while it is moved: `idle` waits for go, `busy` computes or calls all
// the time and looks for go now and then, `blocked` sits inside the call under test (the harness moves it only once all
// of its threads sleep). LIMIT_MS, when not 0, says when the blocked call ends by itself: the harness stops moving
// before that. PARTIES > 1: that many processes announce before any is moved, and all of them are.
//
// A failed CHECK prints one line on stderr and ends the process with 1. Nothing here may print to stdout: the harness
// compares that with the native run.
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <atomic>

namespace program {

[[noreturn, gnu::noinline, gnu::format(printf, 3, 4)]] inline void fail(const char* file, int line, const char* format,
                                                                        ...) {
  const char* slash = strrchr(file, '/');
  char text[512];
  va_list args;
  va_start(args, format);
  int used = snprintf(text, sizeof text, "%s:%d: ", slash ? slash + 1 : file, line);
  used += vsnprintf(text + used, sizeof text - static_cast<size_t>(used) - 1, format, args);
  va_end(args);
  if (used > static_cast<int>(sizeof text) - 2) used = sizeof text - 2;
  text[used] = '\n';
  (void)!write(2, text, static_cast<size_t>(used) + 1);  // one write: lines of several processes must not mix
  _exit(1);
}

}  // namespace program

#define FAIL(...) program::fail(__FILE__, __LINE__, __VA_ARGS__)
#define CHECK(condition)                                                                       \
  do {                                                                                         \
    if (!(condition)) FAIL("not true: %s (errno %d, %s)", #condition, errno, strerror(errno)); \
  } while (0)
#define CHECK_EQ(got, want)                                                                               \
  do {                                                                                                    \
    long long got_ = static_cast<long long>(got), want_ = static_cast<long long>(want);                   \
    if (got_ != want_)                                                                                    \
      FAIL("%s is %lld, not %lld = %s (errno %d, %s)", #got, got_, want_, #want, errno, strerror(errno)); \
  } while (0)
// For calls that return -1 and errno.
#define CHECK_ERRNO(call, want)                                                                         \
  do {                                                                                                  \
    errno = 0;                                                                                          \
    long long got_ = static_cast<long long>(call);                                                      \
    if (got_ != -1 || errno != (want)) FAIL("%s is %lld, errno %d, not %s", #call, got_, errno, #want); \
  } while (0)

namespace program {

// Not inlined: its buffer would make the frames of deep recursions three times as large.
[[gnu::noinline]] inline int open_fifo(const char* name, int flags) {
  const char* directory = getenv("OMIG_TEST_FIFOS");
  if (!directory) return -1;
  char path[4096];
  snprintf(path, sizeof path, "%s/%s", directory, name);
  int fd = open(path, flags | O_CLOEXEC);
  if (fd < 0) FAIL("cannot open %s: %s", path, strerror(errno));
  return fd;
}

inline void announce(const char* state, int parties = 1, int limit_ms = 0) {
  int fd = open_fifo("ready", O_WRONLY);
  if (fd < 0) return;
  char line[80];
  int length = snprintf(line, sizeof line, "ready %d %d %s %d\n", getpid(), parties, state, limit_ms);
  if (write(fd, line, static_cast<size_t>(length)) != length) FAIL("cannot announce: %s", strerror(errno));
  close(fd);
}

inline void wait_for_go() {
  int fd = open_fifo("go", O_RDONLY);
  if (fd < 0) return;
  char byte;
  ssize_t got;
  while ((got = read(fd, &byte, 1)) < 0 && errno == EINTR) {
  }
  if (got != 1) FAIL("go ended: %s", strerror(errno));
  close(fd);
}

inline void ready_and_wait(int parties = 1) {
  announce("idle", parties);
  wait_for_go();
}

inline double seconds(clockid_t clock = CLOCK_MONOTONIC) {
  struct timespec t;
  clock_gettime(clock, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) / 1e9;
}

// For busy programs: announced once, then asked again and again. Each question is one non-blocking read, so ask after a
// piece of work, not inside it. It says "done" a moment after go, so that there is work after the last move (and some
// in a native run, where go comes at once). By hand (no harness) it says so after 0.3 s.
class Go {
 public:
  explicit Go(int parties = 1) {
    fd_ = open_fifo("go", O_RDONLY | O_NONBLOCK);
    announce("busy", parties);
  }
  ~Go() {
    if (fd_ >= 0) close(fd_);
  }
  Go(const Go&) = delete;
  Go& operator=(const Go&) = delete;
  bool done() {
    if (fd_ < 0) return seconds() - start_ > 0.3;
    char byte;
    if (!told_ && read(fd_, &byte, 1) == 1) told_ = true, start_ = seconds();
    return told_ && seconds() - start_ > 0.05;
  }

 private:
  int fd_ = -1;
  bool told_ = false;
  double start_ = seconds();
};

// For computations without a single syscall: a thread waits for go and raises a flag.
class GoFlag {
 public:
  GoFlag() {
    if (pthread_create(&thread_, nullptr, &GoFlag::wait, this) != 0) FAIL("pthread_create: %s", strerror(errno));
  }
  ~GoFlag() { pthread_join(thread_, nullptr); }
  GoFlag(const GoFlag&) = delete;
  GoFlag& operator=(const GoFlag&) = delete;
  bool done() const { return flag_.load(std::memory_order_relaxed) != 0; }
  const std::atomic<int>* address() const { return &flag_; }

 private:
  static void* wait(void* self) {
    announce("busy");
    wait_for_go();
    usleep(getenv("OMIG_TEST_FIFOS") ? 50'000 : 300'000);  // work after the moves, see Go
    static_cast<GoFlag*>(self)->flag_ = 1;
    return nullptr;
  }
  std::atomic<int> flag_{0};
  pthread_t thread_{};
};

// A child that runs `body`; its exit status is what body returns.
template <class Body>
pid_t child(Body&& body) {
  pid_t pid = fork();
  if (pid < 0) FAIL("fork: %s", strerror(errno));
  if (pid == 0) _exit(body());
  return pid;
}

// The helper of programs that are moved while blocked: it waits for go, and then does what ends the blocked call. The
// harness gives go only once the announcing process sleeps; by hand there is nobody to know that but the clock.
template <class Action>
pid_t after_go(Action&& action) {
  return child([&] {
    if (!getenv("OMIG_TEST_FIFOS")) usleep(200'000);
    wait_for_go();
    action();
    return 0;
  });
}

// Waits for `pid` and checks how it ended: an exit code, or minus the number of the signal that ended it.
inline void expect_end(pid_t pid, int want, const char* file, int line) {
  int status = 0;
  pid_t got;
  while ((got = waitpid(pid, &status, 0)) < 0 && errno == EINTR) {
  }
  if (got != pid) fail(file, line, "waitpid(%d) is %d: %s", pid, got, strerror(errno));
  int end = WIFEXITED(status) ? WEXITSTATUS(status) : WIFSIGNALED(status) ? -WTERMSIG(status) : 1000 + status;
  if (end != want) fail(file, line, "child %d ended with %d, not %d (negative: signal)", pid, end, want);
}
#define EXPECT_END(pid, want) program::expect_end(pid, want, __FILE__, __LINE__)

// A small checksum and a small generator: the same bytes everywhere, without a library.
inline unsigned long hash(const void* data, size_t length, unsigned long h = 14695981039346656037UL) {
  const unsigned char* p = static_cast<const unsigned char*>(data);
  for (size_t i = 0; i < length; i++) h = (h ^ p[i]) * 1099511628211UL;
  return h;
}

struct Random {
  unsigned long state;
  unsigned long next() {
    state ^= state << 13;
    state ^= state >> 7;
    return state ^= state << 17;
  }
};

inline void fill(void* data, size_t length, unsigned long seed) {
  Random random{seed * 2654435761UL + 1};
  unsigned char* p = static_cast<unsigned char*>(data);
  for (size_t i = 0; i < length; i++) p[i] = static_cast<unsigned char>(random.next() >> 32);
}

// Whole transfers: programs that test short ones call read and write themselves.
inline void read_all(int fd, void* data, size_t length) {
  size_t done = 0;
  while (done < length) {
    ssize_t got = read(fd, static_cast<char*>(data) + done, length - done);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) FAIL("read ended after %zu of %zu bytes: %s", done, length, got == 0 ? "end" : strerror(errno));
    done += static_cast<size_t>(got);
  }
}

inline void write_all(int fd, const void* data, size_t length) {
  size_t done = 0;
  while (done < length) {
    ssize_t got = write(fd, static_cast<const char*>(data) + done, length - done);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) FAIL("write ended after %zu of %zu bytes: %s", done, length, strerror(errno));
    done += static_cast<size_t>(got);
  }
}

// A whole small file (under /proc for the most part), NUL-terminated.
template <size_t N>
size_t slurp(const char* path, char (&text)[N]) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) FAIL("cannot open %s: %s", path, strerror(errno));
  size_t used = 0;
  ssize_t got;
  while (used < N - 1 && (got = read(fd, text + used, N - 1 - used)) > 0) used += static_cast<size_t>(got);
  text[used] = 0;
  close(fd);
  return used;
}

template <class Handler>
void on_signal(int number, Handler handler, int flags = 0) {
  struct sigaction action = {};
  action.sa_flags = flags;
  if constexpr (requires { action.sa_sigaction = handler; }) {
    action.sa_sigaction = handler;
    action.sa_flags |= SA_SIGINFO;
  } else {
    action.sa_handler = handler;
  }
  if (sigaction(number, &action, nullptr) != 0) FAIL("sigaction(%d): %s", number, strerror(errno));
}

}  // namespace program

using namespace program;  // every program is one small file of its own
