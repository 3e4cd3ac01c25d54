// SPDX-License-Identifier: Apache-2.0
// What omig-bench runs and measures: `omig-bench-probe MODE ...`. It prints numbers, one line per measurement.
//
//   calls N            N rounds of cheap syscalls: seconds
//   forks N            N children forked and waited for: seconds
//   cpu ROUNDS         a fixed computation per go, ROUNDS times: seconds each
//   forwarded ROUNDS   per go: nanoseconds of getppid, read and write of 64 B, 4 KiB and 1 MiB
//   memory MIB ROUNDS  a process of that size, which dirties all of it after every go; per go: for how many seconds it
//                      stood still at most
//   ageing MIB STEPS PAGES   a process of that size, which after a go computes in steps and writes to so many pages in
//                      each, in turn: seconds for all of them, and for the longest
//   pong               TCP server; announces its port
//   ping A.B.C.D PORT  nanoseconds of a bare round trip, the same shapes as `forwarded`, in the same order
//   sink               TCP server that throws away what it gets; announces its port
//   stream A.B.C.D PORT MIB   seconds for a plain stream
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "tests/programs/program.h"

namespace {

constexpr size_t kLarge = 1 << 20;
alignas(4096) char buffer[kLarge + 4096];

// The bytes that go there and come back: as a forwarded call has them, with 64 bytes for what is not payload.
struct Shape {
  size_t request, answer;
};
constexpr Shape kShapes[] = {{64, 64},        {64, 64 + 64},     {64 + 64, 64},    {64, 64 + 4096},
                             {64 + 4096, 64}, {64, 64 + kLarge}, {64 + kLarge, 64}};
constexpr int kShapeCount = sizeof kShapes / sizeof *kShapes;
int repeats_of(int shape) { return shape < 5 ? 1500 : 60; }

int calls(int count) {
  int null = open("/dev/null", O_WRONLY), zero = open("/dev/zero", O_RDONLY);
  double start = seconds();
  for (int i = 0; i < count; i++) {
    getppid();
    (void)!write(null, buffer, 64);
    (void)!read(zero, buffer, 64);
    lseek(null, 0, SEEK_CUR);
  }
  printf("%.9f\n", seconds() - start);
  return 0;
}

int forks(int count) {
  double start = seconds();
  for (int i = 0; i < count; i++) EXPECT_END(child([] { return 0; }), 0);
  printf("%.9f\n", seconds() - start);
  return 0;
}

int cpu(int rounds) {
  for (int round = 0; round < rounds; round++) {
    ready_and_wait();
    double start = seconds();
    Random random{88172645463325252UL};
    double sum = 0;
    for (int i = 0; i < 150'000'000; i++) sum += static_cast<double>(random.next() >> 40);
    printf("%.9f\n", seconds() - start);
    if (sum < 0) return 1;  // keeps the work
  }
  return 0;
}

long forwarded_once(int shape, int zero, int null) {
  size_t size = shape < 3 ? 64 : shape < 5 ? 4096 : kLarge;
  if (shape == 0) return getppid();
  return shape % 2 ? pread(zero, buffer, size, 0) : pwrite(null, buffer, size, 0);
}

int forwarded(int rounds) {
  int zero = open("/dev/zero", O_RDONLY), null = open("/dev/null", O_WRONLY);
  memset(buffer, 1, sizeof buffer);
  for (int round = 0; round < rounds; round++) {
    ready_and_wait();
    for (int shape = 0; shape < kShapeCount; shape++) {
      for (int i = 0; i < 20; i++) CHECK(forwarded_once(shape, zero, null) >= 0);
      double start = seconds();
      for (int i = 0; i < repeats_of(shape); i++) forwarded_once(shape, zero, null);
      printf("%.1f ", (seconds() - start) * 1e9 / repeats_of(shape));
    }
    printf("\n");
    fflush(stdout);
  }
  return 0;
}

int memory(size_t mib, int rounds) {
  size_t size = mib << 20;
  auto* area =
      static_cast<unsigned long*>(mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  CHECK(area != MAP_FAILED);
  for (int round = 0; round < rounds; round++) {
    // No page is zero, none like another: nothing can be left out.
    for (size_t i = 0; i < size / 8; i++) area[i] = i * 0x9e3779b97f4a7c15UL + static_cast<unsigned long>(round);
    double longest = 0;
    {
      Go go;
      for (double last = seconds(); !go.done();) {
        double now = seconds();
        longest = now - last > longest ? now - last : longest;
        last = now;
      }
    }
    printf("%.9f\n", longest);
    for (size_t i = 0; i < size / 8; i += 512 / 8 * 7)
      CHECK_EQ(area[i], i * 0x9e3779b97f4a7c15UL + static_cast<unsigned long>(round));
  }
  return 0;
}

int ageing(size_t mib, int steps, size_t pages) {
  constexpr size_t kPageWords = 512;
  size_t words = (mib << 20) / 8, at = 0;
  auto* area =
      static_cast<unsigned long*>(mmap(nullptr, words * 8, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  CHECK(area != MAP_FAILED);
  Random random{88172645463325252UL};
  for (size_t i = 0; i < words; i++) area[i] = random.next() | 1;
  ready_and_wait();
  double start = seconds(), last = start, longest = 0, sum = 0;
  for (int step = 0; step < steps; step++) {
    for (int i = 0; i < 3'000'000; i++) sum += static_cast<double>(random.next() >> 40);
    for (size_t i = 0; i < pages; i++, at = (at + kPageWords) % words) area[at] += static_cast<unsigned long>(step);
    double now = seconds();
    longest = now - last > longest ? now - last : longest;
    last = now;
  }
  printf("%.9f %.9f\n", last - start, longest);
  return sum < 0;  // keeps the work
}

int serve(bool answer) {
  int listener = socket(AF_INET, SOCK_STREAM, 0), yes = 1;
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  CHECK_EQ(bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  CHECK_EQ(listen(listener, 5), 0);
  socklen_t length = sizeof address;
  CHECK_EQ(getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length), 0);
  announce("port", 1, ntohs(address.sin_port));
  while (true) {
    int fd = accept(listener, nullptr, nullptr);
    CHECK(fd >= 0);
    CHECK_EQ(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes), 0);
    if (!answer) {
      // One small warm buffer: the bytes are thrown away.
      while (read(fd, buffer, 256 << 10) > 0) {
      }
      write_all(fd, "!", 1);
    } else {
      Shape shape;
      while (recv(fd, &shape, sizeof shape, MSG_WAITALL) == sizeof shape) {
        // The first bytes of each request say its shape.
        read_all(fd, buffer, shape.request - sizeof shape);
        write_all(fd, buffer, shape.answer);
      }
    }
    close(fd);
  }
}

int connected(const char* host, const char* port) {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<unsigned short>(atoi(port)));
  CHECK_EQ(inet_pton(AF_INET, host, &address.sin_addr), 1);
  int fd = socket(AF_INET, SOCK_STREAM, 0), yes = 1;
  CHECK_EQ(connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  CHECK_EQ(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes), 0);
  return fd;
}

int ping(int fd) {
  for (int shape = 0; shape < kShapeCount; shape++) {
    double start = 0;
    for (int i = -20; i < repeats_of(shape); i++) {
      if (i == 0) start = seconds();
      memcpy(buffer, &kShapes[shape], sizeof kShapes[shape]);
      write_all(fd, buffer, kShapes[shape].request);
      read_all(fd, buffer, kShapes[shape].answer);
    }
    printf("%.1f ", (seconds() - start) * 1e9 / repeats_of(shape));
  }
  printf("\n");
  return 0;
}

int stream(int fd, size_t mib) {
  memset(buffer, 1, sizeof buffer);
  double start = seconds();
  for (size_t i = 0; i < mib * 16; i++) write_all(fd, buffer, 64 << 10);
  CHECK_EQ(shutdown(fd, SHUT_WR), 0);
  char byte;
  read_all(fd, &byte, 1);
  printf("%.9f\n", seconds() - start);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  auto is = [&](const char* mode, int words) { return argc == words && strcmp(argv[1], mode) == 0; };
  if (is("calls", 3)) return calls(atoi(argv[2]));
  if (is("forks", 3)) return forks(atoi(argv[2]));
  if (is("cpu", 3)) return cpu(atoi(argv[2]));
  if (is("forwarded", 3)) return forwarded(atoi(argv[2]));
  if (is("memory", 4)) return memory(static_cast<size_t>(atoi(argv[2])), atoi(argv[3]));
  if (is("ageing", 5))
    return ageing(static_cast<size_t>(atoi(argv[2])), atoi(argv[3]), static_cast<size_t>(atoi(argv[4])));
  if (is("pong", 2)) return serve(true);
  if (is("sink", 2)) return serve(false);
  if (is("ping", 4)) return ping(connected(argv[2], argv[3]));
  if (is("stream", 5)) return stream(connected(argv[2], argv[3]), static_cast<size_t>(atoi(argv[4])));
  FAIL("see the head of tests/bench/probe.cpp");
}
