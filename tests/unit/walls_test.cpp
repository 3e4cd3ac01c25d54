// SPDX-License-Identifier: Apache-2.0
// What a host and a guest's room give up, tried out by a child that has given it up.
#include "homed/host/walls.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <thread>

#include "lib/abi/landlock.h"

namespace omig {
namespace {

// The number of the first of the child's statements that is not true; 0: all are.
int in_child(const std::function<int()>& body) {
  const pid_t child = fork();
  if (child == 0) _exit(body());
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + status;
}

bool refused(long result, int error = EPERM) { return result == -1 && errno == error; }

TEST(Walls, AHostKeepsOnlyWhatServingNeeds) {
  EXPECT_EQ(in_child([] {
              host::give_up_the_others();
              host::give_up_calls();
              int at = 0;
              const auto said = [&at](bool is_true) { return ++at, !is_true; };
              char* const nothing[] = {nullptr};
              if (said(refused(execve("/bin/true", nothing, nothing)))) return at;
              if (said(refused(socket(AF_UNIX, SOCK_STREAM, 0)))) return at;
              if (said(refused(socket(AF_NETLINK, SOCK_RAW, 0)))) return at;
              if (said(refused(unshare(CLONE_NEWUSER)))) return at;
              if (said(refused(setresuid(0, 0, 0)))) return at;
              if (said(refused(syscall(SYS_bpf, 0, nullptr, 0)))) return at;
              if (said(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1)) return at;
              if (said(prctl(PR_GET_DUMPABLE) == 0)) return at;
              if (said(socket(AF_INET, SOCK_STREAM, 0) >= 0)) return at;
              bool ran = false;
              std::thread([&ran] { ran = true; }).join();
              return said(ran) ? at : 0;
            }),
            0);
}

TEST(Walls, AHostReachesNoProcessOfOthers) {
  if (abi::landlock_version() < 6) GTEST_SKIP() << "Landlock here is older than Linux 6.12's";
  EXPECT_EQ(in_child([] {
              host::give_up_the_others();
              if (!refused(kill(getppid(), 0))) return 1;
              return kill(getpid(), 0) == 0 ? 0 : 2;
            }),
            0);
}

TEST(Walls, ARoomReachesNeitherFilesNorTcp) {
  const long version = abi::landlock_version();
  if (version <= 0) GTEST_SKIP() << "no Landlock here";
  EXPECT_EQ(in_child([version] {
              prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
              const abi::LandlockPath exception{abi::kLandlockReadFile, open("/etc/passwd", O_RDONLY | O_CLOEXEC)};
              if (!abi::landlock(abi::landlock_everything(version), &exception)) return 1;
              if (open("/etc/passwd", O_RDONLY | O_CLOEXEC) < 0) return 2;
              if (!refused(open("/etc/group", O_RDONLY | O_CLOEXEC), EACCES)) return 3;
              if (!refused(open("/tmp/walls-test", O_WRONLY | O_CREAT | O_CLOEXEC, 0600), EACCES)) return 4;
              sockaddr_in address{};
              address.sin_family = AF_INET;
              address.sin_port = htons(9);
              address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
              const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
              const int result = connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address);
              return version < 4 || refused(result, EACCES) ? 0 : 5;
            }),
            0);
}

}  // namespace
}  // namespace omig
