// SPDX-License-Identifier: Apache-2.0
// The deputy at work: calls, aborts, children, threads, exec, deaths.
#include <arpa/inet.h>
#include <elf.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <random>
#include <set>

#include "tests/engine/away.h"

namespace omig::test {
namespace {

TEST(Serve, TheAnchorTellsWhereItIs) {
  Away away;
  const Anchor anchor = read_anchor(away.subject.pid());
  EXPECT_EQ(anchor.where, Where::away);
  EXPECT_STREQ(anchor.node, "elsewhere");
  EXPECT_EQ(anchor.moves, 1u);
  EXPECT_EQ(anchor.host_port, away.listener.port());
}

TEST(Serve, NumbersOnly) {
  Away away;
  EXPECT_EQ(away.leader().number(SYS_getppid), getpid());
  EXPECT_EQ(away.leader().number(SYS_getpid), away.subject.pid());
  EXPECT_EQ(away.leader().number(SYS_close, {12345}), -EBADF);
  EXPECT_EQ(away.leader().number(9999), -ENOSYS);
}

TEST(Serve, UnansweredCallsAreExecutedInOrder) {
  Away away;
  const auto [r, w] = make_pipe(away.leader());
  for (const char* text : {"one ", "two "}) away.leader().send_call(write_spec(w, text, wire::kCallUnanswered));
  EXPECT_EQ(away.leader().call(write_spec(w, "three")).ret(), 5) << "the answer to the third call comes first";
  CallSpec read(SYS_read, {r, 0, 64});
  read.pointer(1, read.room(64, 1));
  EXPECT_EQ(away.leader().call(read).outs.at(0), "one two three");
}

TEST(Serve, ReadsOfEverySize) {
  Away away;
  const std::string path = "/tmp/omig-engine-test-" + std::to_string(getpid());
  std::string text(6 << 20, 0);
  std::mt19937 random(7);
  for (char& c : text) c = static_cast<char>(random());
  std::ofstream(path) << text;
  const long fd = away.leader().call(open_spec(path.c_str())).ret();
  ASSERT_EQ(fd, 3) << "the engine's own descriptors are not where programs expect theirs";
  for (u32 bytes : {0u, 1u, 4096u, 65535u, 65536u, 65537u, 1u << 20, 5u << 20}) {
    CallSpec spec(SYS_pread64, {static_cast<u64>(fd), 0, bytes, 77});
    spec.pointer(1, spec.room(bytes, 1));
    const Result result = away.leader().call(spec);
    ASSERT_EQ(result.ret(), static_cast<long>(bytes));
    EXPECT_TRUE(result.outs.at(0) == text.substr(77, bytes)) << bytes;
  }
  CallSpec last(SYS_pread64, {static_cast<u64>(fd), 0, 4096, text.size() - 5});
  last.pointer(1, last.room(4096, 1));
  EXPECT_EQ(away.leader().call(last).outs.at(0), text.substr(text.size() - 5));
  unlink(path.c_str());
}

TEST(Serve, WritesOfEverySizeWithVectors) {
  Away away;
  const std::string path = "/tmp/omig-engine-test-" + std::to_string(getpid());
  const long fd = away.leader().call(open_spec(path.c_str(), O_RDWR | O_CREAT | O_TRUNC)).ret();
  ASSERT_GE(fd, 3);
  std::string expected;
  for (size_t bytes : {size_t{1}, size_t{12288}, size_t{65536}, size_t{3} << 20}) {
    std::string text(bytes, static_cast<char>('a' + expected.size() % 26));
    EXPECT_EQ(away.leader().call(write_spec(static_cast<u64>(fd), text)).ret(), static_cast<long>(bytes));
    expected += text;
  }
  CallSpec vector(SYS_writev, {static_cast<u64>(fd), 0, 3});
  u64 iov[6] = {0, 3, 0, 0, 0, 4};
  const u32 at = vector.input(iov, sizeof iov);
  vector.pointer(1, at);
  vector.pointer_at(at, vector.input("one", 3));
  vector.pointer_at(at + 16, 0);
  vector.pointer_at(at + 32, vector.input("four", 4));
  EXPECT_EQ(away.leader().call(vector).ret(), 7);
  expected += "onefour";
  std::ifstream file(path);
  EXPECT_TRUE(std::string(std::istreambuf_iterator<char>(file), {}) == expected);
  unlink(path.c_str());
}

TEST(Serve, OutsAreWhatTheCallLeft) {
  Away away;
  // Dirty the scratch first: what the kernel does not write must come back as zero.
  EXPECT_EQ(away.leader().call(write_spec(999, std::string(4096, 'x'))).ret(), -EBADF);
  CallSpec zero(SYS_getppid);
  zero.room(512);
  EXPECT_EQ(away.leader().call(zero).outs.at(0), std::string(512, 0));
  CallSpec failing(SYS_close, {12345});
  failing.room(16);
  failing.room(16, 0, true);
  const Result failed = away.leader().call(failing);
  EXPECT_EQ(failed.outs.at(0).size(), 0u);
  EXPECT_EQ(failed.outs.at(1), std::string(16, 0));
  // An address with its length: min(capacity, what the kernel says).
  const long fd = away.leader().number(SYS_socket, {AF_INET, SOCK_STREAM, 0});
  for (u32 capacity : {16u, 7u, 64u}) {
    CallSpec name(SYS_getsockname, {static_cast<u64>(fd)});
    const u32 length = name.input(&capacity, 4);
    name.pointer(2, length);
    name.pointer(1, name.room(capacity, 0, false, length));
    const Result result = away.leader().call(name);
    EXPECT_EQ(result.ret(), 0);
    ASSERT_EQ(result.outs.at(0).size(), std::min(capacity, 16u));
    EXPECT_EQ(result.outs.at(0)[0], AF_INET);
  }
  // Units: an array of elements, as many as the result says.
  const auto [r, w] = make_pipe(away.leader());
  EXPECT_EQ(away.leader().call(write_spec(w, "abc")).ret(), 3);
  CallSpec poll_spec(SYS_poll, {0, 2, 0});
  const pollfd polls[2] = {{static_cast<int>(r), POLLIN, 0}, {static_cast<int>(w), POLLOUT, 0}};
  poll_spec.pointer(0, poll_spec.input(polls, sizeof polls));
  poll_spec.room(64, 8);
  EXPECT_EQ(away.leader().call(poll_spec).outs.at(0).size(), 16u);
}

TEST(Serve, ACallTooLargeForMemoryIsAnErrorAndTheLinkGoesOn) {
  Away away;
  CallSpec huge(SYS_getppid);
  const std::string input(100'000, 'q');
  huge.input(input.data(), input.size());
  huge.call.scratch_bytes = 0xffffff00u;
  EXPECT_EQ(away.leader().call(huge).ret(), -ENOMEM);
  EXPECT_EQ(away.leader().number(SYS_getppid), getpid());
}

TEST(Serve, SigpipeBelongsToTheCaller) {
  Away away;
  const auto [r, w] = make_pipe(away.leader());
  EXPECT_EQ(away.leader().number(SYS_close, {r}), 0);
  const Result result = away.leader().call(write_spec(w, "x", wire::kCallWantsSigpipe));
  EXPECT_EQ(result.ret(), -EPIPE);
  EXPECT_EQ(result.reply.flags, wire::kReplySigpipe);
  EXPECT_TRUE(away.ear().silent(20));
  EXPECT_EQ(status_field(away.subject.pid(), "SigPnd"), "0000000000000000");
}

void abort_call(Away& away, u32 slot, u64 seq) {
  wire::AbortCall order;
  order.slot = slot;
  order.seq = seq;
  away.ear().send(wire::Type::abort_call, order);
}

// Waits until the call is in the kernel.
void wait_blocked_in(pid_t tid, long nr) {
  const std::string path = "/proc/" + std::to_string(tid) + "/syscall";
  for (;;) {
    std::ifstream file(path);
    long now = -1;
    if (file >> now && now == nr) return;
  }
}

TEST(Abort, ABlockedReadGivesUp) {
  Away away;
  const auto [r, w] = make_pipe(away.leader());
  for (int i = 0; i < 50; ++i) {
    const u64 seq = away.leader().send_call(read_spec(r, 100));
    wait_blocked_in(away.subject.pid(), SYS_read);
    abort_call(away, 0, seq);
    const Result result = away.leader().reply(seq);
    EXPECT_EQ(result.ret(), -EINTR);
    EXPECT_EQ(result.reply.flags, wire::kReplyAborted);
    EXPECT_EQ(result.outs.at(0).size(), 0u);
  }
}

// Not a synchronisation: it moves the abort about, to hit every moment of the call.
void dawdle(u32 rounds) {
  for (; rounds > 0; --rounds) asm volatile("pause");
}

// The heart of it: an abort that races with the call it is meant for. No hang, and what was written was written once.
TEST(Abort, RacesWithItsCall) {
  Away away;
  const auto [r, w] = make_pipe(away.leader());
  ASSERT_EQ(away.leader().number(SYS_fcntl, {r, F_SETFL, O_NONBLOCK}), 0);
  std::mt19937 random(std::random_device{}());
  long written = 0, not_run = 0, read_aborted = 0, read_not_run = 0;
  const auto [empty_r, empty_w] = make_pipe(away.leader());
  for (int i = 0; i < 3000; ++i) {
    u64 seq = away.leader().send_call(write_spec(w, "x"));
    dawdle(random() % 20000);
    abort_call(away, 0, seq);
    const Result result = away.leader().reply(seq);
    if (result.reply.flags == wire::kReplyNotRun)
      ++not_run;
    else {
      ASSERT_EQ(result.ret(), 1);
      ++written;
    }
    seq = away.leader().send_call(read_spec(empty_r, 1));
    dawdle(random() % 20000);
    abort_call(away, 0, seq);
    const Result empty = away.leader().reply(seq);
    if (empty.reply.flags == wire::kReplyNotRun)
      ++read_not_run;
    else {
      ASSERT_EQ(empty.reply.flags, wire::kReplyAborted);
      ASSERT_EQ(empty.ret(), -EINTR);
      ++read_aborted;
    }
  }
  EXPECT_EQ(away.leader().call(read_spec(r, 60000)).ret(), written);
  EXPECT_GT(read_aborted, 0);
  EXPECT_GT(written, 0);
  RecordProperty("not_run", static_cast<int>(not_run + read_not_run));
}

TEST(Abort, BeforeItsCallMeansNotRun) {
  Away away;
  const auto [r, w] = make_pipe(away.leader());
  // The abort is here first when the thread is busy with the call before.
  for (int i = 0; i < 50; ++i) {
    const u64 first = away.leader().send_call(read_spec(r, 1));
    wait_blocked_in(away.subject.pid(), SYS_read);
    const u64 second = away.leader().send_call(write_spec(w, "never"));
    abort_call(away, 0, second);
    // An order that is answered, behind the abort on the same link.
    const u64 none = 0;
    EXPECT_EQ(away.ear().reply(away.ear().send(wire::Type::exclude, none)).ret(), 0);
    char byte = 'y';
    const int fd = open(("/proc/" + std::to_string(away.subject.pid()) + "/fd/" + std::to_string(w)).c_str(),
                        O_WRONLY | O_CLOEXEC);
    ASSERT_EQ(write(fd, &byte, 1), 1);
    close(fd);
    const Result one = away.leader().reply(first);
    EXPECT_EQ(one.ret(), 1);  // the abort was not meant for it
    EXPECT_EQ(one.outs.at(0), "y");
    EXPECT_EQ(away.leader().reply(second).reply.flags, wire::kReplyNotRun);
  }
}

// Where a symbol of the engine lies.
u64 engine_symbol(const std::string& wanted) {
  std::ifstream file(OMIG_ENGINE, std::ios::binary);
  const std::string image(std::istreambuf_iterator<char>(file), {});
  Elf64_Ehdr header;
  memcpy(&header, image.data(), sizeof header);
  std::vector<Elf64_Shdr> sections(header.e_shnum);
  memcpy(sections.data(), image.data() + header.e_shoff, sections.size() * sizeof(Elf64_Shdr));
  for (const Elf64_Shdr& section : sections) {
    if (section.sh_type != SHT_SYMTAB) continue;
    const char* names = image.data() + sections[section.sh_link].sh_offset;
    for (u64 at = 0; at < section.sh_size; at += sizeof(Elf64_Sym)) {
      Elf64_Sym symbol;
      memcpy(&symbol, image.data() + section.sh_offset + at, sizeof symbol);
      if (names + symbol.st_name == wanted) return symbol.st_value;
    }
  }
  throw std::runtime_error("no symbol " + wanted);
}

// The gap that no chance finds: the abort arrives when the comparison has been made and the syscall instruction not.
TEST(Abort, BetweenTheLookAndTheCall) {
  const u64 begin = engine_symbol("omig_call_begin"), instruction = engine_symbol("omig_call_syscall");
  for (u64 stop_at : {begin, instruction}) {
    for (bool meant : {true, false}) {
      Away away;
      const auto [r, w] = make_pipe(away.leader());
      const pid_t pid = away.subject.pid();
      ASSERT_EQ(ptrace(PTRACE_SEIZE, pid, 0, 0), 0);
      ASSERT_EQ(ptrace(PTRACE_INTERRUPT, pid, 0, 0), 0);
      int status = 0;
      ASSERT_EQ(waitpid(pid, &status, __WALL), pid);
      const long word = ptrace(PTRACE_PEEKTEXT, pid, stop_at, 0);
      ASSERT_EQ(ptrace(PTRACE_POKETEXT, pid, stop_at, (word & ~0xffl) | 0xcc), 0);
      ASSERT_EQ(ptrace(PTRACE_CONT, pid, 0, 0), 0);
      const u64 seq = away.leader().send_call(read_spec(r, 1));
      ASSERT_EQ(waitpid(pid, &status, __WALL), pid);
      ASSERT_EQ(WSTOPSIG(status), SIGTRAP);
      abort_call(away, 0, meant ? seq : seq - 1);
      const u64 none = 0;
      EXPECT_EQ(away.ear().reply(away.ear().send(wire::Type::exclude, none)).ret(), 0);
      ASSERT_EQ(ptrace(PTRACE_POKETEXT, pid, stop_at, word), 0);
      user_regs_struct regs{};
      ASSERT_EQ(ptrace(PTRACE_GETREGS, pid, 0, &regs), 0);
      ASSERT_EQ(regs.rip, stop_at + 1);
      regs.rip = stop_at;
      ASSERT_EQ(ptrace(PTRACE_SETREGS, pid, 0, &regs), 0);
      ASSERT_EQ(ptrace(PTRACE_DETACH, pid, 0, 0), 0);
      if (!meant) {
        wait_blocked_in(pid, SYS_read);
        abort_call(away, 0, seq);
      }
      EXPECT_EQ(away.leader().reply(seq).reply.flags, meant ? wire::kReplyNotRun : wire::kReplyAborted);
      EXPECT_EQ(away.leader().number(SYS_getppid), getpid());
    }
  }
}

TEST(Abort, TooLateDoesNotDisturbTheNextCall) {
  Away away;
  const auto [r, w] = make_pipe(away.leader());
  for (int i = 0; i < 200; ++i) {
    const u64 earlier = away.leader().send_call(CallSpec(SYS_getppid));
    EXPECT_EQ(away.leader().reply(earlier).ret(), getpid());
    const u64 seq = away.leader().send_call(read_spec(r, 1));
    abort_call(away, 0, earlier);
    const u64 none = 0;
    EXPECT_EQ(away.ear().reply(away.ear().send(wire::Type::exclude, none)).ret(), 0);
    EXPECT_TRUE(away.leader().silent(0));
    const int fd = open(("/proc/" + std::to_string(away.subject.pid()) + "/fd/" + std::to_string(w)).c_str(),
                        O_WRONLY | O_CLOEXEC);
    ASSERT_EQ(write(fd, "z", 1), 1);
    close(fd);
    EXPECT_EQ(away.leader().reply(seq).ret(), 1);
  }
}

TEST(Abort, TheProbeFindsWhatIsThere) {
  Away away;
  const auto [r, w] = make_pipe(away.leader());
  const auto [r2, w2] = make_pipe(away.leader());
  for (int round = 0; round < 20; ++round) {
    const bool data = round % 2 == 0;
    if (data) {
      EXPECT_EQ(away.leader().call(write_spec(w, "data")).ret(), 4);
    }
    const u64 first = away.leader().send_call(read_spec(r2, 1));
    wait_blocked_in(away.subject.pid(), SYS_read);
    const u64 second = away.leader().send_call(read_spec(r, 100, wire::kCallProbeOnNotRun));
    abort_call(away, 0, second);
    const u64 none = 0;
    EXPECT_EQ(away.ear().reply(away.ear().send(wire::Type::exclude, none)).ret(), 0);
    const int fd = open(("/proc/" + std::to_string(away.subject.pid()) + "/fd/" + std::to_string(w2)).c_str(),
                        O_WRONLY | O_CLOEXEC);
    ASSERT_EQ(write(fd, "y", 1), 1);
    close(fd);
    EXPECT_EQ(away.leader().reply(first).ret(), 1);
    const Result result = away.leader().reply(second);
    EXPECT_EQ(result.reply.flags, data ? 0 : wire::kReplyNotRun);
    if (data) {
      EXPECT_EQ(result.outs.at(0), "data");
    }
  }
}

}  // namespace
}  // namespace omig::test
