// SPDX-License-Identifier: Apache-2.0
// A move that fails before the host's word leaves the program running as if nothing had been.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <random>

#include "tests/engine/host.h"

namespace omig::test {
namespace {

using Clock = std::chrono::steady_clock;

void set_flag(Subject& subject) {
  const u64 one = 1;
  write_memory(subject.pid(), subject.address("flag"), &one, sizeof one);
}

void expect_native(Subject& subject) {
  subject.say("quit");
  EXPECT_EQ(subject.line(), "verdict errors=0 line=0");
  EXPECT_EQ(subject.wait_status(), 0);
}

TEST(Abandon, EveryRegisterStays) {
  for (int i = 0; i < 20; ++i) {
    Subject subject({"spin"});
    for (int moves = 0; moves < 3; ++moves) {
      Listener listener;
      Links links = depart(subject, listener);
      EXPECT_EQ(links.leader().hello.pid, subject.pid());
      EXPECT_EQ(links.leader().hello.tid, subject.pid());
      EXPECT_NE(links.ear->hello.tid, subject.pid());
      EXPECT_EQ(read_anchor(subject.pid()).where, Where::departing);
      links.leader().send(wire::Type::abandon);
      EXPECT_TRUE(links.leader().at_end());
      states_at_home(subject);
      EXPECT_EQ(read_anchor(subject.pid()).where, Where::home);
      EXPECT_EQ(read_anchor(subject.pid()).moves, 0u);
    }
    set_flag(subject);
    EXPECT_EQ(subject.line(), "changed:");
    EXPECT_EQ(subject.line(), "page 00 00");
    subject.say("");
    EXPECT_EQ(subject.wait_status(), 0);
  }
}

TEST(Abandon, ThreadsGoOnFiftyTimes) {
  Subject subject({"threads", "4"});
  const std::string before = registrations(states_at_home(subject));
  for (int i = 0; i < 50; ++i) {
    Listener listener;
    Links links = depart(subject, listener, nullptr, static_cast<u32>(i % 5));
    ASSERT_EQ(links.threads.size(), 5u);
    Link& leader = links.threads[static_cast<size_t>(i % 5)];
    if (i % 2 == 0)
      leader.send(wire::Type::abandon);
    else
      leader.close();
    for (Link& link : links.threads) {
      if (link.fd() >= 0) {
        EXPECT_TRUE(link.at_end());
      }
    }
    EXPECT_TRUE(links.ear->at_end());
    EXPECT_EQ(registrations(states_at_home(subject)), before);  // mask, rseq, robust list
    EXPECT_EQ(tasks(subject.pid()).size(), 5u);                 // the ear is gone
    EXPECT_EQ(descriptors(subject.pid()).size(), 3u);
    subject.say("errors");
    EXPECT_EQ(subject.line(), "errors 0 line 0");
  }
  expect_native(subject);
}

TEST(Abandon, SignalsOfTheMeantimeArriveOnceAndThePrograms64WorksAfterwards) {
  Subject subject({"threads", "1"});
  for (int i = 1; i <= 10; ++i) {
    Listener listener;
    Links links = depart(subject, listener);
    ASSERT_EQ(kill(subject.pid(), SIGUSR1), 0);
    for (int k = 0; k < 3; ++k) ASSERT_EQ(sigqueue(subject.pid(), SIGUSR2 + 0, {k}), 0);  // merges: a standard signal
    EXPECT_TRUE(links.ear->silent(20));  // they are not the host's before it has committed
    links.leader().send(wire::Type::abandon);
    EXPECT_TRUE(links.leader().at_end());
    states_at_home(subject);
    ASSERT_EQ(kill(subject.pid(), 64), 0);
    std::string counts;
    const auto end = Clock::now() + std::chrono::seconds(10);
    const std::string wanted = "count " + std::to_string(i) + " " + std::to_string(i) + " " + std::to_string(i);
    do {
      subject.say("count");
      counts = subject.line();
    } while (counts != wanted && Clock::now() < end);
    EXPECT_EQ(counts, wanted);
  }
  expect_native(subject);
}

TEST(Abandon, TheHostTellsWhatOnlyTheProcessKnows) {
  Subject subject({"threads", "1"});
  Listener listener;
  std::vector<ThreadState> states;
  Links links = depart(subject, listener, &states);
  const auto& actions = links.ear->process.actions;
  EXPECT_NE(actions[SIGUSR1 - 1].handler, 0u);
  EXPECT_EQ(actions[SIGUSR1 - 1].handler, actions[64 - 1].handler);  // the program's, not the engine's
  EXPECT_EQ(actions[SIGUSR1 - 1].flags & SA_ONSTACK, static_cast<u64>(SA_ONSTACK));
  EXPECT_EQ(actions[SIGHUP - 1].handler, 1u);
  EXPECT_EQ(actions[SIGTERM - 1].handler, 0u);
  EXPECT_EQ(links.leader().thread.altstack_bytes, 65536u);
  EXPECT_EQ(links.leader().thread.altstack_flags, 0);
  EXPECT_EQ(links.threads[1].thread.altstack_flags, SS_DISABLE);
  EXPECT_NE(links.leader().thread.clear_child_tid, 0u);
  const u32 first = links.leader().hello.guard_first, last = links.leader().hello.guard_last;
  for (int fd : descriptors(subject.pid())) {
    EXPECT_TRUE(fd <= 2 || (fd >= static_cast<int>(first) && fd <= static_cast<int>(last))) << fd;
  }
  EXPECT_EQ(descriptors(subject.pid()).size(), 3u + 4u);  // two threads, the ear, the signalfd
  links.leader().send(wire::Type::abandon);
  EXPECT_TRUE(links.leader().at_end());
  expect_native(subject);
}

TEST(Abandon, NobodyListens) {
  Subject subject({"threads", "3"});
  for (int i = 0; i < 20; ++i) {
    Frozen frozen(subject.pid());
    Listener listener;
    frozen.prepare(listener.port(), listener.token());
    listener.close();
    frozen.divert();
    states_at_home(subject);
    EXPECT_EQ(read_anchor(subject.pid()).where, Where::home);
  }
  expect_native(subject);
}

TEST(Abandon, TheHostDiesWhileTheyLink) {
  Subject subject({"threads", "3"});
  for (size_t accepted = 0; accepted < 5; ++accepted) {
    Listener listener;
    {
      Frozen frozen(subject.pid());
      frozen.prepare(listener.port(), listener.token(), accepted % 2);
      frozen.divert();
    }
    std::vector<Link> links;
    for (size_t i = 0; i < accepted; ++i) links.push_back(listener.accept());
    links.clear();
    listener.close();
    states_at_home(subject);
    EXPECT_EQ(descriptors(subject.pid()).size(), 3u);
  }
  expect_native(subject);
}

// A mover that is killed between two threads leaves some of them undiverted.
TEST(Abandon, TheMoverDiesHalfWay) {
  for (const std::vector<size_t>& diverted : {std::vector<size_t>{1, 3}, std::vector<size_t>{0, 2}}) {
    Subject subject({"threads", "3"});
    Listener listener;
    const auto start = Clock::now();
    {
      Frozen frozen(subject.pid());
      frozen.prepare(listener.port(), listener.token());
      frozen.divert(diverted);
    }
    while (read_anchor(subject.pid()).where != Where::home) {
      ASSERT_LT(Clock::now() - start, std::chrono::seconds(15));
      usleep(10'000);
    }
    states_at_home(subject);
    EXPECT_GE(Clock::now() - start, std::chrono::seconds(9));
    expect_native(subject);
  }
}

}  // namespace
}  // namespace omig::test
