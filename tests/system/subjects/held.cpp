// SPDX-License-Identifier: Apache-2.0
// Tries, again and again, what a deputy.allow forbids and what it allows; a line on stdout for each round that differs
// from the one before, and for the first. Ends once there is a file `end` in its directory.
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <string>

namespace {

std::string said;

void tell(const char* what, long result) {
  said += std::string(what) + (result == -1 ? std::string(" ") + strerrorname_np(errno) : " ok") + "; ";
  if (result > 2) close(static_cast<int>(result));
}

long executes(const char* program) {
  const pid_t child = fork();
  if (child == 0) execl(program, program, nullptr), _exit(errno);
  int status = 0;
  waitpid(child, &status, 0);
  errno = WEXITSTATUS(status);
  return status == 0 ? 0 : -1;
}

void round(const char* secret) {
  said.clear();
  tell("reads", open("input", O_RDONLY | O_CLOEXEC));
  tell("reads a secret", open(secret, O_RDONLY | O_CLOEXEC));
  tell("writes", open("output", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  tell("writes a secret", open(secret, O_WRONLY | O_CLOEXEC));
  tell("executes", executes("/usr/bin/true"));
  tell("executes its own", executes("./own"));
  tell("socket", socket(AF_INET, SOCK_STREAM, 0));
  tell("signal", kill(getppid(), 0));
}

}  // namespace

int main(int, char** argv) {
  std::string before;
  for (struct stat end; stat("end", &end) != 0; usleep(10'000)) {
    round(argv[1]);
    if (said != before) printf("%s\n", said.c_str()), fflush(stdout);
    before = said;
  }
  return 0;
}
