// SPDX-License-Identifier: Apache-2.0
// Lost visits (omctl run --protect): the host of a program is killed, and the program goes on at home from its image
// and ends as natively, or ends as documented if somebody could tell.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "lib/base/types.h"
#include "tests/system/compare.h"
#include "tests/system/wait.h"

namespace omig::test {

namespace {

// It says that it is at work by making a file, and ends when there is another. In between it may be lost at any time.
constexpr const char* kHead = R"(
import hashlib, os, sys, threading, time
state = b'start'
def work(n):
    global state
    for i in range(n): state = hashlib.sha256(state + b'%d' % i).digest()
def at_work_until_told():
    open('at-work', 'w').close()
    while not os.path.exists('go-on'): work(1000)
)";

class Protect : public testing::Test {
 protected:
  // Starts `body` on node 2, protected every `seconds`, up to so many MiB.
  void start(const std::string& body, int seconds, int most_mb = 0) {
    directory_ = fresh_directory("protect");
    std::ofstream(directory_ / "program.py") << kHead << body;
    std::ofstream(directory_ / "text") << "first line\nsecond line\nthird line\n";
    const Command command{
        .words = lab.on_node(1, {omctl_path(), "run", "--protect", std::to_string(seconds), "--protect-mb",
                                 std::to_string(most_mb), "--lock", "-n", "node2", "--", "python3", "program.py"}),
        .directory = directory_};
    run_directory_ = fresh_directory("run");
    program_ = std::make_unique<Child>(command, run_directory_);
  }
  bool is_at_work() {
    wait_until([&] { return program_->ended() || (fs::exists(directory_ / "at-work") && where() == "node2"); });
    if (program_->ended()) ADD_FAILURE() << program_->outcome().describe() << program_->outcome().err;
    return !program_->ended();
  }
  void kill_hosts() {
    for (const pid_t host : lab.hosts(2)) kill(host, SIGKILL);
  }
  Outcome told_to_go_on() {
    std::ofstream(directory_ / "go-on").close();
    EXPECT_TRUE(program_->wait_for_end(milliseconds(30'000))) << lab.logs();
    return program_->outcome();
  }
  std::string where() {
    std::string text = lab.omctl(1, {"where", std::to_string(program_->pid())}).out;
    while (!text.empty() && text.back() == '\n') text.pop_back();
    return text;
  }
  bool comes_home() {
    return wait_until([&] { return where() == "node1"; });
  }
  // One that was begun after this.
  bool has_a_new_image() {
    const u32 before = images();
    // A twentieth of its time is for images: under a sanitizer one takes a second.
    return wait_until([&] { return images() >= before + 2; }, milliseconds(90'000));
  }
  // At work away, and at home again when its host was killed after an image of that.
  bool outlives_its_host() {
    if (!is_at_work() || !has_a_new_image()) return false;
    kill_hosts();
    return comes_home();
  }
  u32 images() {
    const auto list = nlohmann::json::parse(lab.omctl(1, {"ps", "--json"}).out, nullptr, false);
    for (const auto& each : list.value("processes", nlohmann::json::array()))
      if (each.value("pid", 0) == program_->pid()) return each.value("images", 0u);
    return 0;
  }

  Lab lab{2};
  fs::path directory_, run_directory_;
  std::unique_ptr<Child> program_;
};

// Away from its first instruction: the image is what it was when it left, and it works all of it anew.
TEST_F(Protect, WhatOnlyComputesGoesOnFromItsDeparture) {
  directory_ = fresh_directory("protect");
  const std::string body =
      "import hashlib\nopen('begun', 'w').close()\nh = b''\nfor i in range(6000000): h = hashlib.sha256(h + b'%d' % "
      "i).digest()\n"
      "print(h.hex())\n";
  const Command plain{.words = {"python3", "-c", body}, .directory = directory_};
  const Outcome want = run(plain);
  fs::remove(directory_ / "begun");
  Command command = plain;
  command.words = lab.on_node(1, {"python3", "-c", body});
  command.environment.push_back({"OMIG_JOB", "free,protect=3600"});
  program_ = std::make_unique<Child>(command, fresh_directory("run"));
  ASSERT_TRUE(wait_until([&] { return fs::exists(directory_ / "begun"); }));
  const std::string id = std::to_string(program_->pid());
  ASSERT_EQ(migrate(lab, program_->pid(), "node2"), "");
  poll(nullptr, 0, 300);
  kill_hosts();
  ASSERT_TRUE(comes_home()) << lab.logs();
  EXPECT_NE(lab.omctl(1, {"why", id}).out.find("node2 is gone; it goes on from its image of"), std::string::npos);
  EXPECT_TRUE(program_->wait_for_end(milliseconds(60'000)));
  EXPECT_EQ(program_->outcome().describe(), want.describe());
  EXPECT_EQ(program_->outcome().out, want.out);
  EXPECT_EQ(program_->outcome().err, "");
}

// What it wrote before the image is not written again, and what it computed since is computed again.
TEST_F(Protect, ItGoesOnFromTheLastImage) {
  start(
      "print('begins', flush=True)\nwork(100000)\nfirst = state\nat_work_until_told()\nprint('went on', first.hex())\n"
      "print(os.getpid() == int(open('/proc/self/stat').read().split()[0]))\n",
      1);
  ASSERT_TRUE(outlives_its_host()) << lab.logs();
  const Outcome got = told_to_go_on();
  EXPECT_TRUE(got.succeeded()) << got.describe() << got.err << lab.logs();
  EXPECT_EQ(std::count(got.out.begin(), got.out.end(), '\n'), 3) << got.out;
  EXPECT_NE(got.out.find("begins\nwent on "), std::string::npos) << got.out;
}

// Positions of files are as they were at the image; files that it has opened since are closed.
TEST_F(Protect, FilesAreWhereTheyWere) {
  start(
      "text = open('text', 'rb', buffering=0)\ntext.read(6)\nbefore = os.listdir('/proc/self/fd')\n"
      "open('at-work', 'w').close()\nwhile not os.path.exists('read-on'): work(1000)\n"
      "rest = text.read(5)\nother = open('program.py').read()\n"
      "while not os.path.exists('go-on'): work(1000)\n"
      "print(rest, text.read(6), len(other) > 100, len(os.listdir('/proc/self/fd')) == len(before))\n",
      1);
  ASSERT_TRUE(is_at_work());
  ASSERT_TRUE(has_a_new_image()) << lab.logs();
  std::ofstream(directory_ / "read-on").close();
  poll(nullptr, 0, 300);
  kill_hosts();
  ASSERT_TRUE(comes_home()) << lab.logs();
  const Outcome got = told_to_go_on();
  EXPECT_EQ(got.out, "b'line\\n' b'second' True True\n") << got.describe() << got.err << lab.logs();
}

TEST_F(Protect, ThreadsGoOnTogether) {
  start(
      "def thread(n):\n    s = b''\n    while not os.path.exists('go-on'): s = hashlib.sha256(s).digest()\n"
      "    results[n] = 1\nresults = [0] * 3\nthreads = [threading.Thread(target=thread, args=(n,)) for n in "
      "range(3)]\n"
      "for t in threads: t.start()\nat_work_until_told()\nfor t in threads: t.join()\nprint(results)\n",
      1);
  ASSERT_TRUE(outlives_its_host()) << lab.logs();
  const Outcome got = told_to_go_on();
  EXPECT_TRUE(got.succeeded()) << got.describe() << got.err << lab.logs();
  EXPECT_EQ(got.out, "[1, 1, 1]\n");
}

TEST_F(Protect, WhatIsTooLargeForHomeHasNoImageThere) {
  start(
      "data = b'x' * (96 << 20)\nopen('at-work', 'w').close()\nwhile not os.path.exists('shrink'): work(1000)\n"
      "del data\nat_work_until_told()\nprint('went on')\n",
      1, 64);
  ASSERT_TRUE(is_at_work());
  EXPECT_TRUE(wait_until([&] { return lab.logs().find("more than the 64 MiB that home keeps") != std::string::npos; }));
  const u32 before = images();
  std::ofstream(directory_ / "shrink").close();
  ASSERT_TRUE(wait_until([&] { return images() >= before + 2; })) << lab.logs();
  kill_hosts();
  ASSERT_TRUE(comes_home()) << lab.logs();
  const Outcome got = told_to_go_on();
  EXPECT_TRUE(got.succeeded()) << got.describe() << got.err << lab.logs();
  EXPECT_EQ(got.out, "went on\n");
}

// Its only image is of before it wrote: to go on from there would write again.
TEST_F(Protect, WhatCannotBeDoneTwiceEndsIt) {
  start(
      "open('at-work', 'w').close()\nwhile not os.path.exists('write'): work(1000)\nprint('written', flush=True)\n"
      "at_work_until_told()\n",
      3600);
  ASSERT_TRUE(is_at_work());
  std::ofstream(directory_ / "write").close();
  ASSERT_TRUE(wait_until([&] { return read_file(run_directory_ / "stdout") == "written\n"; }));
  kill_hosts();
  ASSERT_TRUE(program_->wait_for_end(milliseconds(30'000))) << lab.logs();
  const Outcome got = program_->outcome();
  EXPECT_TRUE(WIFSIGNALED(got.status) && WTERMSIG(got.status) == SIGKILL) << got.describe();
  EXPECT_EQ(got.out, "written\n");
  EXPECT_NE(got.err.find("node2"), std::string::npos) << got.err;
  EXPECT_NE(got.err.find("(status 137): since its last image it has done what must not be done twice\n"),
            std::string::npos)
      << got.err;
}

}  // namespace

}  // namespace omig::test
