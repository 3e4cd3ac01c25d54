// SPDX-License-Identifier: Apache-2.0
// Rows that are code: terminals, locks, waiting, timers, System V objects, and what has to come home.
#include <asm/unistd.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/mempolicy.h>
#include <poll.h>
#include <pty.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>

#include <string>
#include <vector>

#include "tests/unit/syscalls_deputy.h"

namespace omig::syscalls {
namespace {

class Special : public Guest {
 protected:
  void SetUp() override { ASSERT_EQ(pipe(pipes), 0); }
  void TearDown() override {
    close(pipes[0]);
    close(pipes[1]);
  }
  int pipes[2];
};

TEST_F(Special, Terminals) {
  int master, slave;
  const winsize size{24, 80, 1, 2};
  ASSERT_EQ(openpty(&master, &slave, nullptr, nullptr, &size), 0);
  winsize got{};
  EXPECT_EQ(call(__NR_ioctl, slave, TIOCGWINSZ, &got), 0);
  EXPECT_EQ(memcmp(&got, &size, sizeof(size)), 0);
  const winsize wider{50, 200, 0, 0};
  EXPECT_EQ(call(__NR_ioctl, master, TIOCSWINSZ, &wider), 0);
  EXPECT_EQ(sent().flags, 0u);
  EXPECT_EQ(call(__NR_ioctl, slave, TCFLSH, TCIFLUSH), 0);
  EXPECT_EQ(sent().flags, wire::kCallMindsBackground);
  EXPECT_EQ(call(__NR_ioctl, slave, TIOCGWINSZ, &got), 0);
  EXPECT_EQ(got.ws_col, 200);
  // The kernel's structure is shorter than glibc's: what lies behind it stays.
  struct {
    u8 kernel[36], guard[28];
  } mine, theirs;
  memset(&mine, '#', sizeof(mine));
  memset(&theirs, '#', sizeof(theirs));
  EXPECT_EQ(call(__NR_ioctl, slave, TCGETS, &mine), 0);
  EXPECT_EQ(native(__NR_ioctl, slave, TCGETS, &theirs), 0);
  EXPECT_EQ(memcmp(&mine, &theirs, sizeof(mine)), 0);
  mine.kernel[12] &= static_cast<u8>(~ECHO);
  EXPECT_EQ(call(__NR_ioctl, slave, TCSETS, &mine), 0);
  termios now{};
  tcgetattr(slave, &now);
  EXPECT_EQ(now.c_lflag & ECHO, 0u);
  unsigned number = ~0u;
  EXPECT_EQ(call(__NR_ioctl, master, TIOCGPTN, &number), 0);
  EXPECT_EQ("/dev/pts/" + std::to_string(number), std::string(ttyname(slave)));
  EXPECT_EQ(call(__NR_ioctl, pipes[0], TCGETS, &mine), -ENOTTY);
  EXPECT_EQ(call(__NR_ioctl, slave, TIOCGWINSZ, nullptr), -EFAULT);
  EXPECT_EQ(call(__NR_ioctl, slave, TIOCGWINSZ, kernel_address()), -EFAULT);
  EXPECT_EQ(call(__NR_ioctl, pipes[0], FIOCLEX), 0);
  EXPECT_EQ(fcntl(pipes[0], F_GETFD), FD_CLOEXEC);
  // What the register held is not an address of the deputy's.
  EXPECT_EQ(call(__NR_ioctl, pipes[0], FIONCLEX, &got), 0);
  EXPECT_NE(sent().args[2], reinterpret_cast<u64>(&got));
  close(master);
  close(slave);
}

TEST_F(Special, FileRequests) {
  const int fd = open("/tmp", O_RDONLY | O_TMPFILE | O_RDWR, 0600);
  if (fd < 0) GTEST_SKIP() << "/tmp has no O_TMPFILE";
  int block_bytes = 0;
  struct {
    int flags, guard;
  } mine{-1, 4711}, theirs{-1, 4711};
  expect_as_native(__NR_ioctl, fd, FIGETBSZ, &block_bytes);
  expect_as_native(__NR_ioctl, fd, FS_IOC_GETFLAGS, &mine);
  EXPECT_EQ(call(__NR_ioctl, fd, FS_IOC_GETFLAGS, &mine), native(__NR_ioctl, fd, FS_IOC_GETFLAGS, &theirs));
  EXPECT_EQ(mine.flags, theirs.flags);
  EXPECT_EQ(mine.guard, 4711) << "the request says long, the kernel writes an int";
  EXPECT_EQ(call(__NR_ioctl, fd, FICLONE, pipes[0]), native(__NR_ioctl, fd, FICLONE, pipes[0]));
  close(fd);
}

TEST_F(Special, UnknownRequestsComeHome) {
  u64 something[8] = {};
  for (const u64 request : {u64{0x2285} /* SG_IO */, u64{0xc0186441}, u64{0xdeadbeef}, u64{0x4c05}}) {
    EXPECT_EQ(forward(__NR_ioctl, pipes[0], request, something).gathered, Gathered::come_home) << std::hex << request;
  }
  EXPECT_EQ(forward(__NR_fcntl, pipes[0], 9999, something).gathered, Gathered::come_home);
}

TEST_F(Special, Locks) {
  char name[] = "/tmp/omig-unit-XXXXXX";
  const int fd = mkstemp(name), other = open(name, O_RDWR);
  unlink(name);
  struct flock lock {
    .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 10, .l_len = 20, .l_pid = 0
  };
  EXPECT_EQ(call(__NR_fcntl, fd, F_OFD_SETLK, &lock), 0);
  EXPECT_EQ(prepared.restart, Restart::never);
  struct flock question {
    .l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 0, .l_pid = 0
  };
  EXPECT_EQ(call(__NR_fcntl, other, F_OFD_GETLK, &question), 0);
  EXPECT_EQ(question.l_type, F_WRLCK);
  EXPECT_EQ(question.l_start, 10);
  EXPECT_EQ(call(__NR_fcntl, other, F_OFD_SETLK, &lock), -EAGAIN);
  EXPECT_EQ(call(__NR_fcntl, fd, F_SETLK, nullptr), -EFAULT);
  lock.l_type = F_UNLCK;
  EXPECT_EQ(call(__NR_fcntl, fd, F_OFD_SETLKW, &lock), 0);
  EXPECT_EQ(prepared.restart, Restart::restartable);
  EXPECT_EQ(call(__NR_fcntl, fd, F_SETFL, O_NONBLOCK), 0);
  EXPECT_EQ(call(__NR_fcntl, fd, F_GETFL), native(__NR_fcntl, fd, F_GETFL));
  f_owner_ex owner{F_OWNER_PID, getpid()}, got{};
  EXPECT_EQ(call(__NR_fcntl, pipes[0], F_SETOWN_EX, &owner), 0);
  EXPECT_EQ(call(__NR_fcntl, pipes[0], F_GETOWN_EX, &got), 0);
  EXPECT_EQ(got.pid, getpid());
  close(fd);
  close(other);
}

TEST_F(Special, Poll) {
  ASSERT_EQ(write(pipes[1], "x", 1), 1);
  pollfd fds[] = {{pipes[0], POLLIN, 0}, {-1, POLLIN, 77}, {pipes[1], POLLIN, 55}};
  memory.written_bytes = 0;
  EXPECT_EQ(call(__NR_poll, fds, 3, 0), 1);
  EXPECT_EQ(fds[0].revents, POLLIN);
  EXPECT_EQ(fds[1].revents, 0);
  EXPECT_EQ(fds[2].revents, 0);
  EXPECT_LE(memory.written_bytes, 6u) << "only revents are the kernel's to write";
  memory.written_bytes = 0;
  EXPECT_EQ(call(__NR_poll, fds, 3, 0), 1);
  EXPECT_EQ(memory.written_bytes, 0u) << "nothing changed";
  Edge edge;
  expect_as_native(__NR_poll, edge.last(12), 2, 0);
  expect_as_native(__NR_poll, edge.end(), 0, 0);
  expect_as_native(__NR_poll, edge.end(), ~0u, 0);
  expect_as_native(__NR_poll, kernel_address(), 1, 0);
}

TEST_F(Special, PollWithMask) {
  pollfd fd{pipes[0], POLLIN, 0};
  timespec timeout{0, 1000000};
  const u64 mask = ~0ull;
  EXPECT_EQ(call(__NR_ppoll, &fd, 1, &timeout, &mask, 8), 0);
  EXPECT_EQ(timeout.tv_nsec, 0) << "the time left is written back";
  EXPECT_EQ(sent().args[3], 0u) << "the mask is the host's to apply";
  timeout = {0, 0};
  expect_as_native(__NR_ppoll, &fd, 1, &timeout, &mask, 7);
  expect_as_native(__NR_ppoll, &fd, 1, &timeout, kernel_address(), 8);
  expect_as_native(__NR_ppoll, &fd, 1, kernel_address(), nullptr, 8);
  timeout = {-1, 0};
  expect_as_native(__NR_ppoll, &fd, 1, &timeout, nullptr, 8);
}

TEST_F(Special, Select) {
  ASSERT_EQ(write(pipes[1], "x", 1), 1);
  fd_set reads, writes;
  FD_ZERO(&reads);
  FD_ZERO(&writes);
  FD_SET(pipes[0], &reads);
  FD_SET(pipes[1], &writes);
  FD_SET(900, &reads);  // beyond n: not looked at, not changed
  timeval timeout{10, 0};
  const int n = std::max(pipes[0], pipes[1]) + 1;
  EXPECT_EQ(call(__NR_select, n, &reads, &writes, nullptr, &timeout), 2);
  EXPECT_TRUE(FD_ISSET(pipes[0], &reads) && FD_ISSET(pipes[1], &writes) && FD_ISSET(900, &reads));
  EXPECT_EQ(timeout.tv_sec, 9) << "the time left is written back";
  char c;
  ASSERT_EQ(read(pipes[0], &c, 1), 1);
  timeout = {0, 1000};
  EXPECT_EQ(call(__NR_select, n, &reads, nullptr, nullptr, &timeout), 0);
  EXPECT_FALSE(FD_ISSET(pipes[0], &reads));
  EXPECT_EQ(timeout.tv_usec, 0);
  timespec brief{0, 0};
  struct {
    const u64* mask;
    u64 bytes;
  } pack{nullptr, 8};
  EXPECT_EQ(call(__NR_pselect6, n, nullptr, &writes, nullptr, &brief, &pack), 1);
  const u64 mask = 0;
  pack = {&mask, 4};
  expect_as_native(__NR_pselect6, n, nullptr, &writes, nullptr, &brief, &pack);
  expect_as_native(__NR_pselect6, n, nullptr, &writes, nullptr, &brief, kernel_address());
  timeout = {0, 0};
  expect_as_native(__NR_select, -1, nullptr, nullptr, nullptr, &timeout);
  expect_as_native(__NR_select, n, kernel_address(), nullptr, nullptr, &timeout);
  Edge edge;
  expect_as_native(__NR_select, n, edge.end(), nullptr, nullptr, &timeout);
  // Sets shorter than n promises: the kernel looks at no more than there are descriptors.
  memset(edge.last(128), 0, 128);
  expect_as_native(__NR_select, 1 << 19, edge.last(128), nullptr, nullptr, &timeout);
}

// What is left of a wait that a move has cut: bytes that it has in common with the answer differ from the program's.
TEST_F(Special, ARestIsAnsweredWhole) {
  timespec asked{1, 100'663'296};
  const u64 args[6] = {0, 0, 0, 0, reinterpret_cast<u64>(&asked), 0};
  ASSERT_EQ(gather(*find(__NR_pselect6), args, memory, &prepared), Gathered::ready);
  const timespec rest{0, 4'093'315};
  const std::span<const u8> bytes(reinterpret_cast<const u8*>(&rest), sizeof rest);
  EXPECT_FALSE(replace_input(&prepared, 3, bytes));
  ASSERT_TRUE(replace_input(&prepared, 4, bytes));
  const Answer answer = deputy(prepared.message);
  EXPECT_EQ(scatter(prepared, answer.reply, answer.bytes, memory), 0);
  EXPECT_EQ(asked.tv_sec, 0);
  EXPECT_EQ(asked.tv_nsec, 0);
}

TEST_F(Special, TheTimeLeftNeedNotBeWritable) {
  auto* time = static_cast<timespec*>(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  ASSERT_NE(time, MAP_FAILED);
  *time = {0, 1'000'000};
  ASSERT_EQ(mprotect(time, 4096, PROT_READ), 0);
  EXPECT_EQ(call(__NR_pselect6, 0, nullptr, nullptr, nullptr, time, nullptr), 0);
  EXPECT_EQ(call(__NR_ppoll, nullptr, 0, time, nullptr, 8), 0);
  munmap(time, 4096);
}

TEST_F(Special, Epoll) {
  const long epoll = call(__NR_epoll_create1, EPOLL_CLOEXEC);
  ASSERT_GE(epoll, 0);
  epoll_event event{EPOLLIN, {.u64 = 0x123456789abcdef}}, got[4] = {};
  EXPECT_EQ(call(__NR_epoll_ctl, epoll, EPOLL_CTL_ADD, pipes[0], &event), 0);
  EXPECT_EQ(call(__NR_epoll_wait, epoll, got, 4, 0), 0);
  ASSERT_EQ(write(pipes[1], "x", 1), 1);
  got[1].events = 4711;
  EXPECT_EQ(call(__NR_epoll_wait, epoll, got, 4, -1), 1);
  EXPECT_EQ(got[0].data.u64, event.data.u64);
  EXPECT_EQ(got[1].events, 4711u);
  EXPECT_EQ(prepared.restart, Restart::always_eintr);
  const u64 mask = 0;
  EXPECT_EQ(call(__NR_epoll_pwait, epoll, got, 4, -1, &mask, 8), 1);
  const timespec now{0, 0};
  EXPECT_EQ(call(__NR_epoll_pwait2, epoll, got, 4, &now, nullptr, 8), 1);
  // Not on the stack: that may lie so near the end of user space that the kernel refuses the array, as it should.
  std::vector<epoll_event> many(4);
  EXPECT_EQ(call(__NR_epoll_wait, epoll, many.data(), 1 << 24, 0), 1) << "a huge array is cut";
  for (const int count : {0, -1, INT32_MIN}) expect_as_native(__NR_epoll_wait, epoll, got, count, 0);
  expect_as_native(__NR_epoll_wait, epoll, kernel_address(), 1, 0);
  expect_as_native(__NR_epoll_pwait, epoll, got, 4, 0, &mask, 9);
  // Removal does not look at the event.
  EXPECT_EQ(call(__NR_epoll_ctl, epoll, EPOLL_CTL_DEL, pipes[0], Edge().end()), 0);
  close(static_cast<int>(epoll));
}

TEST_F(Special, Children) {
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) _exit(7);
  siginfo_t info;
  memset(&info, '#', sizeof(info));
  EXPECT_EQ(call(__NR_waitid, P_PID, child, &info, WEXITED | WNOWAIT, nullptr), 0);
  EXPECT_EQ(info.si_pid, child);
  EXPECT_EQ(info.si_status, 7);
  int status = -1;
  rusage usage{};
  EXPECT_EQ(call(__NR_wait4, child, &status, 0, &usage), child);
  EXPECT_EQ(WEXITSTATUS(status), 7);
  status = 4711;
  EXPECT_EQ(call(__NR_wait4, child, &status, 0, nullptr), -ECHILD);
  EXPECT_EQ(status, 4711);

  int hold[2];
  ASSERT_EQ(pipe(hold), 0);
  const pid_t waiting = fork();
  if (waiting == 0) {
    close(hold[1]);
    char c;
    _exit(read(hold[0], &c, 1) == 0 ? 0 : 1);
  }
  EXPECT_EQ(call(__NR_wait4, waiting, &status, WNOHANG, nullptr), 0);
  EXPECT_EQ(status, 4711) << "no child: no status is written";
  EXPECT_EQ(call(__NR_waitid, P_PID, waiting, &info, WEXITED | WNOHANG, nullptr), 0);
  EXPECT_EQ(info.si_pid, 0);
  close(hold[1]);
  EXPECT_EQ(call(__NR_wait4, waiting, &status, 0, nullptr), waiting);
  EXPECT_EQ(status, 0);
  close(hold[0]);
}

TEST_F(Special, Timers) {
  const long fd = call(__NR_timerfd_create, CLOCK_MONOTONIC, 0);
  ASSERT_GE(fd, 0);
  itimerspec set{{0, 0}, {0, 1}}, old{};
  EXPECT_EQ(call(__NR_timerfd_settime, fd, 0, &set, &old), 0);
  u64 ticks = 0;
  EXPECT_EQ(call(__NR_read, fd, &ticks, 8), 8);
  EXPECT_EQ(ticks, 1u);
  close(static_cast<int>(fd));

  sigevent event{};
  event.sigev_notify = SIGEV_NONE;
  int timer = -1;
  EXPECT_EQ(call(__NR_timer_create, CLOCK_MONOTONIC, &event, &timer), 0);
  set = {{0, 0}, {100, 0}};
  EXPECT_EQ(call(__NR_timer_settime, timer, 0, &set, nullptr), 0);
  EXPECT_EQ(call(__NR_timer_gettime, timer, &old), 0);
  EXPECT_GE(old.it_value.tv_sec, 98);
  EXPECT_EQ(call(__NR_timer_delete, timer), 0);
  event.sigev_notify = SIGEV_THREAD_ID;
  EXPECT_EQ(forward(__NR_timer_create, CLOCK_MONOTONIC, &event, &timer).gathered, Gathered::come_home);
  EXPECT_EQ(forward(__NR_timer_create, CLOCK_PROCESS_CPUTIME_ID, nullptr, &timer).gathered, Gathered::come_home);
  itimerval interval{};
  EXPECT_EQ(call(__NR_getitimer, ITIMER_REAL, &interval), 0);
  EXPECT_EQ(forward(__NR_setitimer, ITIMER_PROF, &interval, nullptr).gathered, Gathered::come_home);
}

TEST_F(Special, SystemV) {
  const long queue = call(__NR_msgget, IPC_PRIVATE, 0600);
  ASSERT_GE(queue, 0);
  struct {
    long type;
    char text[16];
  } message{3, "message"}, got;
  memset(&got, '#', sizeof(got));
  EXPECT_EQ(call(__NR_msgsnd, queue, &message, 7, 0), 0);
  EXPECT_EQ(call(__NR_msgrcv, queue, &got, sizeof(got.text), 0, 0), 7);
  EXPECT_EQ(got.type, 3);
  EXPECT_EQ(std::string(got.text, 8), "message#");
  expect_as_native(__NR_msgsnd, queue, &message, -1, 0);
  expect_as_native(__NR_msgsnd, queue, &message, 1 << 30, 0);
  expect_as_native(__NR_msgrcv, queue, &got, -1, 0, IPC_NOWAIT);
  expect_as_native(__NR_msgrcv, queue, &got, 8, 0, IPC_NOWAIT);
  msqid_ds state{};
  EXPECT_EQ(call(__NR_msgctl, queue, IPC_STAT, &state), 0);
  EXPECT_EQ(state.msg_qnum, 0u);
  EXPECT_EQ(call(__NR_msgctl, queue, IPC_RMID, nullptr), 0);

  const long semaphores = call(__NR_semget, IPC_PRIVATE, 3, 0600);
  ASSERT_GE(semaphores, 0);
  Edge edge;
  const u16 values[] = {1, 2, 3};
  memcpy(edge.last(6), values, 6);
  EXPECT_EQ(call(__NR_semctl, semaphores, 0, SETALL, edge.last(6)), 0);
  memset(edge.last(6), 0, 6);
  EXPECT_EQ(call(__NR_semctl, semaphores, 0, GETALL, edge.last(6)), 0);
  EXPECT_EQ(memcmp(edge.last(6), values, 6), 0);
  sembuf operations[] = {{0, -1, IPC_NOWAIT}, {1, 5, 0}};
  EXPECT_EQ(call(__NR_semop, semaphores, operations, 2), 0);
  EXPECT_EQ(call(__NR_semctl, semaphores, 1, GETVAL, 0), 7);
  EXPECT_EQ(call(__NR_semop, semaphores, operations, 2), -EAGAIN);
  expect_as_native(__NR_semop, semaphores, operations, 0);
  expect_as_native(__NR_semop, semaphores, operations, ~0u);
  EXPECT_EQ(call(__NR_semctl, semaphores, 0, IPC_RMID, 0), 0);
}

TEST_F(Special, Scheduling) {
  u64 mask[16] = {}, reference[16] = {};
  const long bytes = call(__NR_sched_getaffinity, 0, sizeof(mask), mask);
  EXPECT_EQ(bytes, native(__NR_sched_getaffinity, 0, sizeof(reference), reference));
  EXPECT_EQ(memcmp(mask, reference, sizeof(mask)), 0);
  EXPECT_EQ(call(__NR_sched_setaffinity, 0, sizeof(mask), mask), 0);
  expect_as_native(__NR_sched_getaffinity, 0, 1, mask);
  const int zero = 0, one = 1;
  EXPECT_EQ(call(__NR_sched_setscheduler, 0, SCHED_OTHER, &zero), 0);
  EXPECT_EQ(forward(__NR_sched_setscheduler, 0, SCHED_RR, &one).gathered, Gathered::come_home);
  EXPECT_EQ(forward(__NR_sched_setparam, 0, &one).gathered, Gathered::come_home);
  EXPECT_EQ(call(__NR_sched_setparam, 0, &zero), 0);
  struct {
    u32 size, policy;
    u64 flags;
    i32 nice;
    u32 priority;
    u64 times[3];
    u32 guard = 4711;
  } attributes{};
  EXPECT_EQ(call(__NR_sched_getattr, 0, &attributes, 48, 0), 0);
  EXPECT_EQ(attributes.size, 48u);
  EXPECT_EQ(attributes.guard, 4711u);
  EXPECT_EQ(call(__NR_sched_setattr, 0, &attributes, 0), 0);
  attributes.policy = SCHED_FIFO;
  EXPECT_EQ(forward(__NR_sched_setattr, 0, &attributes, 0).gathered, Gathered::come_home);
  attributes.policy = 0;
  attributes.size = 12;
  EXPECT_EQ(call(__NR_sched_setattr, 0, &attributes, 0), -E2BIG);
  EXPECT_GE(attributes.size, 48u) << "the kernel says what it knows";
}

TEST_F(Special, Identity) {
  int real = -1, effective = -1, saved = -1;
  EXPECT_EQ(call(__NR_getresuid, &real, &effective, &saved), 0);
  EXPECT_EQ(real, static_cast<int>(getuid()));
  EXPECT_EQ(saved, static_cast<int>(geteuid()));
  u32 header[2] = {0x20080522, 0};
  u32 data[7] = {0, 0, 0, 0, 0, 0, 4711};
  EXPECT_EQ(call(__NR_capget, header, data), 0);
  EXPECT_EQ(data[6], 4711u);
  header[0] = 1;
  EXPECT_EQ(call(__NR_capget, header, data), -EINVAL);
  EXPECT_EQ(header[0], 0x20080522u) << "the version the kernel knows comes back with the error";
  gid_t groups[64];
  EXPECT_EQ(call(__NR_getgroups, 0, nullptr), native(__NR_getgroups, 0, nullptr));
  EXPECT_EQ(call(__NR_getgroups, 64, groups), native(__NR_getgroups, 0, nullptr));
  EXPECT_EQ(call(__NR_personality, 0xffffffff), native(__NR_personality, 0xffffffff));
  EXPECT_EQ(forward(__NR_personality, 0x40000).gathered, Gathered::come_home);
  char name[16] = {};
  EXPECT_EQ(call(__NR_prctl, PR_SET_NAME, "omig-unit"), 0);
  EXPECT_EQ(call(__NR_prctl, PR_GET_NAME, name), 0);
  EXPECT_STREQ(name, "omig-unit");
  EXPECT_EQ(forward(__NR_prctl, PR_SET_MM, 1, 2, 3, 4).gathered, Gathered::come_home);
  EXPECT_EQ(forward(__NR_prctl, PR_SET_SECCOMP, 1).gathered, Gathered::come_home);
  rlimit limit{};
  EXPECT_EQ(call(__NR_prlimit64, 0, RLIMIT_NOFILE, nullptr, &limit), 0);
  EXPECT_GT(limit.rlim_cur, 0u);
}

TEST_F(Special, Handles) {
  alignas(8) struct {
    u32 bytes;
    i32 type;
    u8 data[128];
  } handle{};
  int mount = -1;
  const long ret = call(__NR_name_to_handle_at, AT_FDCWD, "/tmp", &handle, &mount, 0);
  if (ret == -EOPNOTSUPP || ret == -EPERM) GTEST_SKIP() << "/tmp has no file handles";
  EXPECT_EQ(ret, -EOVERFLOW);
  EXPECT_GT(handle.bytes, 0u) << "the size needed comes back with the error";
  EXPECT_EQ(call(__NR_name_to_handle_at, AT_FDCWD, "/tmp", &handle, &mount, 0), 0);
  EXPECT_NE(mount, -1);
  handle.bytes = 1000;
  expect_as_native(__NR_name_to_handle_at, AT_FDCWD, "/tmp", &handle, &mount, 0);
}

TEST_F(Special, NewerStructures) {
  // statmount and listmount of the root mount; older kernels say ENOSYS, natively as well.
  struct {
    u32 size = 24, spare = 0;
    u64 mount = ~0ull, param = 0;
  } request;
  u64 mine[64] = {}, theirs[64] = {};
  const long count = call(458, &request, mine, 64, 0);
  EXPECT_EQ(count, native(458, &request, theirs, 64, 0));
  EXPECT_EQ(memcmp(mine, theirs, sizeof(mine)), 0);
  if (count > 0) {
    request.mount = mine[0];
    request.param = 0x02 | 0x20;  // STATMOUNT_MNT_BASIC | STATMOUNT_FS_TYPE
    std::vector<u8> a(4096, 0), b(4096, 0);
    EXPECT_EQ(call(457, &request, a.data(), a.size(), 0), native(457, &request, b.data(), b.size(), 0));
    EXPECT_EQ(a, b);
  }
  u64 ids[16] = {};
  u32 bytes = sizeof(ids), same = sizeof(ids);
  u64 other[16] = {};
  EXPECT_EQ(call(461, ids, &bytes, 0), native(461, other, &same, 0));
  EXPECT_EQ(bytes, same);
  EXPECT_EQ(memcmp(ids, other, sizeof(ids)), 0);
  bytes = same = 1;
  EXPECT_EQ(call(461, ids, &bytes, 0), native(461, other, &same, 0));
  EXPECT_EQ(bytes, same);
  struct {
    u64 value;
    u32 size, flags;
  } arguments{reinterpret_cast<u64>(ids), sizeof(ids), 0};
  expect_as_native(464, AT_FDCWD, "/tmp", 0, "user.none", &arguments, 16);
  expect_as_native(464, AT_FDCWD, "/tmp", 0, "user.none", &arguments, 8);
  EXPECT_EQ(arguments.value, reinterpret_cast<u64>(ids));
}

TEST_F(Special, RoutesThatAreNotServed) {
  u64 words[8] = {};
  EXPECT_EQ(forward(__NR_clone3, words, 64).ret, -ENOSYS);
  EXPECT_EQ(forward(__NR_io_uring_setup, 8, words).ret, -ENOSYS);
  EXPECT_EQ(forward(__NR_mount, "a", "b", "c", 0, 0).gathered, Gathered::come_home);
  EXPECT_EQ(forward(__NR_mprotect, words, 64, 0).gathered, Gathered::come_home)
      << "never executed on the deputy's memory";
  EXPECT_EQ(forward(__NR_execve, "/bin/true", words, words).gathered, Gathered::come_home);
  EXPECT_EQ(forward(__NR_fork).gathered, Gathered::come_home) << "never by gather: the host makes the child";
  int mode = -1;
  EXPECT_EQ(forward(__NR_get_mempolicy, &mode, nullptr, 0, words, MPOL_F_ADDR).gathered, Gathered::come_home);
}

TEST_F(Special, RepliesThatAreNotWhole) {
  char buffer[8] = "untold";
  const u64 args[6] = {static_cast<u64>(pipes[0]), reinterpret_cast<u64>(buffer), 8};
  ASSERT_EQ(gather(*find(__NR_read), args, memory, &prepared), Gathered::ready);
  const u8 cut[] = {8, 0, 0, 0, 'x'};
  EXPECT_EQ(scatter(prepared, {.ret = 8}, cut, memory), -EFAULT);
  EXPECT_EQ(scatter(prepared, {.ret = 8}, {}, memory), -EFAULT);
  const u8 longer[] = {12, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
  EXPECT_EQ(scatter(prepared, {.ret = -EINTR, .flags = wire::kReplyNotRun}, longer, memory), -EINTR);
  EXPECT_STREQ(buffer, "untold");
  struct {
    char place[8], guard[4] = {'#', '#', '#', '#'};
  } exact;
  const u64 to[6] = {static_cast<u64>(pipes[0]), reinterpret_cast<u64>(exact.place), 8};
  ASSERT_EQ(gather(*find(__NR_read), to, memory, &prepared), Gathered::ready);
  EXPECT_EQ(scatter(prepared, {.ret = 12}, longer, memory), 12);
  EXPECT_EQ(exact.guard[0], '#') << "a deputy cannot write more than the guest asked for";
}

TEST_F(Special, CallsBuiltByHand) {
  const u8 path[] = "/";
  const wire::Reloc relocs[] = {{1, 0}, {2, 8}};
  const wire::Out outs[] = {{.offset = 8, .bytes = 144}};
  const u64 args[6] = {static_cast<u64>(AT_FDCWD)};
  build_call(__NR_newfstatat, args, path, relocs, outs, 152, &prepared);
  const Answer answer = deputy(prepared.message);
  EXPECT_EQ(answer.reply.ret, 0);
  EXPECT_EQ(answer.bytes.size(), 148u);
  EXPECT_EQ(scatter(prepared, answer.reply, answer.bytes, memory), 0);
}

TEST(GuestMemory, Strings) {
  OwnMemory memory;
  Edge edge;
  std::string out;
  const std::string text(300, 's');
  EXPECT_EQ(memory.read_string(GuestAddr{reinterpret_cast<u64>(text.c_str())}, &out, 4096), 0);
  EXPECT_EQ(out, text);
  EXPECT_EQ(memory.read_string(GuestAddr{reinterpret_cast<u64>(text.c_str())}, &out, 300), -ENAMETOOLONG);
  memcpy(edge.last(4), "abc", 4);
  EXPECT_EQ(memory.read_string(GuestAddr{reinterpret_cast<u64>(edge.last(4))}, &out, 4096), 0);
  EXPECT_EQ(out, "abc");
  memcpy(edge.last(4), "abcd", 4);
  EXPECT_EQ(memory.read_string(GuestAddr{reinterpret_cast<u64>(edge.last(4))}, &out, 4096), -EFAULT);
}

}  // namespace
}  // namespace omig::syscalls
