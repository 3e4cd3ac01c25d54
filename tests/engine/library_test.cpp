// SPDX-License-Identifier: Apache-2.0
// libomig.so in ordinary programs, and the engine's image as a program of its own.
#include <elf.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "tests/engine/away.h"

namespace omig::test {
namespace {

struct Output {
  int status = 0;
  std::string text;
};

// A command with nothing but the given environment; standard output and error together.
Output run(const std::string& command, const std::string& environment) {
  const std::string line =
      "env -i PATH=/usr/local/bin:/usr/bin:/bin HOME=/tmp " + environment + " " + command + " 2>&1";
  FILE* pipe = popen(line.c_str(), "r");
  Output output;
  char text[4096];
  while (const size_t got = fread(text, 1, sizeof text, pipe)) output.text.append(text, got);
  output.status = pclose(pipe);
  return output;
}

const std::string kPreload = std::string("LD_PRELOAD=") + OMIG_LIBRARY;

TEST(Library, ProgramsDoNotNotice) {
  const char* const commands[] = {
      "true",
      "sh -c 'exit 7'",
      "bash -c 'for i in 1 2 3; do echo $i | cat; done; (exit 3)'",
      "python3 -c 'import threading,subprocess,os\nprint(subprocess.check_output([\"echo\",\"x\"]))\n"
      "t=threading.Thread(target=lambda: print(os.path.exists(\"/\")));t.start();t.join()'",
      "perl -e 'fork; wait; print \"p\"'",
      "octave-cli --norc --eval 'disp(sum(1:10))'",
      "setarch -R true",
      "sh -c 'ulimit -n 4; ulimit -u; true'",
      "sh -c 'ulimit -s 256; true'",
      "gzip --version",
  };
  for (const char* command : commands) {
    const Output native = run(command, "");
    if (WEXITSTATUS(native.status) == 127) continue;  // not installed
    const Output preloaded = run(command, kPreload + " OMIG_DIR=/nonexistent");
    EXPECT_EQ(preloaded.status, native.status) << command;
    EXPECT_EQ(preloaded.text, native.text) << command;
  }
}

TEST(Library, TheEngineIsWhereItBelongsAndFileBacked) {
  const Output maps = run("cat /proc/self/maps", kPreload + " OMIG_DIR=/nonexistent");
  const size_t at = maps.text.find("480000000000-");
  ASSERT_NE(at, std::string::npos) << maps.text;
  const std::string line = maps.text.substr(at, maps.text.find('\n', at) - at);
  EXPECT_NE(line.find(" r-xp "), std::string::npos) << line;
  EXPECT_NE(line.find("libomig.so"), std::string::npos) << line;
  EXPECT_EQ(maps.text.find("rwx"), std::string::npos);
}

TEST(Library, DisabledOrOccupiedItDoesNothing) {
  EXPECT_EQ(run("cat /proc/self/maps", kPreload + " OMIG_DISABLE=1").text.find("480000000000-"), std::string::npos);
  // A second copy finds the place taken by the first and leaves it alone.
  const std::string copy = "/tmp/libomig-copy-" + std::to_string(getpid()) + ".so";
  std::filesystem::copy_file(OMIG_LIBRARY, copy, std::filesystem::copy_options::overwrite_existing);
  const Output both =
      run("cat /proc/self/maps", "LD_PRELOAD='" + copy + " " + OMIG_LIBRARY + "' OMIG_DIR=/nonexistent");
  std::filesystem::remove(copy);
  EXPECT_EQ(both.status, 0);
  size_t count = 0;
  for (size_t at = 0; (at = both.text.find("480000000000-", at)) != std::string::npos; ++at) ++count;
  EXPECT_EQ(count, 1u);
  EXPECT_EQ(both.text.find("48000000"), both.text.find("480000000000-"));
}

class Announcements {
 public:
  Announcements() {
    mkdir(directory.c_str(), 0700);
    fd_ = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    strcpy(address.sun_path, (directory + "/announce.sock").c_str());
    EXPECT_EQ(bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    const int one = 1;
    setsockopt(fd_, SOL_SOCKET, SO_PASSCRED, &one, sizeof one);
  }
  ~Announcements() {
    close(fd_);
    std::filesystem::remove_all(directory);
  }
  // The pid in the next datagram, if its credentials and its magic are right; 0: there is none.
  pid_t next() {
    struct {
      u32 magic;
      i32 pid;
      u32 more;
    } message{};
    iovec io{&message, sizeof message};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(ucred))];
    msghdr header{};
    header.msg_iov = &io, header.msg_iovlen = 1;
    header.msg_control = control, header.msg_controllen = sizeof control;
    if (recvmsg(fd_, &header, 0) != 8) return 0;
    const cmsghdr* c = CMSG_FIRSTHDR(&header);
    ucred credentials{};
    memcpy(&credentials, CMSG_DATA(c), sizeof credentials);
    EXPECT_EQ(message.magic, wire::kMagic);
    EXPECT_EQ(credentials.pid, message.pid);
    return message.pid;
  }
  const std::string directory = "/tmp/omig-announce-" + std::to_string(getpid());

