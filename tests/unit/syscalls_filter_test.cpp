// SPDX-License-Identifier: Apache-2.0
// The guest's seccomp program says "notify" for exactly the calls of which notified() says so. The program is run here
// by an interpreter of classic BPF, over every number and the arguments that matter.
#include <asm/unistd.h>
#include <gtest/gtest.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/mman.h>

#include <cstddef>
#include <cstring>

#include "lib/syscalls/filter.h"
#include "lib/syscalls/table.h"

namespace omig::syscalls {
namespace {

// What seccomp's subset of BPF can do; anything else fails the test.
u32 run(const std::vector<sock_filter>& program, const seccomp_data& data) {
  u32 a = 0, x = 0;
  u32 memory[BPF_MEMWORDS] = {};
  for (std::size_t pc = 0; pc < program.size(); ++pc) {
    const sock_filter& i = program[pc];
    const u32 operand = BPF_SRC(i.code) == BPF_X ? x : i.k;
    switch (BPF_CLASS(i.code)) {
      case BPF_LD:
        if (BPF_MODE(i.code) == BPF_ABS) {
          EXPECT_LE(i.k + 4, sizeof(data));
          memcpy(&a, reinterpret_cast<const u8*>(&data) + i.k, 4);
        } else {
          a = BPF_MODE(i.code) == BPF_MEM ? memory[i.k] : i.k;
        }
        break;
      case BPF_LDX: x = BPF_MODE(i.code) == BPF_MEM ? memory[i.k] : i.k; break;
      case BPF_ST: memory[i.k] = a; break;
      case BPF_STX: memory[i.k] = x; break;
      case BPF_ALU:
        switch (BPF_OP(i.code)) {
          case BPF_AND: a &= operand; break;
          case BPF_OR: a |= operand; break;
          default: ADD_FAILURE() << "BPF operation " << i.code; return 0;
        }
        break;
      case BPF_JMP: {
        bool taken = true;
        switch (BPF_OP(i.code)) {
          case BPF_JA: pc += i.k; continue;
          case BPF_JEQ: taken = a == operand; break;
          case BPF_JGT: taken = a > operand; break;
          case BPF_JGE: taken = a >= operand; break;
          case BPF_JSET: taken = (a & operand) != 0; break;
          default: ADD_FAILURE() << "BPF jump " << i.code; return 0;
        }
        pc += taken ? i.jt : i.jf;
        break;
      }
      case BPF_RET: return BPF_RVAL(i.code) == BPF_A ? a : i.k;
      case BPF_MISC:
        if (BPF_MISCOP(i.code) == BPF_TAX)
          x = a;
        else
          a = x;
        break;
      default: ADD_FAILURE() << "BPF class " << i.code; return 0;
    }
  }
  ADD_FAILURE() << "the program ran past its end";
  return 0;
}

class Filter : public ::testing::Test {
 protected:
  u32 verdict(u32 nr, const u64 (&args)[6], u32 arch = AUDIT_ARCH_X86_64) {
    seccomp_data data{.nr = static_cast<int>(nr), .arch = arch, .instruction_pointer = 0x400000, .args = {}};
    std::copy_n(args, 6, data.args);
    return run(program, data);
  }
  void expect_agreement(u32 nr, const u64 (&args)[6]) {
    const Row* row = find(nr);
    const bool traced = row != nullptr && row->route == Route::traced;
    EXPECT_FALSE(traced && notified(nr, args)) << "a traced call is not notified";
    const u32 otherwise = traced ? SECCOMP_RET_TRACE : SECCOMP_RET_ALLOW;
    EXPECT_EQ(verdict(nr, args), notified(nr, args) ? SECCOMP_RET_USER_NOTIF : otherwise)
        << "call " << nr << " with " << std::hex << args[0] << ", " << args[1] << ", ..., " << args[3];
  }
  std::vector<sock_filter> program = build_filter();
};

TEST_F(Filter, FitsTheKernel) {
  EXPECT_GT(program.size(), 50u);
  EXPECT_LE(program.size(), static_cast<std::size_t>(BPF_MAXINSNS));
}

TEST_F(Filter, AgreesOnEveryNumber) {
  for (u32 nr = 0; nr < 1200; ++nr) {
    for (const u64 value : {u64{0}, u64{1}, u64{17}, u64{0x22}, u64{0xffffffff}, u64{1} << 32, ~u64{0}}) {
      expect_agreement(nr, {value, value, value, value, value, value});
    }
  }
  // x32's numbers and -1 aside: they are killed, see below.
  for (const u32 nr : {5000u, 0x3fffffffu}) expect_agreement(nr, {});
}

TEST_F(Filter, AgreesOnMappings) {
  for (u64 flags = 0; flags < 0x100; ++flags) {
    for (const u64 more :
         {u64{0}, u64{MAP_NORESERVE}, u64{MAP_STACK | MAP_GROWSDOWN}, u64{MAP_POPULATE}, u64{1} << 40}) {
      expect_agreement(__NR_mmap, {0, 4096, PROT_READ, flags | more, ~u64{0}, 0});
    }
  }
  const u64 anonymous[6] = {0, 4096, 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, ~u64{0}, 0};
  EXPECT_FALSE(notified(__NR_mmap, anonymous));
  const u64 shared[6] = {0, 4096, 3, MAP_SHARED | MAP_ANONYMOUS, ~u64{0}, 0};
  EXPECT_TRUE(notified(__NR_mmap, shared));
  const u64 file[6] = {0, 4096, 3, MAP_PRIVATE, 3, 0};
  EXPECT_TRUE(notified(__NR_mmap, file));
}

TEST_F(Filter, AgreesOnSleeps) {
  for (u64 flags = 0; flags < 8; ++flags) {
    for (const u64 upper : {u64{0}, u64{1} << 32})
      expect_agreement(__NR_clock_nanosleep, {1, flags | upper, 4096, 0, 0, 0});
  }
  const u64 absolute[6] = {1, 1}, relative[6] = {1, 0};
  EXPECT_FALSE(notified(__NR_clock_nanosleep, absolute));
  EXPECT_TRUE(notified(__NR_clock_nanosleep, relative));
}

TEST_F(Filter, AgreesOnSignalActions) {
  for (u64 signal = 0; signal < 300; ++signal) {
    for (const u64 act : {u64{0}, u64{1}, u64{0x7ffc00000000}, u64{1} << 32}) {
      for (const u64 upper : {u64{0}, u64{1} << 32, u64{0xffffffff} << 32}) {
        expect_agreement(__NR_rt_sigaction, {signal | upper, act, 0, 8, 0, 0});
      }
    }
  }
  const u64 sets[6] = {SIGCHLD, 0x1000, 0, 8, 0, 0}, asks[6] = {SIGCHLD, 0, 0x1000, 8, 0, 0},
            other[6] = {SIGINT, 0x1000};
  const u64 sets_with_rubbish[6] = {SIGCHLD | u64{7} << 32, 0x1000, 0, 8, 0, 0};
  EXPECT_TRUE(notified(__NR_rt_sigaction, sets));
  EXPECT_TRUE(notified(__NR_rt_sigaction, sets_with_rubbish));
  EXPECT_FALSE(notified(__NR_rt_sigaction, asks));
  EXPECT_FALSE(notified(__NR_rt_sigaction, other));
}

TEST_F(Filter, KillsForeignArchitectures) {
  EXPECT_EQ(verdict(__NR_read, {}, AUDIT_ARCH_I386), SECCOMP_RET_KILL_PROCESS);
  EXPECT_EQ(verdict(4, {}, AUDIT_ARCH_AARCH64), SECCOMP_RET_KILL_PROCESS);
  EXPECT_EQ(verdict(0x40000000, {}), SECCOMP_RET_KILL_PROCESS);             // x32 read
  EXPECT_EQ(verdict(0x40000000 + __NR_brk, {}), SECCOMP_RET_KILL_PROCESS);  // x32 of a local call
  EXPECT_EQ(verdict(0x7fffffff, {}), SECCOMP_RET_KILL_PROCESS);
}

}  // namespace
}  // namespace omig::syscalls
