// SPDX-License-Identifier: Apache-2.0
// What users get wrong: one line that says what, an exit status that is not 0, and nothing lost.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include "tests/system/compare.h"
#include "tests/system/refused.h"

namespace omig::test {

namespace {

class BadInput : public testing::Test {
 protected:
  // A preloaded program on node 1 that sleeps until it is ended.
  class Sleeper {
   public:
    explicit Sleeper(std::vector<std::string> words)
        : directory_(fresh_directory("sleeper")), child_(command(words), directory_) {}
    pid_t pid() const { return child_.pid(); }
    bool alive() { return !child_.ended(); }

   private:
    Command command(const std::vector<std::string>& words) const {
      return {.words = words, .environment = {{"OMIG_TEST_FIFOS", directory_}}};
    }
    fs::path directory_;
    Child child_;
  };

  static std::vector<std::string> sleeper_words() { return shared_lab().on_node(1, {"sleep", "1000"}); }
  // Waits until the exec chain has become the sleeper.
  static void wait_until_asleep(pid_t pid) {
    auto end = Clock::now() + std::chrono::seconds(10);
    while (read_file(fmt::format("/proc/{}/comm", pid)) != "sleep\n" && Clock::now() < end) poll(nullptr, 0, 2);
  }
  // And until homed knows it.
  static void wait_until_known(pid_t pid) {
    wait_until_asleep(pid);
    auto end = Clock::now() + std::chrono::seconds(10);
    while (!shared_lab().omctl(1, {"where", std::to_string(pid)}).succeeded() && Clock::now() < end) {
    }
  }
  static Outcome migrate_to(const std::string& pid, const std::string& node) {
    return shared_lab().omctl(1, {"migrate", pid, node}, milliseconds(30'000));
  }
};

TEST_F(BadInput, NoHomedMeansLocalAndSilent) {
  fs::path program = build_path("tests/programs/files_stdio");
  Outcome native = run_program({.words = {program}}, Flavour::native, nullptr, {}).outcome;
  fs::path empty = fresh_directory("no-homed");
  for (std::vector<std::string> words : {std::vector<std::string>{program},
                                         {omctl_path(), "run", "--", program},
                                         {omctl_path(), "run", "-n", "node2", "--", program}}) {
    Command command{.words = words,
                    .environment = {{"OMIG_DIR", empty}, {"LD_PRELOAD", build_path("preload/libomig.so")}}};
    Outcome outcome = run_program(command, Flavour::native, nullptr, {}).outcome;
    EXPECT_TRUE(outcome.succeeded()) << outcome.describe() << outcome.err;
    EXPECT_EQ(outcome.out, native.out);
    EXPECT_EQ(outcome.err, "") << words[0];
  }
}

TEST_F(BadInput, NoHomedIsSaidByOmctl) {
  fs::path empty = fresh_directory("no-homed");
  for (std::vector<std::string> words :
       {std::vector<std::string>{"migrate", "1", "node2"}, {"ps"}, {"nodes"}, {"where", "1"}, {"why", "1"}}) {
    words.insert(words.begin(), omctl_path());
    EXPECT_TRUE(refused(run({.words = words, .environment = {{"OMIG_DIR", empty}}}), "homed")) << words[1];
  }
}

TEST_F(BadInput, UnknownNode) {
  Sleeper sleeper(sleeper_words());
  wait_until_known(sleeper.pid());
  for (const char* node : {"node9", "nowhere", "-1", "10.77.0.99"})
    EXPECT_TRUE(refused(migrate_to(std::to_string(sleeper.pid()), node), node[0] == '-' ? "" : node)) << node;
  EXPECT_TRUE(sleeper.alive());
  EXPECT_EQ(shared_lab().omctl(1, {"where", std::to_string(sleeper.pid())}).out, "node1\n");
}

TEST_F(BadInput, PidsThatCannotMove) {
  Lab& lab = shared_lab();
  EXPECT_TRUE(refused(migrate_to("999999999", "node2"), "999999999"));
  EXPECT_TRUE(refused(migrate_to("0", "node2"), ""));
  EXPECT_TRUE(refused(migrate_to("1", "node2"), "1"));
  Sleeper plain({"sleep", "1000"});
  wait_until_asleep(plain.pid());
  EXPECT_TRUE(refused(migrate_to(std::to_string(plain.pid()), "node2"), std::to_string(plain.pid())));
  Sleeper unloaded(lab.on_node(1, {"env", "OMIG_DISABLE=1", "sleep", "1000"}));
  wait_until_asleep(unloaded.pid());
  EXPECT_TRUE(refused(migrate_to(std::to_string(unloaded.pid()), "node2"), "OMIG_DISABLE"));
  // Another node's program: its own homed moves it, ours does not.
  Sleeper foreign(lab.on_node(2, {"sleep", "1000"}));
  auto end = Clock::now() + std::chrono::seconds(10);
  while (!lab.omctl(2, {"where", std::to_string(foreign.pid())}).succeeded() && Clock::now() < end) {
  }
  EXPECT_TRUE(refused(migrate_to(std::to_string(foreign.pid()), "node3"), std::to_string(foreign.pid())));
  for (Sleeper* each : {&plain, &unloaded, &foreign}) EXPECT_TRUE(each->alive());
}

TEST_F(BadInput, AnotherUsersProgram) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root to be two users";
  // An ordinary user cannot command root's homed at all.
  Lab& lab = shared_lab();
  Sleeper sleeper(sleeper_words());
  wait_until_known(sleeper.pid());
  Outcome outcome = run({.words = {"setpriv", "--reuid", "54321", "--regid", "54321", "--clear-groups", omctl_path(),
                                   "migrate", std::to_string(sleeper.pid()), "node2"},
                         .environment = {{"OMIG_DIR", lab.state_dir(1)}}});
  EXPECT_TRUE(refused(outcome, ""));
  EXPECT_TRUE(sleeper.alive());
}

TEST_F(BadInput, DeadNode) {
  Lab lab(3);
  fs::path directory = fresh_directory("dead-node");
  // Blocked for ever in a read of a FIFO that it holds open itself.
  Child child({.words = lab.on_node(1, {"bash", "-c", "mkfifo queue; exec 3<>queue; read line <&3"}),
               .environment = {{"OMIG_TEST_FIFOS", directory}},
               .directory = directory},
              directory);
  std::string pid = std::to_string(child.pid());
  auto end = Clock::now() + std::chrono::seconds(10);
  while (!lab.omctl(1, {"where", pid}).succeeded() && Clock::now() < end) {
  }
  lab.kill_homed(3);
  // At once, before anybody can have noticed; and later, when it is known.
  EXPECT_TRUE(refused(lab.omctl(1, {"migrate", pid, "node3"}), "node3"));
  EXPECT_TRUE(refused(lab.omctl(1, {"migrate", pid, "node3"}), "node3"));
  EXPECT_FALSE(child.ended());
  EXPECT_TRUE(lab.omctl(1, {"migrate", pid, "node2"}).succeeded());
  lab.restart_homed(3);
  Outcome back = lab.omctl(1, {"migrate", pid, "node3"});
  EXPECT_TRUE(back.succeeded()) << back.err;
}

TEST_F(BadInput, RunOnANodeThatIsNotThere) {
  Outcome outcome = run({.words = shared_lab().on_node(1, {omctl_path(), "run", "-n", "node9", "--", "echo", "here"})});
  EXPECT_TRUE(outcome.succeeded()) << outcome.describe();
  EXPECT_EQ(outcome.out, "here\n");
  EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
  EXPECT_NE(outcome.err.find("node9"), std::string::npos) << outcome.err;
}

TEST_F(BadInput, CommandsThatCannotRun) {
  Outcome missing = run({.words = shared_lab().on_node(1, {omctl_path(), "run", "--", "/no/such/program"})});
  EXPECT_EQ(WEXITSTATUS(missing.status), 127) << missing.err;
  Outcome directory = run({.words = shared_lab().on_node(1, {omctl_path(), "run", "--", "/tmp"})});
  EXPECT_EQ(WEXITSTATUS(directory.status), 126) << directory.err;
  EXPECT_TRUE(refused(run({.words = shared_lab().on_node(9, {"true"})}), "9"));
  EXPECT_FALSE(run({.words = {omctl_path(), "frobnicate"}}).succeeded());
}

TEST_F(BadInput, WhyNamesTheReason) {
  Sleeper unloaded(shared_lab().on_node(1, {"env", "OMIG_DISABLE=1", "sleep", "1000"}));
  wait_until_asleep(unloaded.pid());
  Outcome why = shared_lab().omctl(1, {"why", std::to_string(unloaded.pid())});
  EXPECT_NE((why.out + why.err).find("OMIG_DISABLE"), std::string::npos) << why.describe() << why.out << why.err;
  Sleeper free(sleeper_words());
  wait_until_known(free.pid());
  why = shared_lab().omctl(1, {"why", std::to_string(free.pid())});
  EXPECT_TRUE(why.succeeded()) << why.err;
  EXPECT_EQ(why.out.rfind("can move\n", 0), 0u) << why.out;  // what the policy says comes in the next lines
}

}  // namespace

}  // namespace omig::test