 private:
  int fd_;
};

TEST(Library, ItAnnouncesItselfOnce) {
  Announcements announcements;
  Subject subject({"threads", "0"}, {"OMIG_DIR=" + announcements.directory});
  EXPECT_EQ(announcements.next(), subject.pid());
  EXPECT_EQ(announcements.next(), 0);
  EXPECT_EQ(descriptors(subject.pid()).size(), 3u);
}

TEST(Library, ADirectoryTooLongForASocketIsNoReasonToFail) {
  EXPECT_EQ(run("true", kPreload + " OMIG_DIR=/" + std::string(200, 'x')).status, 0);
}

TEST(Library, AFullSocketDoesNotHoldItUp) {
  Announcements announcements;
  const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  strcpy(address.sun_path, (announcements.directory + "/announce.sock").c_str());
  while (sendto(fd, "x", 1, 0, reinterpret_cast<sockaddr*>(&address), sizeof address) == 1) {
  }
  EXPECT_EQ(errno, EAGAIN);
  EXPECT_EQ(run("timeout 10 env " + kPreload + " true", "OMIG_DIR=" + announcements.directory).status, 0);
  close(fd);
}

// The engine as a program, taken over at the exec stop.
class Cell {
 public:
  Cell() {
    pid_ = fork();
    if (pid_ == 0) {
      ptrace(PTRACE_TRACEME, 0, 0, 0);
      raise(SIGSTOP);
      execl(OMIG_ENGINE, "omig-engine", nullptr);
      _exit(1);
    }
    wait_for(SIGSTOP);
    EXPECT_EQ(ptrace(PTRACE_SETOPTIONS, pid_, 0,
                     PTRACE_O_EXITKILL | PTRACE_O_TRACEEXEC | PTRACE_O_TRACECLONE | PTRACE_O_TRACESYSGOOD),
              0);
    ptrace(PTRACE_CONT, pid_, 0, 0);
    wait_for(SIGTRAP | PTRACE_EVENT_EXEC << 8);
    read_memory(pid_, kEngineHeadAddress, &head, sizeof head);
    EXPECT_EQ(head.magic, kEngineHeadMagic);
  }
  ~Cell() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, __WALL);
  }
  void wait_for(int stop) {
    int status = 0;
    ASSERT_EQ(waitpid(pid_, &status, __WALL), pid_);
    ASSERT_TRUE(WIFSTOPPED(status));
    ASSERT_EQ(status >> 8, stop);
  }
  user_regs_struct regs(pid_t tid) {
    user_regs_struct r{};
    iovec io{&r, sizeof r};
    EXPECT_EQ(ptrace(PTRACE_GETREGSET, tid, NT_PRSTATUS, &io), 0);
    return r;
  }
  // Runs from `entry` to the next stop.
  void go(u64 entry, u64 first, u64 second, u64 stack) {
    user_regs_struct r = regs(pid_);
    r.rip = entry, r.rdi = first, r.rsi = second, r.rsp = stack, r.orig_rax = ~0ull;
    iovec io{&r, sizeof r};
    ASSERT_EQ(ptrace(PTRACE_SETREGSET, pid_, NT_PRSTATUS, &io), 0);
    ASSERT_EQ(ptrace(PTRACE_CONT, pid_, 0, 0), 0);
  }
  pid_t pid_ = -1;
  EngineHead head{};
};

