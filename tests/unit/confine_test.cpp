// SPDX-License-Identifier: Apache-2.0
// deputy.allow: how it is read, and what a child that is held to one can still do.
#include "lib/confine/confine.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <functional>

#include "lib/abi/landlock.h"
#include "preload/engine/head.h"

namespace omig::confine {
namespace {

std::string wrong_with(std::string_view text) {
  std::string wrong;
  EXPECT_FALSE(parse_allow(text, &wrong)) << text;
  return wrong;
}

TEST(Allow, IsReadLineByLine) {
  std::string wrong;
  const auto allow = parse_allow(
      "# mine\n\nread /usr\t~/models # and those\nexec ~\n write -/scratch\r\nsockets local\nsignals all", &wrong);
  ASSERT_TRUE(allow) << wrong;
  const std::vector<AllowedPath> want{{"/usr", Access::read, false},
                                      {"~/models", Access::read, false},
                                      {"~", Access::exec, false},
                                      {"/scratch", Access::write, true}};
  EXPECT_EQ(allow->paths, want);
  EXPECT_EQ(allow->sockets, Sockets::local);
  EXPECT_EQ(allow->signals, Signals::all);
}

TEST(Allow, NothingIsAllowedUnlessSaid) {
  std::string wrong;
  const auto allow = parse_allow("", &wrong);
  ASSERT_TRUE(allow) << wrong;
  EXPECT_TRUE(allow->paths.empty());
  EXPECT_EQ(allow->sockets, Sockets::none);
  EXPECT_EQ(allow->signals, Signals::own);
}

TEST(Allow, WhatIsWrongIsNamed) {
  EXPECT_EQ(wrong_with("read /usr\nread lib\n"), "line 2: lib is not a path that begins with / or ~/");
  EXPECT_EQ(wrong_with("read ~root/x"), "line 1: ~root/x is not a path that begins with / or ~/");
  EXPECT_EQ(wrong_with("write"), "line 1: write what?");
  EXPECT_EQ(wrong_with("sockets some"), "line 1: sockets are none, local or all");
  EXPECT_EQ(wrong_with("signals own all"), "line 1: signals are own or all");
  EXPECT_EQ(wrong_with("delete /usr"), "line 1: delete: there are read, exec, write, sockets and signals");
  EXPECT_EQ(wrong_with(std::string(kMostAllowBytes + 1, '#')), "it is longer than 16 KiB");
}

// What an attempt ended with: 0, or an errno.
using Attempt = std::function<int()>;
int of(long result) { return result == -1 ? errno : 0; }

// In a child that is held to it: the result of each attempt.
std::vector<int> held(std::string_view text, const std::vector<Attempt>& attempts) {
  int results[2];
  EXPECT_EQ(pipe(results), 0);
  const pid_t child = fork();
  if (child == 0) {
    std::string wrong;
    const auto allow = parse_allow(text, &wrong);
    if (allow) wrong = confine(*allow, {.home = "/tmp", .binaries = "/usr", .state = "/nonexistent"});
    if (!wrong.empty()) dprintf(2, "not held: %s\n", wrong.c_str()), _exit(1);
    for (const Attempt& attempt : attempts) {
      const int result = attempt();
      if (write(results[1], &result, sizeof result) != sizeof result) _exit(2);
    }
    _exit(0);
  }
  close(results[1]);
  std::vector<int> got;
  for (int result; read(results[0], &result, sizeof result) == sizeof result;) got.push_back(result);
  close(results[0]);
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  return got;
}

Attempt opens(const char* path, int flags) {
  return [=] { return of(open(path, flags | O_CLOEXEC, 0600)); };
}
Attempt makes_socket(int family, int type = SOCK_STREAM | SOCK_CLOEXEC) {
  return [=] { return of(socket(family, type, 0)); };
}

class Confine : public testing::Test {
 protected:
  void SetUp() override {
    if (abi::landlock_version() < 6) GTEST_SKIP() << "Landlock here is older than Linux 6.12's";
    ASSERT_NE(mkdtemp(directory_), nullptr);
  }
  void TearDown() override { std::system(("rm -rf " + std::string(directory_)).c_str()); }
  std::string in(const char* name) const { return std::string(directory_) + "/" + name; }
  char directory_[32] = "/tmp/omig-confine-XXXXXX";
};

TEST_F(Confine, FilesAreThoseThatItNames) {
  const std::string inside = in("file"), text = "read /etc\nexec /usr -/lib64\nwrite " + std::string(directory_);
  const auto got =
      held(text, {opens("/etc/passwd", O_RDONLY), opens("/etc/passwd", O_WRONLY), opens("/etc", O_RDONLY | O_DIRECTORY),
                  opens("/var", O_RDONLY | O_DIRECTORY), opens("/tmp/omig-confine-outside", O_WRONLY | O_CREAT),
                  opens(inside.c_str(), O_RDWR | O_CREAT), [&] { return of(truncate(inside.c_str(), 10)); },
                  [&] { return of(rename(inside.c_str(), "/tmp/omig-confine-outside")); },
                  [&] { return of(unlink(inside.c_str())); }, [] { return of(truncate("/etc/passwd", 100'000)); },
                  [&] { return WEXITSTATUS(std::system("/usr/bin/true")); }});
  EXPECT_EQ(got, (std::vector<int>{0, EACCES, 0, EACCES, EACCES, 0, 0, EACCES, 0, EACCES, 0}));
}

TEST_F(Confine, OnlyWhatItSaysIsExecuted) {
  const auto execute = [] {
    const pid_t child = fork();
    if (child == 0) execl("/usr/bin/true", "true", nullptr), _exit(errno);
    int status = 0;
    waitpid(child, &status, 0);
    return WEXITSTATUS(status);
  };
  EXPECT_EQ(held("read /usr\nexec -/lib64", {execute}), std::vector<int>{EACCES});
  EXPECT_EQ(held("exec /usr -/lib64", {execute}), std::vector<int>{0});
}

TEST_F(Confine, SignalsStayInside) {
  const pid_t outside = getpid();
  const Attempt to_us = [=] { return of(kill(outside, 0)); };
  const Attempt to_itself = [] { return of(kill(getpid(), 0)); };
  const Attempt our_limits = [=] {
    rlimit limit{};
    if (getrlimit(RLIMIT_CORE, &limit) != 0) return errno;
    return of(prlimit(outside, RLIMIT_CORE, &limit, nullptr));
  };
  const Attempt own_limits = [=] {
    rlimit limit{};
    if (prlimit(getpid(), RLIMIT_CORE, nullptr, &limit) != 0) return errno;
    return of(setrlimit(RLIMIT_CORE, &limit));
  };
  EXPECT_EQ(held("", {to_us, to_itself, our_limits, own_limits}), (std::vector<int>{EPERM, 0, EPERM, 0}));
  EXPECT_EQ(held("signals all", {to_us, to_itself, our_limits, own_limits}), (std::vector<int>{0, 0, 0, 0}));
}

TEST_F(Confine, SocketsAreOfTheFamiliesThatItSays) {
  const std::vector<Attempt> all{makes_socket(AF_INET), makes_socket(AF_INET, SOCK_DGRAM), makes_socket(AF_INET6),
                                 makes_socket(AF_UNIX), makes_socket(AF_NETLINK, SOCK_RAW)};
  EXPECT_EQ(held("", all), (std::vector<int>{EACCES, EACCES, EACCES, EACCES, EACCES}));
  EXPECT_EQ(held("sockets local", all), (std::vector<int>{EACCES, EACCES, EACCES, 0, EACCES}));
  EXPECT_EQ(held("sockets all", all), (std::vector<int>{0, 0, 0, 0, 0}));
}

int getpid_of_32_bit_programs() {
  long result = 20;
  asm volatile("int $0x80" : "+a"(result) : : "memory");
  return static_cast<int>(-result);
}

// A kernel without them (ia32_emulation=0) ends by SIGSEGV whoever tries, held or not.
bool kernel_has_calls_of_32_bit_programs() {
  const pid_t child = fork();
  if (child == 0) getpid_of_32_bit_programs(), _exit(0);
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status);
}

TEST_F(Confine, WaysAroundAreClosed) {
  std::vector<Attempt> ways{[] { return of(syscall(SYS_io_uring_setup, 1, nullptr)); },
                            [] { return of(syscall(SYS_keyctl, 0, -3, 1)); },
                            [] { return of(syscall(SYS_ioctl, 0, 0x5412, "x")); },
                            [] { return of(syscall(SYS_socket | 0x40000000, AF_INET, SOCK_STREAM, 0)); }};
  std::vector<int> want{ENOSYS, EPERM, EPERM, ENOSYS};
  if (kernel_has_calls_of_32_bit_programs()) {
    ways.push_back(getpid_of_32_bit_programs);
    want.push_back(ENOSYS);
  } else {
    std::puts("int 0x80 was not tried: this kernel has no calls of 32-bit programs");
  }
  EXPECT_EQ(held("sockets none", ways), want);
}

// The engine makes its own connections; what a deputy is asked for is made by one instruction, and that one makes none.
TEST_F(Confine, TheEnginesConnectionsAreItsOwn) {
  constexpr u64 kElsewhere = kEngineBase + 0x1800, kBehind = kAnchorAddress + 0x10;
  const auto call_at = [](u64 address, int family, int type) -> Attempt {
    return [=] {
      const u64 page = address & ~0xfffull;
      void* at = mmap(reinterpret_cast<void*>(page), 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
      if (at == MAP_FAILED) return errno;
      memcpy(reinterpret_cast<void*>(address), "\x0f\x05\xc3", 3);  // syscall; ret
      long result = SYS_socket;
      asm volatile("call *%1" : "+a"(result) : "r"(address), "D"(family), "S"(type), "d"(0) : "rcx", "r11", "memory");
      return result < 0 ? static_cast<int>(-result) : 0;
    };
  };
  constexpr int kEngines = SOCK_STREAM | SOCK_CLOEXEC;
  EXPECT_EQ(held("", {call_at(kElsewhere, AF_INET, kEngines), call_at(kCallSyscallAddress, AF_INET, kEngines),
                      call_at(kElsewhere, AF_INET, SOCK_DGRAM), call_at(kElsewhere, AF_UNIX, kEngines),
                      call_at(kBehind, AF_INET, kEngines)}),
            (std::vector<int>{0, EACCES, EACCES, EACCES, EACCES}));
}

TEST_F(Confine, APathThatIsNotThereIsAnErrorUnlessItMayBe) {
  std::string wrong;
  const auto allow = parse_allow("read /nonexistent", &wrong);
  ASSERT_TRUE(allow);
  const pid_t child = fork();
  if (child == 0) _exit(confine(*allow, {}) == "/nonexistent: No such file or directory" ? 0 : 1);
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(held("read -/nonexistent", {}), std::vector<int>{});
}

}  // namespace
}  // namespace omig::confine
