// SPDX-License-Identifier: Apache-2.0
// The ear: every signal, once, in order, with its siginfo.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/engine/away.h"

namespace omig::test {
namespace {

TEST(Ear, SiginfoIsExact) {
  Away away(1);
  ASSERT_EQ(kill(away.subject.pid(), SIGINT), 0);
  siginfo_t info = away.ear().signal();
  EXPECT_EQ(info.si_signo, SIGINT);
  EXPECT_EQ(info.si_code, SI_USER);
  EXPECT_EQ(info.si_pid, getpid());
  EXPECT_EQ(info.si_uid, getuid());
  siginfo_t sent{};
  sent.si_signo = SIGRTMIN + 3;
  sent.si_code = SI_QUEUE;
  sent.si_pid = 4242;
  sent.si_uid = 77;
  sent.si_value.sival_ptr = reinterpret_cast<void*>(0x1234'5678'9abc'def0ul);
  ASSERT_EQ(syscall(SYS_rt_sigqueueinfo, away.subject.pid(), sent.si_signo, &sent), 0);
  info = away.ear().signal();
  EXPECT_EQ(memcmp(&info, &sent, 48), 0);  // what the kernel keeps of it
  // Ignored ones, default-ignored ones, stop signals: all of them are the host's to judge.
  for (int signal : {SIGHUP, SIGWINCH, SIGURG, SIGTSTP, SIGTERM, SIGALRM}) {
    ASSERT_EQ(kill(away.subject.pid(), signal), 0);
    EXPECT_EQ(away.ear().signal().si_signo, signal);
  }
}

TEST(Ear, RealTimeSignalsKeepTheirOrder) {
  Away away(2);
  for (int i = 0; i < 2000; ++i) {
    while (sigqueue(away.subject.pid(), SIGRTMIN + 1, {i}) != 0) ASSERT_EQ(errno, EAGAIN);
  }
  for (int i = 0; i < 2000; ++i) ASSERT_EQ(away.ear().signal().si_value.sival_int, i);
  EXPECT_TRUE(away.ear().silent(20));
}

TEST(Ear, ExcludedSignalsStayPending) {
  Away away(1);
  const u64 mask = 1ull << (SIGUSR1 - 1);
  for (int i = 0; i < 50; ++i) {
    EXPECT_EQ(away.ear().reply(away.ear().send(wire::Type::exclude, mask)).ret(), 0);
    ASSERT_EQ(kill(away.subject.pid(), SIGUSR1), 0);
    ASSERT_EQ(kill(away.subject.pid(), SIGUSR2), 0);
    EXPECT_EQ(away.ear().signal().si_signo, SIGUSR2);
    EXPECT_EQ(status_field(away.subject.pid(), "ShdPnd"), "0000000000000200");
    const u64 none = 0;
    EXPECT_EQ(away.ear().reply(away.ear().send(wire::Type::exclude, none)).ret(), 0);
    if (away.ear().collected.empty()) away.ear().collected.push_back(away.ear().signal());
    EXPECT_EQ(away.ear().collected.at(0).si_signo, SIGUSR1);
    away.ear().collected.clear();
  }
}

// Nothing that a signal does may disturb a call: only the host's abort does.
TEST(Ear, SignalsDoNotInterruptCalls) {
  Away away;
  const auto [r, w] = make_pipe(away.leader());
  const u64 seq = away.leader().send_call(read_spec(r, 1));
  for (int i = 0; i < 200; ++i) {
    ASSERT_EQ(kill(away.subject.pid(), SIGUSR1), 0);
    EXPECT_EQ(away.ear().signal().si_signo, SIGUSR1);
  }
  EXPECT_TRUE(away.leader().silent(0));
  const int fd =
      open(("/proc/" + std::to_string(away.subject.pid()) + "/fd/" + std::to_string(w)).c_str(), O_WRONLY | O_CLOEXEC);
  ASSERT_EQ(write(fd, "z", 1), 1);
  close(fd);
  EXPECT_EQ(away.leader().reply(seq).ret(), 1);
}

// A reply says which signals came before it, also one that the ear had not yet seen when the call ended.
TEST(Ear, RepliesNameTheSignalsBeforeThem) {
  Away away(1);
  const u64 pid = static_cast<u64>(away.subject.pid());
  for (int i = 0; i < 300; ++i) {
    Result result = away.leader().call(CallSpec(SYS_kill, {pid, SIGUSR1}));
    ASSERT_EQ(result.ret(), 0);
    ASSERT_EQ(away.ear().signal().si_signo, SIGUSR1);
    EXPECT_EQ(result.reply.signals, away.ear().signals_sent);
    result = away.leader().call(CallSpec(SYS_getppid));
    EXPECT_EQ(result.reply.signals, 0u);  // nothing since
  }
  // One that the host wants left pending delays nobody and is not waited for.
  const u64 mask = 1ull << (SIGUSR1 - 1);
  ASSERT_EQ(away.ear().reply(away.ear().send(wire::Type::exclude, mask)).ret(), 0);
  const Result result = away.leader().call(CallSpec(SYS_kill, {pid, SIGUSR1}));
  EXPECT_EQ(result.ret(), 0);
  EXPECT_EQ(result.reply.signals, 0u);
}

}  // namespace
}  // namespace omig::test