TEST(Cell, ABatchRunsAndStopsAtTheFirstFailure) {
  Cell cell;
  const u64 stack = cell.regs(cell.pid_).rsp & ~15ull;  // the kernel's
  const u64 at = stack - 16384;
  const BatchOp ops[] = {
      {SYS_getpid, {}, -1, 0},
      {SYS_close, {77}, -1, 1},
      {SYS_mmap,
       {0x10'0000'0000, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, ~0ull, 0},
       -1,
       0},
      {SYS_munmap, {1, 1}, -1, 0},
      {SYS_getpid, {}, -1, 0},
  };
  write_memory(cell.pid_, at, ops, sizeof ops);
  cell.go(cell.head.batch_entry, at, 5, stack - 4096);
  cell.wait_for(SIGTRAP);
  BatchOp done[5];
  read_memory(cell.pid_, at, done, sizeof done);
  EXPECT_EQ(done[0].ret, cell.pid_);
  EXPECT_EQ(done[1].ret, -EBADF);
  EXPECT_EQ(done[2].ret, 0x10'0000'0000);
  EXPECT_EQ(done[3].ret, -EINVAL);
  EXPECT_EQ(done[4].ret, -1);  // not run
}

TEST(Cell, ThreadsAreMadeParked) {
  Cell cell;
  const u64 stack = cell.regs(cell.pid_).rsp & ~15ull;
  const u64 at = stack - 16384;
  ThreadStart start{};
  start.stack = stack - 8192;
  if (getuid() == 0) start.tid = cell.pid_ + 1000 < 32000 ? cell.pid_ + 1000 : cell.pid_ - 1000;
  write_memory(cell.pid_, at, &start, sizeof start);
  cell.go(cell.head.clone_thread, at, 0, stack - 4096);
  cell.wait_for(SIGTRAP | PTRACE_EVENT_CLONE << 8);
  ptrace(PTRACE_CONT, cell.pid_, 0, 0);
  cell.wait_for(SIGTRAP);
  const u64 wanted = static_cast<u64>(start.tid);
  read_memory(cell.pid_, at, &start, sizeof start);
  ASSERT_GT(start.ret, 0);
  if (wanted != 0) {
    EXPECT_EQ(start.ret, static_cast<long>(wanted));
  }
  const pid_t tid = static_cast<pid_t>(start.ret);
  int status = 0;
  ASSERT_EQ(waitpid(tid, &status, __WALL), tid);
  ASSERT_TRUE(WIFSTOPPED(status));
  if (WSTOPSIG(status) == SIGSTOP) {
    ptrace(PTRACE_CONT, tid, 0, 0);
    ASSERT_EQ(waitpid(tid, &status, __WALL), tid);
  }
  EXPECT_EQ(status >> 8, SIGTRAP);
  const user_regs_struct r = cell.regs(tid);
  EXPECT_EQ(r.rsp, stack - 8192);
  EXPECT_EQ(r.rax, 0u);
  EXPECT_EQ(tasks(cell.pid_).size(), 2u);
  kill(cell.pid_, SIGKILL);
  waitpid(tid, &status, __WALL);
}

}  // namespace
}  // namespace omig::test
