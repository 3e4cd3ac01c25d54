// SPDX-License-Identifier: Apache-2.0
// What runs out: the disk at home, the disk that homed keeps its state on, the memory of the node that is to be
// visited. The program must see what it sees natively, or go on where it is; whoever asked for the move gets one line.
#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include "lib/image/anchor.h"
#include "tests/system/compare.h"
#include "tests/system/mover.h"
#include "tests/system/refused.h"

namespace omig::test {

namespace {

constexpr u64 kMiB = 1 << 20;

std::string subject(const std::string& name) { return build_path("tests/system/subject_" + name); }

// ---- disks

// A small file system of memory, as long as this lives.
class SmallDisk {
 public:
  SmallDisk(const std::string& name, const char* size) : place_(fresh_directory(name)) {
    mounted_ = mount("none", place_.c_str(), "tmpfs", MS_NOSUID | MS_NODEV, fmt::format("size={}", size).c_str()) == 0;
  }
  ~SmallDisk() {
    if (mounted_) umount2(place_.c_str(), MNT_DETACH);
  }
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;
  bool mounted() const { return mounted_; }
  const fs::path& place() const { return place_; }

  // Until not a byte fits any more.
  void fill() const {
    int fd = open((place_ / "filler").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    std::string piece(65'536, 'x');
    for (size_t size = piece.size(); size > 0; size /= 2)
      while (write(fd, piece.data(), size) > 0) {
      }
    close(fd);
  }
  void make_room() const { fs::remove(place_ / "filler"); }

 private:
  fs::path place_;
  bool mounted_ = false;
};

TEST(FullDisk, AtHomeIsSeenAsNatively) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root to mount a small file system";
  SmallDisk disk("full-disk", "300k");
  ASSERT_TRUE(disk.mounted()) << strerror(errno);
  Lab lab(3);  // its nodes see what was mounted before them
  Command program{.words = {subject("full_disk"), disk.place()}};
  MovedRun want = run_program(program, Flavour::native, nullptr, {});
  ASSERT_TRUE(want.outcome.succeeded()) << want.outcome.describe() << want.outcome.err;
  ASSERT_NE(want.outcome.out.find("No space left"), std::string::npos) << want.outcome.out;
  for (Flavour flavour : {Flavour::away, Flavour::moved}) {
    MovePlan plan;
    plan.seed = run_seed();
    MovedRun got = run_program(program, flavour, &lab, plan);
    EXPECT_EQ(differences(got, want), "") << circumstances(got, &lab);
  }
}

// Every file that the daemons and the hosts write during a move lies on the full disk: state, caches, logs.
TEST(FullDisk, UnderTheStateDirectoriesEndsNoMoveBadly) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root to mount a small file system";
  SmallDisk disk("full-state", "8m");
  ASSERT_TRUE(disk.mounted()) << strerror(errno);
  Lab lab(3, {}, disk.place());
  const Command program = worker();
  MovedRun want = run_program(program, Flavour::native, nullptr, {});
  MovePlan plan;
  plan.seed = run_seed();
  plan.instead = [&](pid_t pid) -> std::string {
    std::string id = std::to_string(pid);
    auto move = [&](const std::string& target) { return answer_to_migrate(lab, pid, target); };
    disk.fill();
    // It may be made or refused; refused means: where it was, and a line that says what is full and where.
    Outcome out = move("node2");
    if (!out.succeeded()) {
      if (std::string wrong = not_refused(out, "No space left"); !wrong.empty()) return wrong;
      if (out.err.find(disk.place()) == std::string::npos) return "it does not say where: " + out.err;
      if (out.err.find("node2") == std::string::npos) return "it does not say whose disk: " + out.err;
      if (lab.omctl(1, {"where", id}).out != "node1\n") return "it is not where it was";
    }
    disk.make_room();
    if (std::string trouble = migrate(lab, pid, "node2"); !trouble.empty()) return "with room again: " + trouble;
    disk.fill();
    // On its way back it needs no disk at all.
    if (Outcome back = move("home"); !back.succeeded()) return "home with a full disk: " + back.err;
    disk.make_room();
    if (std::string trouble = migrate(lab, pid, "node3"); !trouble.empty()) return "after all that: " + trouble;
    return "";
  };
  MovedRun got = run_program(program, Flavour::moved, &lab, plan);
  EXPECT_EQ(differences(got, want), "") << circumstances(got, &lab);
  EXPECT_EQ(lab.health(), "");
}

// ---- memory

void write_text(const fs::path& file, const std::string& text) { std::ofstream(file) << text << std::flush; }

// A memory cgroup of our own (v1 or v2), which a node's daemon is put into: what it starts is in there as well.
class SmallMemory {
 public:
  explicit SmallMemory(u64 bytes) {
    std::string name = fmt::format("omig-test-{}", getpid());
    for (auto [root, limit, usage] :
         {std::tuple("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
          std::tuple("/sys/fs/cgroup", "memory.max", "memory.current"),
          std::tuple("/sys/fs/cgroup/unified", "memory.max", "memory.current")}) {
      write_text(fs::path(root) / "cgroup.subtree_control", "+memory");
      fs::path place = fs::path(root) / name;
      std::error_code error;
      if (!fs::create_directory(place, error)) continue;
      if (fs::exists(place / limit)) {
        place_ = place, limit_ = place / limit, usage_ = place / usage;
        set_limit(bytes);
        return;
      }
      fs::remove(place, error);
    }
  }
  ~SmallMemory() {
    if (place_.empty()) return;
    // Who was in there has been killed, but may not be gone yet.
    auto end = Clock::now() + std::chrono::seconds(10);
    while (rmdir(place_.c_str()) != 0 && errno == EBUSY && Clock::now() < end) poll(nullptr, 0, 10);
  }
  SmallMemory(const SmallMemory&) = delete;
  SmallMemory& operator=(const SmallMemory&) = delete;
  bool exists() const { return !place_.empty(); }
  void take(pid_t pid) const { write_text(place_ / "cgroup.procs", std::to_string(pid)); }
  bool has(pid_t pid) const {
    return ("\n" + read_file(place_ / "cgroup.procs")).find(fmt::format("\n{}\n", pid)) != std::string::npos;
  }
  void set_limit(u64 bytes) const { write_text(limit_, std::to_string(bytes)); }
  u64 left() const {
    u64 limit = number_in(limit_), used = number_in(usage_);
    return limit > used ? limit - used : 0;
  }

 private:
  fs::path place_, limit_, usage_;
};

// Somebody else in that cgroup who takes memory: in a file of memory that nobody has mapped, so that he is a small
// process, and not the one to be killed for it.
class Hog {
 public:
  Hog(const SmallMemory& memory, u64 bytes) {
    int said[2];
    if (pipe2(said, O_CLOEXEC) != 0) return;
    pid_ = fork();
    if (pid_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      memory.take(getpid());
      bool got = fallocate(memfd_create("hog", 0), 0, 0, static_cast<off_t>(bytes)) == 0;
      if (write(said[1], got ? "y" : "n", 1) != 1) _exit(1);
      for (;;) pause();
    }
    close(said[1]);
    char answer = 'n';
    fed_ = read(said[0], &answer, 1) == 1 && answer == 'y';
    close(said[0]);
  }
  ~Hog() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  Hog(const Hog&) = delete;
  Hog& operator=(const Hog&) = delete;
  bool fed() const { return fed_; }

