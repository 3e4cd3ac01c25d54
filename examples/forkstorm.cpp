// SPDX-License-Identifier: Apache-2.0
// Hundreds of short children, pipes and waits: what a build or a shell script does to a kernel, with sums that show
// whether any child, byte or exit status was lost.
//
//   forkstorm [CHILDREN [WIDTH [WORK]]]     (default 300 children, 12 at a time, WORK thousand steps each)
//
// Child k counts a deterministic sequence, writes its result to a pipe and ends in one of four ways, by k modulo 4:
// with exit status k mod 251; through a grandchild whose status it passes on; by exec of /bin/sh, which gives the
// status; by SIGKILL to itself. The parent knows every result and every status beforehand and compares.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>

#include "where.h"

namespace {

struct Message {
  int32_t child;
  int32_t pid;
  uint64_t sum;
};

// A linear congruential generator, summed up: cannot be guessed by an optimiser, is the same everywhere.
uint64_t sequence_sum(int child, long steps) {
  uint64_t state = static_cast<uint64_t>(child) * 0x9e3779b97f4a7c15u + 1, sum = 0;
  for (long i = 0; i < steps; ++i) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    sum += state >> 33;
  }
  return sum;
}

int expected_status(int child) { return child % 4 == 3 ? SIGKILL : (child % 251) << 8; }

void report(int pipe, int child, long steps) {
  Message message{child, getpid(), sequence_sum(child, steps)};
  // Shorter than PIPE_BUF: whole or not at all.
  if (write(pipe, &message, sizeof message) != sizeof message) _exit(255);
}

[[noreturn]] void be_child(int child, int pipe, long steps) {
  int status = child % 251;
  if (child % 4 == 1) {
    pid_t grandchild = fork();
    if (grandchild == 0) {
      report(pipe, child, steps);
      _exit(status);
    }
    int got = 0;
    if (grandchild < 0 || waitpid(grandchild, &got, 0) != grandchild || !WIFEXITED(got)) _exit(254);
    _exit(WEXITSTATUS(got));
  }
  report(pipe, child, steps);
  if (child % 4 == 2) {
    std::string command = "exit " + std::to_string(status);
    execl("/bin/sh", "sh", "-c", command.c_str(), static_cast<char*>(nullptr));
    _exit(253);
  }
  if (child % 4 == 3) kill(getpid(), SIGKILL);
  _exit(status);
}

struct Storm {
  int children, width;
  long steps;
  int wrong = 0, reported = 0;
  std::map<pid_t, int> running;       // pid -> child
  std::map<std::string, int> places;  // how often a child was seen there
  std::map<int, uint64_t> sums;       // child -> what it said

  void complain(int child, const std::string& what) {
    std::printf("child %d: %s\n", child, what.c_str());
    ++wrong;
  }

  void collect_messages(int pipe) {
    Message message;
    while (read(pipe, &message, sizeof message) == sizeof message) {
      ++reported;
      if (!sums.emplace(message.child, message.sum).second) complain(message.child, "reported twice");
    }
  }

  void reap_one() {
    int status = 0;
    pid_t pid = waitpid(-1, &status, 0);
    if (pid < 0) {
      if (errno == EINTR) return;
      for (const auto& [lost, child] : running)
        complain(child, std::string("lost; wait says: ") + std::strerror(errno));
      running.clear();
      return;
    }
    auto at = running.find(pid);
    if (at == running.end()) return complain(-1, "a child nobody knows, pid " + std::to_string(pid));
    if (status != expected_status(at->second))
      complain(at->second, "ended with status " + std::to_string(status) + " instead of " +
                               std::to_string(expected_status(at->second)));
    running.erase(at);
  }
};

}  // namespace

int main(int argc, char** argv) {
  Storm storm{argc > 1 ? std::atoi(argv[1]) : 300,
              argc > 2 ? std::atoi(argv[2]) : 12,
              (argc > 3 ? std::atol(argv[3]) : 3000) * 1000,
              0,
              0,
              {},
              {},
              {}};
  int pipes[2];
  if (storm.children < 1 || storm.width < 1 || storm.steps < 0 || pipe(pipes) != 0) {
    std::fprintf(stderr, "usage: forkstorm [CHILDREN [WIDTH [WORK]]]\n");
    return 2;
  }
  fcntl(pipes[0], F_SETFL, O_NONBLOCK);
  for (int child = 0; child < storm.children; ++child) {
    while (static_cast<int>(storm.running.size()) >= storm.width) {
      storm.reap_one();
      storm.collect_messages(pipes[0]);
    }
    pid_t pid = fork();
    if (pid == 0) be_child(child, pipes[1], storm.steps);
    if (pid < 0) {
      storm.complain(child, std::string("fork: ") + std::strerror(errno));
      continue;
    }
    storm.running[pid] = child;
    // A look at one of those that have run for a while; the youngest are still where they were born.
    if (child % 16 == 15) {
      std::string place = where_is(storm.running.begin()->first);
      if (!place.empty()) ++storm.places[place];
    }
  }
  while (!storm.running.empty()) storm.reap_one();
  storm.collect_messages(pipes[0]);
  for (int child = 0; child < storm.children; ++child) {
    auto at = storm.sums.find(child);
    if (at == storm.sums.end())
      storm.complain(child, "never reported");
    else if (at->second != sequence_sum(child, storm.steps))
      storm.complain(child, "reported a wrong sum");
  }
  for (const auto& [place, times] : storm.places)
    std::printf("a child was seen on %s %d times\n", place.c_str(), times);
  std::printf("%d children, %d reports, %d wrong\n", storm.children, storm.reported, storm.wrong);
  return storm.wrong ? 1 : 0;
}
