// SPDX-License-Identifier: Apache-2.0
// A time-out is not used up by a machine that stands still. Stopping the waiting process for longer than its time-out
// is, to that process, the same as a machine that stood still.
#include "lib/base/patience.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <string>

#include "lib/link/peer.h"

namespace omig {
namespace {

constexpr milliseconds kTimeout{2'000};

// "S" for one that sleeps, "T" for one that is stopped, "Z" for one that has ended.
char state_of(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string text;
  std::getline(file, text);
  const size_t name_end = text.rfind(") ");
  return name_end == std::string::npos ? '?' : text[name_end + 2];
}

bool wait_until(pid_t pid, const std::string& states) {
  const auto end = Patience::Clock::now() + std::chrono::seconds(30);
  while (states.find(state_of(pid)) == std::string::npos) {
    if (Patience::Clock::now() > end) return false;
    poll(nullptr, 0, 1);
  }
  return true;
}

TEST(Patience, StandingStillCostsOneSlice) {
  Patience patience(milliseconds(80));  // slices of 10 ms
  EXPECT_TRUE(patience.spend([](milliseconds slice) {
    EXPECT_EQ(slice, milliseconds(10));
    poll(nullptr, 0, 200);  // stands still for more than the whole time
    return true;
  }));
  int slices = 0;
  EXPECT_FALSE(patience.until([&](milliseconds slice) {
    ++slices;
    poll(nullptr, 0, static_cast<int>(slice.count()));
    return false;
  }));
  EXPECT_TRUE(patience.over());
  EXPECT_EQ(slices, 7);
}

TEST(Patience, IsOverAfterItsTimeAndLooksOnceMore) {
  const auto begin = Patience::Clock::now();
  Patience patience(milliseconds(40));
  EXPECT_FALSE(patience.until([](milliseconds slice) {
    poll(nullptr, 0, static_cast<int>(slice.count()));
    return false;
  }));
  EXPECT_GE(Patience::Clock::now() - begin, milliseconds(40));
  EXPECT_TRUE(patience.until([](milliseconds slice) { return slice == milliseconds(0); }));
}

TEST(Patience, NewsCanOnlyShortenIt) {
  Patience patience(milliseconds(60'000));
  patience.shorten(milliseconds(0));
  EXPECT_TRUE(patience.over());
  patience.shorten(milliseconds(10));
  EXPECT_TRUE(patience.over());
}

TEST(Patience, AReaderThatWasStoppedForLongerThanItsTimeOutStillGetsWhatComes) {
  int ends[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  const pid_t reader = fork();
  if (reader == 0) {
    char byte = 0;
    _exit(read_exactly(ends[0], &byte, 1, kTimeout) && byte == 'x' ? 0 : 1);
  }
  // Asleep can only be in the poll: nothing else in there waits.
  EXPECT_TRUE(wait_until(reader, "SZ"));
  kill(reader, SIGSTOP);
  EXPECT_TRUE(wait_until(reader, "TZ"));
  poll(nullptr, 0, static_cast<int>(kTimeout.count()) + 100);
  kill(reader, SIGCONT);
  // It has looked at the clock and waits again, or has given up.
  EXPECT_TRUE(wait_until(reader, "SZ"));
  EXPECT_NE(state_of(reader), 'Z') << "it gave up although nobody could have answered";
  EXPECT_EQ(write(ends[1], "x", 1), 1);
  int status = -1;
  waitpid(reader, &status, 0);
  EXPECT_EQ(status, 0);
  close(ends[0]);
  close(ends[1]);
}

}  // namespace
}  // namespace omig
