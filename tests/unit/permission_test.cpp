// SPDX-License-Identifier: Apache-2.0
// Who may order a process about.
#include "homed/permission.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>

namespace omig {
namespace {

constexpr Owner kProcess{.uid = 1000, .effective_uid = 1001, .gid = 2000, .effective_gid = 2001};

bool may(uid_t uid, gid_t gid, std::vector<gid_t> groups = {}) {
  return may_command({1, uid, gid, std::move(groups)}, kProcess);
}

TEST(Permission, RootAndTheOwnersMay) {
  EXPECT_TRUE(may(0, 5));
  EXPECT_TRUE(may(1000, 5));
  EXPECT_TRUE(may(1001, 5));
}

TEST(Permission, MembersOfItsGroupsMay) {
  EXPECT_TRUE(may(7, 2000));
  EXPECT_TRUE(may(7, 2001));
  EXPECT_TRUE(may(7, 5, {4, 2000, 6}));
  EXPECT_TRUE(may(7, 5, {4, 2001, 6}));
}

TEST(Permission, NobodyElseMay) {
  EXPECT_FALSE(may(7, 5));
  EXPECT_FALSE(may(7, 0));                // root's group is not root
  EXPECT_FALSE(may(7, 5, {0, 1000, 6}));  // a group is no user
  EXPECT_FALSE(may(2000, 5));
  EXPECT_FALSE(may_command(Asker{}, kProcess));
}

TEST(Permission, TheOwnerStandsInTheStatus) {
  const auto owner = owner_in("Name:\tx\nUid:\t1000\t1001\t1002\t1003\nGid:\t2000\t2001\t2002\t2003\n");
  ASSERT_TRUE(owner);
  EXPECT_EQ(owner->uid, 1000u);
  EXPECT_EQ(owner->effective_uid, 1001u);
  EXPECT_EQ(owner->gid, 2000u);
  EXPECT_EQ(owner->effective_gid, 2001u);
  for (const char* wrong : {"", "Uid:\t1000\nGid:\t1\t2\t3\t4\n", "Uid:\t1\t2\t3\t4\n", "Uid:\tx\ty\nGid:\t1\t2\n"})
    EXPECT_FALSE(owner_in(wrong)) << wrong;
}

TEST(Permission, TheKernelSaysWhoAsks) {
  int ends[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
  const auto asker = asker_on(ends[0]);
  ASSERT_TRUE(asker);
  EXPECT_EQ(asker->pid, getpid());
  EXPECT_EQ(asker->uid, geteuid());
  EXPECT_EQ(asker->gid, getegid());
  std::vector<gid_t> groups(static_cast<size_t>(std::max(0, getgroups(0, nullptr))));
  ASSERT_GE(getgroups(static_cast<int>(groups.size()), groups.data()), 0);
  EXPECT_EQ(asker->groups, groups);
  close(ends[0]);
  close(ends[1]);
  EXPECT_FALSE(asker_on(-1));
}

}  // namespace
}  // namespace omig
