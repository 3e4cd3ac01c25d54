// SPDX-License-Identifier: Apache-2.0
// deputy.allow: a program that is held to one is held to it at home, away and back at home alike, and nothing leaves
// that is not held.
#include <gtest/gtest.h>
#include <signal.h>

#include <fstream>

#include "lib/abi/landlock.h"
#include "tests/system/compare.h"
#include "tests/system/wait.h"

namespace omig::test {

namespace {

class Allow : public testing::Test {
 protected:
  void SetUp() override {
    if (abi::landlock_version() < 6) GTEST_SKIP() << "Landlock here is older than Linux 6.12's";
    directory_ = fresh_directory("allow");
    std::ofstream(directory_ / "input") << "input\n";
    fs::copy_file("/usr/bin/true", directory_ / "own");
    std::ofstream(secret_) << "secret\n";
  }
  void allow(const std::string& text) {
    const fs::path file = directory_ / "deputy.allow";
    std::ofstream(file) << text;
    const Outcome set = lab.omctl(1, {"allow", file.string()});
    ASSERT_TRUE(set.succeeded()) << set.err;
    ASSERT_EQ(lab.omctl(1, {"allow"}).out, text);
  }
  std::unique_ptr<Child> start(std::vector<std::string> words) {
    return std::make_unique<Child>(Command{.words = lab.on_node(1, std::move(words)), .directory = directory_},
                                   fresh_directory("run"));
  }
  std::vector<std::string> subject() const {
    return {build_path("tests/system/subject_held").string(), secret_.string()};
  }
  std::string what_is_needed() const {
    return "exec /usr -/lib64 " + build_path("tests/system/subject_held").string() + "\nread /etc\nwrite " +
           directory_.string() + " /dev/null\n";
  }
  bool is_away(pid_t pid) { return lab.omctl(1, {"where", std::to_string(pid)}).out == "node2\n"; }

  Lab lab{2};
  fs::path directory_, secret_ = fresh_directory("secret") / "file";
};

TEST_F(Allow, HoldsAtHomeAndAwayAlike) {
  allow(what_is_needed());
  std::vector<std::string> words{omctl_path(), "run", "--lock", "--"};
  for (const std::string& word : subject()) words.push_back(word);
  const auto program = start(words);
  const auto rounds = [&] { return fs::exists(directory_ / "output"); };
  ASSERT_TRUE(wait_until([&] { return rounds() || program->ended(); }));
  ASSERT_FALSE(program->ended()) << program->outcome().err;
  for (const char* to : {"node2", "home", "node2"}) {
    ASSERT_EQ(migrate(lab, program->pid(), to), "") << lab.logs();
    fs::remove(directory_ / "output");
    ASSERT_TRUE(wait_until(rounds));
  }
  ASSERT_TRUE(is_away(program->pid()));
  std::ofstream(directory_ / "end").close();
  ASSERT_TRUE(program->wait_for_end(milliseconds(30'000)));
  const Outcome outcome = program->outcome();
  EXPECT_TRUE(outcome.succeeded()) << outcome.describe() << outcome.err;
  EXPECT_EQ(outcome.out,
            "reads ok; reads a secret EACCES; writes ok; writes a secret EACCES; executes ok; executes its own EACCES; "
            "socket EACCES; signal EPERM; \n");
  EXPECT_EQ(read_file(secret_), "secret\n");
}

TEST_F(Allow, WhatIsNotHeldStaysAtHome) {
  const auto before = start(subject());
  ASSERT_TRUE(wait_until([&] { return fs::exists(directory_ / "output"); }));
  allow(what_is_needed());
  const std::string refusal = migrate(lab, before->pid(), "node2");
  EXPECT_NE(refusal.find("not held to its user's deputy.allow"), std::string::npos) << refusal;
  const std::string why = lab.omctl(1, {"why", std::to_string(before->pid())}).out;
  EXPECT_NE(why.find("not held to its user's deputy.allow"), std::string::npos) << why;
  ASSERT_TRUE(lab.omctl(1, {"allow", "--none"}).succeeded());
  EXPECT_EQ(migrate(lab, before->pid(), "node2"), "");
  std::ofstream(directory_ / "end").close();
  EXPECT_TRUE(before->wait_for_end(milliseconds(30'000)));
  EXPECT_TRUE(before->outcome().succeeded());
}

TEST_F(Allow, WhatCannotBeHeldIsNotStarted) {
  allow("read /nonexistent\n");
  const auto program = start({omctl_path(), "run", "--", "/usr/bin/true"});
  ASSERT_TRUE(program->wait_for_end(milliseconds(30'000)));
  const Outcome outcome = program->outcome();
  EXPECT_EQ(WEXITSTATUS(outcome.status), 125);
  EXPECT_NE(outcome.err.find("deputy.allow: /nonexistent: No such file or directory: not started"), std::string::npos)
      << outcome.err;
  allow("read /etc\n");
  const auto forbidden = start({omctl_path(), "run", "--", "/usr/bin/true"});
  ASSERT_TRUE(forbidden->wait_for_end(milliseconds(30'000)));
  EXPECT_EQ(WEXITSTATUS(forbidden->outcome().status), 126);
  EXPECT_NE(forbidden->outcome().err.find("by deputy.allow"), std::string::npos) << forbidden->outcome().err;
}

TEST_F(Allow, ABadOneIsRefusedAndTheOldOneStays) {
  allow("read /usr\n");
  const fs::path bad = directory_ / "bad";
  std::ofstream(bad) << "read /usr\nrun /bin\n";
  const Outcome set = lab.omctl(1, {"allow", bad.string()});
  EXPECT_EQ(WEXITSTATUS(set.status), 1);
  EXPECT_NE(set.err.find("line 2: run: there are read"), std::string::npos) << set.err;
  EXPECT_EQ(lab.omctl(1, {"allow"}).out, "read /usr\n");
}

}  // namespace

}  // namespace omig::test
