// SPDX-License-Identifier: Apache-2.0
// Machines and programs that stand still for longer than any time-out in the middle of a move. Afterwards the move is
// made or refused, and nothing is lost.
#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "tests/system/compare.h"
#include "tests/system/mover.h"
#include "tests/system/refused.h"
#include "tests/system/wait.h"

namespace omig::test {

namespace {

// Longer than what a healthy deputy gets for an answer (kQuick) and than homed waits for a peer.
constexpr milliseconds kStandstill{5'500};

// All processes of a lab, which the kernel can freeze as a whole: to them it is as if the machine had stood still.
class Freezer {
 public:
  explicit Freezer(const Lab& lab) {
    auto json = nlohmann::json::parse(read_file(lab.directory() / "lab.json"), nullptr, false);
    lab_ = json.value("cgroup", "");
    if (lab_.empty()) return;
    if (fs::exists(lab_ / "cgroup.freeze")) {  // v2: the lab's own cgroup can do it
      freezer_ = lab_, v2_ = true;
      return;
    }
    fs::path place = fs::path("/sys/fs/cgroup/freezer") / fmt::format("omig-test-{}", getpid());
    std::error_code error;
    if (fs::create_directory(place, error)) freezer_ = place;
  }
  ~Freezer() {
    if (freezer_.empty() || v2_) return;
    std::istringstream members(read_file(freezer_ / "cgroup.procs"));
    for (std::string pid; members >> pid;) write_text(freezer_.parent_path() / "cgroup.procs", pid);
    rmdir(freezer_.c_str());
  }
  Freezer(const Freezer&) = delete;
  Freezer& operator=(const Freezer&) = delete;
  bool exists() const { return !freezer_.empty(); }

  // v1's freezer has a hierarchy of its own: who is in the lab has to be put into it; their children follow.
  void take_everybody() const {
    if (v2_) return;
    for (const auto& entry : fs::recursive_directory_iterator(lab_)) {
      if (entry.path().filename() != "cgroup.procs") continue;
      std::istringstream members(read_file(entry.path()));
      for (std::string pid; members >> pid;) write_text(freezer_ / "cgroup.procs", pid);
    }
  }
  // While this lives everybody stands still (threads in a call that only the host can answer do so anyway). Who thaws
  // them is a process of its own, when its pipe ends: also when we are killed, for nobody can kill what is frozen.
  class Standstill {
   public:
    explicit Standstill(const Freezer& freezer) {
      int ends[2];
      if (pipe2(ends, O_CLOEXEC) != 0) return;
      freezer.set(true);
      guard_ = fork();
      if (guard_ == 0) {
        setsid();
        close(ends[1]);
        char byte;
        while (read(ends[0], &byte, 1) < 0 && errno == EINTR) {
        }
        freezer.set(false);
        _exit(0);
      }
      close(ends[0]);
      end_ = ends[1];
    }
    ~Standstill() {
      close(end_);
      waitpid(guard_, nullptr, 0);
    }
    Standstill(const Standstill&) = delete;
    Standstill& operator=(const Standstill&) = delete;

   private:
    pid_t guard_ = -1;
    int end_ = -1;
  };

 private:
  void set(bool frozen) const {
    if (v2_)
      write_text(freezer_ / "cgroup.freeze", frozen ? "1" : "0");
    else
      write_text(freezer_ / "freezer.state", frozen ? "FROZEN" : "THAWED");
  }
  static void write_text(const fs::path& file, const std::string& text) { std::ofstream(file) << text << std::flush; }
  fs::path lab_, freezer_;
  bool v2_ = false;
};

class Stall : public testing::Test {
 protected:
  Lab lab{3};

  std::string where(pid_t pid) { return lab.omctl(1, {"where", std::to_string(pid)}).out; }

  void expect_survives(std::function<std::string(pid_t)> act) {
    const std::string wrong = unlike_native(worker(), worker(), lab, std::move(act));
    EXPECT_TRUE(wrong.empty()) << wrong;
  }
};

// After `running` was sent nobody but the deputy knows whether the program has moved. It takes its time here.
TEST_F(Stall, ADeputyThatConfirmsLateIsWaitedFor) {
  lab.kill_homed(2);
  lab.restart_homed(2, "arrive-before-commit:stop");
  expect_survives([&](pid_t pid) -> std::string {
    std::string trouble;
    const auto mover = migrate_until_stopped(lab, pid, "node2", 2, &trouble);
    if (!mover) return trouble;
    kill(pid, SIGSTOP);
    if (!wait_until([&] { return is_stopped(pid); })) return "the deputy did not stop";
    kill(stopped_host(lab, 2), SIGCONT);
    if (mover->wait_for_end(kStandstill)) return "nobody waited for the deputy: " + mover->outcome().err;
    kill(pid, SIGCONT);
    if (!mover->wait_for_end(milliseconds(30'000))) return "migrate never ended";
    if (!mover->outcome().succeeded()) return mover->outcome().err;
    return where(pid) == "node2\n" ? "" : "it is on " + where(pid);
  });
}

TEST_F(Stall, AMachineThatStandsStillDuringAMoveLosesNothing) {
  Freezer freezer(lab);
  if (!freezer.exists()) GTEST_SKIP() << "there is no cgroup here whose processes can be frozen";
  std::mt19937_64 random(run_seed());
  expect_survives([&](pid_t pid) -> std::string {
    freezer.take_everybody();
    for (const char* target : {"node2", "node3", "home"}) {
      const auto mover = start_migrate(lab, pid, target);
      mover->wait_for_end(milliseconds(random() % 20));
      {
        Freezer::Standstill standstill(freezer);
        if (!lab.omctl(1, {"where", std::to_string(pid)}, kStandstill).timed_out) return "nobody stood still";
      }
      if (!mover->wait_for_end(milliseconds(60'000))) return "migrate never ended";
      // A refusal is allowed, but it must be one, and the next attempt must succeed.
      if (!mover->outcome().succeeded())
        if (std::string wrong = not_refused(mover->outcome(), ""); !wrong.empty()) return wrong;
      if (!is_alive(pid)) return fmt::format("it was lost on its way to {}", target);
      if (std::string trouble = migrate(lab, pid, target); !trouble.empty())
        return fmt::format("to {} after the standstill: {}", target, trouble);
    }
    return "";
  });
}

}  // namespace

}  // namespace omig::test
