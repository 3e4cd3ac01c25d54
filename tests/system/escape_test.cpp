// SPDX-License-Identifier: Apache-2.0
// Hostile guests (subjects/hostile.cpp) on a node that has something to lose. What they may reach is their home's; of
// the visited node nothing: no file, no socket, no process, none of its calls. docs/THREATS.md says which claim is
// shown where.
//
// Home and the visited node are one machine here, so what is planted differs from node to node: a file of the same name
// with other contents, sockets in the other network. What no call can tell apart is looked at from outside: namespaces,
// capabilities, descriptors.
#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <sstream>

#include "tests/system/compare.h"
#include "tests/system/fifos.h"
#include "tests/system/subjects/hostile.h"

namespace omig::test {

namespace {

constexpr milliseconds kAttackLimit{400'000};

// One field of /proc/PID/status.
std::string status_field(pid_t pid, const std::string& name) {
  std::istringstream lines(read_file(fmt::format("/proc/{}/status", pid)));
  for (std::string line; std::getline(lines, line);)
    if (line.starts_with(name + ":\t")) return line.substr(name.size() + 2);
  return "";
}

// Every process in a pid namespace of its own: the guests of all labs' nodes, and pid 1 of each.
std::vector<pid_t> all_guests() {
  std::vector<pid_t> pids;
  for (const auto& entry : fs::directory_iterator("/proc"))
    if (const pid_t pid = atoi(entry.path().filename().c_str()); pid > 0 && is_alive(pid) && !is_native(pid))
      pids.push_back(pid);
  return pids;
}

std::string space_of(pid_t pid, const char* name) {
  std::error_code error;
  return fs::read_symlink(fmt::format("/proc/{}/ns/{}", pid, name), error);
}

// As the guest's own user may: we may be a root without CAP_SYS_RESOURCE.
bool limit_tasks(pid_t guest, rlim_t most) {
  const uid_t id = static_cast<uid_t>(std::stoul(status_field(guest, "Uid")));
  const pid_t child = fork();
  if (child == 0) {
    const rlimit limit{most, 4000};
    _exit(setresgid(id, id, id) == 0 && setresuid(id, id, id) == 0 && prlimit(guest, RLIMIT_NPROC, &limit, nullptr) == 0
              ? 0
              : 1);
  }
  int status = 1;
  waitpid(child, &status, 0);
  return status == 0;
}

std::vector<pid_t> in_spaces(const std::set<std::string>& pid_spaces) {
  std::vector<pid_t> pids = all_guests();
  std::erase_if(pids, [&](pid_t pid) { return !pid_spaces.contains(space_of(pid, "pid")); });
  return pids;
}

// A process of the visited node that listens wherever one can, and tells whoever comes. Its exit status: how many came.
class Keeper {
 public:
  Keeper(pid_t on_node, const fs::path& path) {
    int ready[2];
    if (pipe2(ready, O_CLOEXEC) != 0) throw std::runtime_error("pipe");
    pid_ = fork();
    if (pid_ == 0) keep(on_node, path, ready[1]);
    close(ready[1]);
    char byte = 0;
    const bool ok = read(ready[0], &byte, 1) == 1;
    close(ready[0]);
    if (!ok) throw std::runtime_error("the sockets of the visited node cannot be made");
  }
  ~Keeper() {
    if (pid_ > 0) finish();
  }
  int finish() {
    kill(pid_, SIGTERM);
    int status = 0;
    waitpid(std::exchange(pid_, -1), &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

 private:
  static volatile sig_atomic_t over;

  [[noreturn]] static void keep(pid_t on_node, const fs::path& path, int ready) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    struct sigaction action {};
    action.sa_handler = [](int) { over = 1; };
    sigaction(SIGTERM, &action, nullptr);
    const int space = open(fmt::format("/proc/{}/ns/net", on_node).c_str(), O_RDONLY | O_CLOEXEC);
    if (setns(space, CLONE_NEWNET) != 0) _exit(200);
    sockaddr_in inet{};
    inet.sin_family = AF_INET;
    inet.sin_port = htons(kSecretPort);
    inet.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    sockaddr_un abstract{}, named{};
    abstract.sun_family = named.sun_family = AF_UNIX;
    memcpy(abstract.sun_path + 1, kSecretSocket, strlen(kSecretSocket));
    path.native().copy(named.sun_path, sizeof named.sun_path - 1);
    const auto abstract_bytes = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + strlen(kSecretSocket));
    pollfd sockets[3];
    int count = 0;
    for (const auto& [address, bytes] :
         {std::pair<const void*, socklen_t>{&inet, sizeof inet}, {&abstract, abstract_bytes}, {&named, sizeof named}}) {
      const auto* at = static_cast<const sockaddr*>(address);
      const int fd = socket(at->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
      if (bind(fd, at, bytes) != 0 || listen(fd, 8) != 0) _exit(201);
      sockets[count++] = {fd, POLLIN, 0};
    }
    chmod(path.c_str(), 0777);
    if (write(ready, "r", 1) != 1) _exit(202);
    int came = 0;
    while (over == 0) {
      if (poll(sockets, 3, -1) <= 0) continue;
      for (const pollfd& each : sockets) {
        if ((each.revents & POLLIN) == 0) continue;
        const int fd = accept(each.fd, nullptr, nullptr);
        (void)!write(fd, kSecret, strlen(kSecret));
        close(fd);
        ++came;
      }
    }
    _exit(std::min(came, 100));
  }

  pid_t pid_ = -1;
};
volatile sig_atomic_t Keeper::over = 0;

class Escape : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "not root: two nodes of one user have the same files and sockets to reach";
    if (!lab.has_namespaces()) GTEST_SKIP() << "no namespaces here: the nodes have the same files and sockets";
    for (int node : {1, 2}) {
      const fs::path directory = lab.state_dir(node) / "private";
      for (const auto& [name, mode] :
           {std::pair{"secret", 0666}, std::pair{"program", 0777}, std::pair{"hidden", 0600}}) {
        std::ofstream(directory / name) << (node == 2 || mode == 0600 ? kSecret : "of home");
        fs::permissions(directory / name, static_cast<fs::perms>(mode));
      }
    }
    keeper.emplace(lab.homed(2), lab.state_dir(2) / "private/socket");
    before = planted();
  }

  // All there is to change in the visited node's directory.
  std::string planted() const {
    std::string text;
    std::map<std::string, std::string> files;
    for (const auto& entry : fs::directory_iterator(lab.state_dir(2) / "private")) {
      struct stat st {};
      lstat(entry.path().c_str(), &st);
      files[entry.path().filename()] =
          fmt::format("{:o} {} {} {}.{}", st.st_mode, st.st_uid, st.st_size, st.st_mtim.tv_sec, st.st_mtim.tv_nsec) +
          (entry.is_regular_file() ? read_file(entry.path()) : "");
    }
    for (const auto& [name, what] : files) text += name + " " + what + "\n";
    return text;
  }

  // A guest of somebody else is on the node all the while, and must end as natively.
  void beside_another_guest(const std::function<void()>& attack) {
    const Command other{.words = {build_path("tests/programs/files_corners")}};
    MovePlan plan;
    plan.seed = run_seed();
    plan.limit = kAttackLimit;
    plan.instead = [&](pid_t pid) -> std::string {
      if (std::string trouble = migrate(lab, pid, "node2"); !trouble.empty()) return trouble;
      others = lab.hosts(2);
      attack();
      const std::string where = lab.omctl(1, {"where", std::to_string(pid)}).out;
      return where == "node2\n" ? "" : "the other guest is on \"" + where + "\"";
    };
    const MovedRun want = run_program(other, Flavour::native, nullptr, {});
    const MovedRun got = run_program(other, Flavour::moved, &lab, plan);
    const std::string problems = differences(got, want);
    EXPECT_EQ(problems, "") << circumstances(got, &lab);
    expect_untouched();
  }

  void expect_untouched() {
    EXPECT_EQ(planted(), before) << "the visited node's files have changed";
    EXPECT_EQ(keeper->finish(), 0) << "somebody reached the visited node's sockets";
    EXPECT_EQ(lab.health(), "");
    const auto end = Clock::now() + std::chrono::seconds(20);
    while (!(lab.hosts(2).empty() && in_spaces(spaces).empty()) && Clock::now() < end) poll(nullptr, 0, 20);
    EXPECT_TRUE(lab.hosts(2).empty()) << "a host is left";
    EXPECT_EQ(in_spaces(spaces), std::vector<pid_t>()) << "processes are left in the guests' namespaces";
  }

  // A hostile program: `at_ready` is called for each of its announcements with its number and its pid.
  Outcome attack(const std::string& mode, const std::function<void(int, pid_t)>& at_ready, int node = 1) {
    const fs::path directory = fresh_directory("hostile");
    fs::permissions(directory, fs::perms::owner_all | fs::perms::group_exec | fs::perms::others_exec);
    Fifos fifos(directory);
    Child child({.words = lab.on_node(
                     node, {build_path("tests/system/subject_hostile"), mode, lab.private_directory() / "secret"}),
                 .environment = {{"OMIG_TEST_FIFOS", directory}}},
                directory);
    const auto end = Clock::now() + kAttackLimit;
    int announcements = 0;
    while (!child.ended() && Clock::now() < end) {
      pollfd polled[2] = {{fifos.ready_fd(), POLLIN, 0}, {child.pidfd(), POLLIN, 0}};
      poll(polled, 2, 200);
      for (Ready ready; fifos.next(&ready);) {
        at_ready(announcements++, ready.pid);
        fifos.go(1);
      }
    }
    return child.outcome();
  }

  void move_away(pid_t pid) {
    EXPECT_EQ(migrate(lab, pid, "node2"), "");
    EXPECT_FALSE(guests_of_newest().empty());
  }

  // The processes of the newest visit on node 2: its pid 1, and the guests.
  std::vector<pid_t> guests_of_newest() {
    std::vector<pid_t> hosts = lab.hosts(2), result;
    std::erase_if(hosts, [&](pid_t pid) { return std::ranges::find(others, pid) != others.end(); });
    if (hosts.size() != 1) return {};
    for (const pid_t pid : all_guests())
      if (status_field(pid, "Uid") == status_field(hosts.front(), "Uid")) result.push_back(pid);
    for (const pid_t pid : result) spaces.insert(space_of(pid, "pid"));
    return result;
  }
  pid_t newest_host() const {
    std::vector<pid_t> hosts = lab.hosts(2);
    std::erase_if(hosts, [&](pid_t pid) { return std::ranges::find(others, pid) != others.end(); });
    return hosts.size() == 1 ? hosts.front() : 0;
  }

  Lab lab{2};
  std::optional<Keeper> keeper;
  std::string before;
  std::set<std::string> spaces;  // pid namespaces of the guests that were seen
  std::vector<pid_t> others;     // hosts that serve other guests
};

class EveryCall : public Escape, public testing::WithParamInterface<const char*> {};

TEST_P(EveryCall, ReachesNothing) {
  beside_another_guest([&] {
    const Outcome outcome = attack(GetParam(), [&](int count, pid_t pid) {
      if (count == 0) move_away(pid);
    });
    EXPECT_TRUE(outcome.succeeded()) << outcome.describe() << "\n" << outcome.out << outcome.err << lab.logs();
  });
}

INSTANTIATE_TEST_SUITE_P(Doors, EveryCall, testing::Values("raw", "engine", "patched", "x32", "places", "sockets"),
                         [](const auto& info) { return std::string(info.param); });

// That the attacks would find what is there: the same program as a native of that node.
TEST_F(Escape, ANativeFindsItAll) {
  for (const char* mode : {"raw", "sockets"}) {
    const Outcome outcome = attack(
        mode, [](int, pid_t) {}, 2);
    EXPECT_TRUE(WIFEXITED(outcome.status) && WEXITSTATUS(outcome.status) == kGot)
        << mode << ": " << outcome.describe() << "\n"
        << outcome.out << outcome.err;
  }
  EXPECT_EQ(keeper->finish(), 1);
}

TEST_F(Escape, ForgedAnswersShowNoMemoryOfTheHost) {
  beside_another_guest([&] {
    const Outcome outcome = attack("forge", [&](int, pid_t pid) { move_away(pid); });
    EXPECT_FALSE(WIFEXITED(outcome.status) && WEXITSTATUS(outcome.status) == kGot) << outcome.out << outcome.err;
    EXPECT_FALSE(outcome.timed_out);
    EXPECT_TRUE(WIFSIGNALED(outcome.status) && WTERMSIG(outcome.status) == SIGKILL)
        << "the host believed a forged answer: " << outcome.describe() << "\n"
        << outcome.out << outcome.err;
  });
}

TEST_F(Escape, NoBirthWithoutTheHost) {
  beside_another_guest([&] {
    const Outcome outcome = attack("births", [&](int count, pid_t pid) {
      if (count == 0) move_away(pid);
      for (const pid_t guest : guests_of_newest()) {
        if (status_field(guest, "NSpid").ends_with("\t1")) continue;
        EXPECT_TRUE(limit_tasks(guest, count == 1 ? 1 : 1000));
        EXPECT_EQ(status_field(guest, "CapEff"), "0000000000000000");
      }
    });
    EXPECT_TRUE(outcome.succeeded()) << outcome.describe() << "\n" << outcome.out << outcome.err << lab.logs();
  });
}

// Seen from outside, while it runs there.
TEST_F(Escape, TheRoomHasNoDoor) {
  beside_another_guest([&] {
    const Outcome outcome = attack("wait", [&](int count, pid_t pid) {
      if (count != 0) return;
      move_away(pid);
      const pid_t host = newest_host();
      ASSERT_GT(host, 0);
      const std::string none = "0000000000000000";
      const std::vector<pid_t> guests = guests_of_newest();
      ASSERT_EQ(guests.size(), 2u) << "its pid 1 and itself";
      for (const pid_t guest : guests) {
        const bool init = status_field(guest, "NSpid").ends_with("\t1");
        SCOPED_TRACE(init ? "pid 1" : "the guest");
        for (const char* space : {"user", "pid", "mnt", "net", "ipc", "uts", "time", "cgroup"})
          EXPECT_NE(space_of(guest, space), space_of(lab.homed(2), space)) << space;
        EXPECT_EQ(status_field(guest, "CapEff"), init ? "0000010000000000" : none);  // CAP_CHECKPOINT_RESTORE
        EXPECT_EQ(status_field(guest, "NoNewPrivs"), "1");
        EXPECT_EQ(status_field(guest, "Seccomp"), "2");
        EXPECT_EQ(status_field(guest, "Groups").find_first_not_of(' '), std::string::npos);
        EXPECT_EQ(read_file(fmt::format("/proc/{}/environ", guest)).find(lab.state_dir(2)), std::string::npos);
        EXPECT_TRUE(fs::is_empty(fmt::format("/proc/{}/root/", guest)));
        EXPECT_NE(read_file(fmt::format("/proc/{}/mountinfo", guest)).find(" ro,nosuid,nodev,noexec"),
                  std::string::npos);
        if (init) continue;
        EXPECT_EQ(status_field(guest, "CapBnd"), none);
        EXPECT_EQ(status_field(guest, "CapAmb"), none);
        EXPECT_TRUE(fs::is_empty(fmt::format("/proc/{}/fd", guest))) << "it has a descriptor of this node";
        EXPECT_EQ(read_file(fmt::format("/proc/{}/limits", guest)).find("Max processes             unlimited"),
                  std::string::npos);
        // Root's alone on both nodes, and the same: whoever only knows its contents must not learn that.
        EXPECT_EQ(read_file(fmt::format("/proc/{}/maps", guest)).find("/hidden"), std::string::npos)
            << "it maps a file of the visited node that it may not read";
      }
      EXPECT_EQ(status_field(host, "CapEff"), none);
      EXPECT_EQ(status_field(host, "CapPrm"), none);
      EXPECT_EQ(status_field(host, "NoNewPrivs"), "1");
      EXPECT_EQ(status_field(host, "Seccomp"), "2");
      EXPECT_GE(std::stoul(status_field(host, "Uid")), 1'900'000'000u);
      EXPECT_EQ(status_field(host, "Groups").find_first_not_of(' '), std::string::npos);
    });
    EXPECT_TRUE(outcome.succeeded()) << outcome.describe() << "\n" << outcome.out << outcome.err;
  });
}

}  // namespace

}  // namespace omig::test
