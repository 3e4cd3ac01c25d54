// SPDX-License-Identifier: Apache-2.0
// Connections break, links do not: each call is executed once, each answer and each signal comes once, whatever is
// reset whenever.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <random>
#include <thread>

#include "tests/engine/away.h"

namespace omig::test {
namespace {

constexpr u32 kPatience = 20;

std::vector<const Link*> all_of(Away& away) {
  std::vector<const Link*> links{&away.ear()};
  for (const Link& link : away.links.threads) links.push_back(&link);
  return links;
}

TEST(Mend, AnIdleThreadComesBack) {
  Away away(0, kPatience);
  for (int i = 0; i < 20; ++i) {
    away.leader().reset_connection();
    ASSERT_TRUE(away.listener.let_back(all_of(away)));
    EXPECT_EQ(away.leader().number(SYS_getpid), away.subject.pid());
  }
}

// What was said into the broken connection, and what was not heard.
TEST(Mend, QuestionsAndAnswersAreNotLost) {
  Away away(0, kPatience);
  const auto [r, w] = make_pipe(away.leader());
  for (const int i : {1, 2, 3, 4, 5}) {
    const u64 seq = away.leader().send_call(write_spec(w, std::string(static_cast<size_t>(i), 'x')));
    away.leader().reset_connection();  // before or after it was read, executed, answered: who knows
    ASSERT_TRUE(away.listener.let_back(all_of(away)));
    EXPECT_EQ(away.leader().reply(seq).ret(), i);
  }
  EXPECT_EQ(away.leader().call(read_spec(r, 100)).outs.at(0), std::string(15, 'x')) << "each was written once";
}

// It learns of it when its call ends.
TEST(Mend, AThreadInACallComesBackAfterwards) {
  Away away(1, kPatience);
  Link& reader = away.links.threads[1];
  const auto [r, w] = make_pipe(away.leader());
  const u64 seq = reader.send_call(read_spec(r, 100));
  while (status_field(static_cast<pid_t>(reader.hello.tid), "State").find('S') == std::string::npos) sched_yield();
  reader.reset_connection();
  EXPECT_EQ(away.leader().call(write_spec(w, "there")).ret(), 5);
  ASSERT_TRUE(away.listener.let_back(all_of(away)));
  EXPECT_EQ(reader.reply(seq).outs.at(0), "there");
}

TEST(Mend, TheEarComesBackAndSignalsAreHeardOnce) {
  Away away(1, kPatience);
  int expected = 0;
  for (int round = 0; round < 20; ++round) {
    for (int i = 0; i < 50; ++i) {
      while (sigqueue(away.subject.pid(), SIGRTMIN + 1, {round * 50 + i}) != 0) ASSERT_EQ(errno, EAGAIN);
    }
    for (int i = 0; i < 20; ++i) EXPECT_EQ(away.ear().signal().si_value.sival_int, expected++);
    away.ear().reset_connection();
    ASSERT_TRUE(away.listener.let_back(all_of(away)));
    for (int i = 0; i < 30; ++i) EXPECT_EQ(away.ear().signal().si_value.sival_int, expected++);
    away.ear().send(wire::Type::heard);
  }
  EXPECT_TRUE(away.ear().silent(20));
}

TEST(Mend, AnAnswerThatIsLostIsGivenAgain) {
  Away away(0, kPatience);
  for (int i = 0; i < 5; ++i) {
    const u64 seq = away.leader().send_call(CallSpec(SYS_getppid));
    away.leader().reset_connection();
    for (int lost = 0; lost < i; ++lost) ASSERT_TRUE(away.listener.let_back(all_of(away), true));
    ASSERT_TRUE(away.listener.let_back(all_of(away)));
    EXPECT_EQ(away.leader().reply(seq).ret(), getpid());
  }
}

// Reads and writes of many sizes on three threads while connections are reset as fast as they come back.
TEST(Mend, WhateverIsResetWhenever) {
  const u64 seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  Away away(2, kPatience);
  std::atomic<bool> over = false;
  std::atomic<int> made = 0;
  const auto links = all_of(away);
  std::thread door([&] {
    while (!over) made += away.listener.let_back(links, made % 7 == 3, 100) ? 1 : 0;
  });
  std::thread network([&] {
    std::mt19937_64 random(seed);
    while (!over) {
      const size_t which = random() % 4;
      (which == 3 ? away.ear() : away.links.threads[which]).reset_connection();
      usleep(static_cast<useconds_t>(random() % 20'000));
    }
  });
  const auto work = [&](size_t thread) {
    std::mt19937_64 random(seed + 1 + thread);
    Link& link = away.links.threads[thread];
    const std::string path = "/tmp/omig-engine-mend-" + std::to_string(getpid()) + "-" + std::to_string(thread);
    const u64 fd = static_cast<u64>(link.call(open_spec(path.c_str(), O_RDWR | O_CREAT | O_TRUNC)).ret());
    std::string expected;
    for (int i = 0; i < 60; ++i) {
      static constexpr size_t kSizes[] = {1, 100, 5'000, 70'000, 1 << 20, 3 << 20};
      const size_t bytes = kSizes[random() % std::size(kSizes)];
      std::string text(bytes, 0);
      for (size_t at = 0; at < bytes; at += 97) text[at] = static_cast<char>(random());
      if (expected.size() + bytes > (16u << 20)) expected.clear(), link.number(SYS_ftruncate, {fd, 0});
      const u64 at = expected.size();
      expected += text;
      EXPECT_EQ(link.number(SYS_lseek, {fd, at, SEEK_SET}), static_cast<long>(at));
      EXPECT_EQ(link.call(write_spec(fd, text)).ret(), static_cast<long>(bytes));
      CallSpec read(SYS_pread64, {fd, 0, bytes, at});
      read.pointer(1, read.room(static_cast<u32>(bytes), 1));
      const Result result = link.call(read);
      EXPECT_TRUE(result.outs.at(0) == text) << bytes;
    }
    EXPECT_EQ(link.number(SYS_lseek, {fd, 0, SEEK_END}), static_cast<long>(expected.size()));
    unlink(path.c_str());
  };
  std::thread second([&] { work(1); }), third([&] { work(2); });
  work(0);
  second.join();
  third.join();
  over = true;
  network.join();
  door.join();
  EXPECT_GT(made, 10);
}

// A door that is crowded ends connections without a word: that is not the end of the visit.
TEST(Mend, AnEndWithoutAWordIsNoRefusal) {
  Away away(0, kPatience);
  away.leader().reset_connection();
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(away.listener.turn_away());
  ASSERT_TRUE(away.listener.let_back({&away.leader()}));
  EXPECT_EQ(away.leader().number(SYS_getpid), away.subject.pid());
}

// The network takes the host's answer and brings the deputy's end of that attempt much later, before its next attempt:
// that must not look like the end of the deputy.
TEST(Mend, AnAttemptThatIsGivenUpEndsByAReset) {
  Away away(0, kPatience);
  away.leader().reset_connection();
  EXPECT_TRUE(away.listener.is_given_up());
  ASSERT_TRUE(away.listener.let_back({&away.leader()}));
  EXPECT_EQ(away.leader().number(SYS_getpid), away.subject.pid());
  // And a link that was made again ends as any other.
  kill(away.subject.pid(), SIGKILL);
  char byte;
  EXPECT_EQ(recv(away.leader().fd(), &byte, 1, 0), 0) << errno;
}

// A host that is no more, one that does not know the link, and patience that is over: the documented end.
TEST(Mend, OrItIsTheEnd) {
  for (const int how : {0, 1, 2}) {
    Away away(0, how == 2 ? 1 : kPatience);
    if (how == 0) away.listener.close();  // the port answers with RST
    away.leader().reset_connection();
    if (how == 1) {
      EXPECT_FALSE(away.listener.let_back({&away.ear()}));
    }
    const int status = away.subject.wait_status();
    EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << how;
    EXPECT_NE(away.subject.errors().find("is gone; the process ends (status 137)"), std::string::npos) << how;
  }
}

}  // namespace
}  // namespace omig::test
