// SPDX-License-Identifier: Apache-2.0
// CPU time over moves: meters never go back, records concern the right ancestors, frames are what the engine expects.
#include "homed/host/usage.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <random>

namespace omig::host {
namespace {

constexpr u64 kMs = 1'000'000;

TEST(CpuMeter, GoesOnFromWhatWasShownAndLeavesOutTheRestore) {
  CpuMeter meter;
  meter.start({100 * kMs, 20 * kMs}, {5 * kMs, 1 * kMs}, {7 * kMs, 3 * kMs});
  EXPECT_EQ(meter.shown({7 * kMs, 3 * kMs}).total_ns(), 120 * kMs);
  EXPECT_EQ(meter.shown({57 * kMs, 3 * kMs}).user_ns, 150 * kMs);
  EXPECT_EQ(meter.unrecorded({57 * kMs, 3 * kMs}).total_ns(), 56 * kMs);
  meter.recorded({57 * kMs, 3 * kMs});
  EXPECT_EQ(meter.unrecorded({57 * kMs, 3 * kMs}).total_ns(), 0u);
  EXPECT_EQ(meter.shown({57 * kMs, 3 * kMs}).total_ns(), 170 * kMs) << "what is recorded still counts";
}

TEST(CpuMeter, NeitherPartEverGoesBack) {
  const auto seed = std::random_device{}();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937_64 random(seed);
  CpuMeter meter;
  meter.start({50 * kMs, 50 * kMs}, {}, {});
  image::CpuTime last = meter.shown({});
  u64 total = 0;
  for (int i = 0; i < 10'000; ++i) {
    total += random() % kMs;
    const u64 user = random() % (total + 1);  // the kernel's split is only an estimate
    const image::CpuTime now = meter.shown({user, total - user});
    EXPECT_GE(now.user_ns, last.user_ns);
    EXPECT_GE(now.system_ns, last.system_ns);
    EXPECT_EQ(now.total_ns(), 100 * kMs + total);
    last = now;
  }
}

TEST(Ledger, RecordsConcernAncestorsThroughTheirChild) {
  image::Account account;
  account.ancestors[0] = 40;
  account.ancestors[1] = 30;
  account.ancestors[2] = 20;
  const image::UsageRecord record = record_of(account, 50, 51, {1, 2});
  EXPECT_EQ(image::concerns_through(record, 50), 50);
  EXPECT_EQ(image::concerns_through(record, 40), 50);
  EXPECT_EQ(image::concerns_through(record, 30), 40);
  EXPECT_EQ(image::concerns_through(record, 20), 30);
  EXPECT_EQ(image::concerns_through(record, 10), 0);
  EXPECT_EQ(image::concerns_through(record, 51), 0);
}

TEST(Ledger, AChildOfAGuestHasItsParentAsFirstReader) {
  image::Account parent;
  for (u32 i = 0; i < image::kMaxAncestors; ++i) parent.ancestors[i] = static_cast<i32>(100 + i);
  parent.readers = 0b10;
  const image::Account child = account_of_child(parent, 99);
  EXPECT_EQ(child.ancestors[0], 99);
  EXPECT_EQ(child.ancestors[1], 100);
  EXPECT_EQ(child.ancestors[image::kMaxAncestors - 1], 100 + static_cast<i32>(image::kMaxAncestors) - 2);
  EXPECT_EQ(child.readers, 0b101u);
}

TEST(Ledger, AFrameNamesTheFilesOfTheProcessAndItsReaders) {
  image::Account account;
  strcpy(account.directory, "/d");
  account.ancestors[0] = 40;
  account.ancestors[1] = 30;
  account.readers = 0b10;
  const image::UsageRecord records[] = {record_of(account, 50, 50, {1, 2}), record_of(account, 50, 0, {3, 4})};
  const std::vector<u8> body = account_frame(account, records);
  wire::Account head;
  ASSERT_GE(body.size(), sizeof head + sizeof records);
  memcpy(&head, body.data(), sizeof head);
  EXPECT_EQ(head.bytes, sizeof records);
  EXPECT_EQ(head.paths, 2u);
  EXPECT_EQ(memcmp(body.data() + sizeof head, records, sizeof records), 0);
  EXPECT_EQ(std::string(body.begin() + sizeof head + sizeof records, body.end()), std::string("/d/50\0/d/30\0", 12));
}

TEST(Usage, AChildsClockCanBeReadUntilItIsReaped) {
  const pid_t child = fork();
  if (child == 0) {
    for (clock_t end = clock() + CLOCKS_PER_SEC / 20; clock() < end;) {
    }
    _exit(0);
  }
  siginfo_t info{};
  ASSERT_EQ(waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOWAIT), 0);
  EXPECT_GE(process_cpu(child).total_ns(), 40 * kMs);
  waitpid(child, nullptr, 0);
  EXPECT_EQ(process_cpu(child).total_ns(), 0u);
}

}  // namespace
}  // namespace omig::host