 private:
  pid_t pid_ = -1;
  bool fed_ = false;
};

// Its engine's memory is mapped by the mover that has it frozen, never before.
bool was_ever_frozen(pid_t pid) {
  return read_file(fmt::format("/proc/{}/maps", pid)).find(fmt::format("{:x}-", kAnchorAddress)) != std::string::npos;
}

class SmallNode : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root to make a memory cgroup";
    if (!memory.exists()) GTEST_SKIP() << "no memory cgroup can be made here";
    lab = std::make_unique<Lab>(3);
  }

  void limit_node3() { memory.take(lab->homed(3)); }

  void expect_unharmed(int mib, std::function<std::string(pid_t)> act) {
    const Command program{.words = {subject("pieces"), std::to_string(mib)}};
    const std::string wrong = unlike_native(program, program, *lab, std::move(act));
    EXPECT_TRUE(wrong.empty()) << wrong;
    EXPECT_EQ(lab->health(), "");
  }

  SmallMemory memory{256 * kMiB};
  std::unique_ptr<Lab> lab;  // ends before the cgroup that its processes are in
};

TEST_F(SmallNode, RefusesBeforeTheFreeze) {
  limit_node3();
  expect_unharmed(300, [&](pid_t pid) -> std::string {
    const Outcome out = answer_to_migrate(*lab, pid, "node3");
    if (std::string wrong = not_refused(out, "node3 has not enough memory"); !wrong.empty()) return wrong;
    if (was_ever_frozen(pid)) return "it was frozen for a move that could not be";
    memory.set_limit(1024 * kMiB);
    return migrate(*lab, pid, "node3");
  });
}

TEST_F(SmallNode, RunsOutOfMemoryWhileThePagesArrive) {
  lab->kill_homed(3);
  lab->restart_homed(3, "arrive-placed:stop");
  limit_node3();
  memory.set_limit(400 * kMiB);
  expect_unharmed(200, [&](pid_t pid) -> std::string {
    std::string trouble;
    const auto mover = migrate_until_stopped(*lab, pid, "node3", 3, &trouble);
    if (!mover) return trouble;
    const pid_t host = stopped_host(*lab, 3);
    if (!memory.has(host)) return "the host is not in the cgroup";
    {
      u64 left = memory.left();
      if (left < 150 * kMiB) return fmt::format("too little left for this test: {} MiB", left / kMiB);
      Hog hog(memory, left - 80 * kMiB);
      if (!hog.fed()) return "nobody could take the memory";
      kill(host, SIGCONT);
      if (!mover->wait_for_end(milliseconds(60'000))) return "migrate never ended";
      if (std::string wrong = not_refused(mover->outcome(), "killed on node3 while it arrived"); !wrong.empty())
        return wrong;
      if (lab->omctl(1, {"where", std::to_string(pid)}).out != "node1\n") return "it is not where it was";
    }
    if (std::string sick = lab->health(); sick.empty()) lab->kill_homed(3);
    lab->restart_homed(3);
    return migrate(*lab, pid, "node3");
  });
}

}  // namespace

}  // namespace omig::test
