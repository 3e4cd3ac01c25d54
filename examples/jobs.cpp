// SPDX-License-Identifier: Apache-2.0
// What `make -j` does: many short programs (job.cpp), a few at a time, each started by a shell. Each computes for a
// while and says its result, which is known beforehand.
//
//   jobs [COUNT [WIDTH [WORK]]]     (default 60 jobs, 8 at a time, WORK million steps each: 200 are about 0.25 s)
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <climits>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>

namespace {

// What `job` computes step by step, in a moment: a step that is taken twice is a step as well.
uint64_t expected(long job, long steps) {
  uint64_t state = static_cast<uint64_t>(job) * 0x9e3779b97f4a7c15u + 1;
  uint64_t factor = 6364136223846793005u, offset = 1442695040888963407u;
  for (auto left = static_cast<uint64_t>(steps); left != 0; left >>= 1) {
    if (left & 1) state = state * factor + offset;
    offset += offset * factor;
    factor *= factor;
  }
  return state;
}

struct Running {
  long job;
  int pipe;
};

pid_t start(const std::string& program, long job, long steps, int* read_end) {
  int ends[2];
  if (pipe(ends) != 0) return -1;
  const pid_t pid = fork();
  if (pid == 0) {
    dup2(ends[1], 1);
    close(ends[0]);
    close(ends[1]);
    // "&& :" keeps the shell waiting for it, as make's does for most recipes.
    const std::string line = "'" + program + "' " + std::to_string(job) + " " + std::to_string(steps) + " && :";
    execl("/bin/sh", "sh", "-c", line.c_str(), static_cast<char*>(nullptr));
    _exit(127);
  }
  close(ends[1]);
  *read_end = ends[0];
  return pid;
}

bool right(const Running& r, int status, long steps) {
  char text[64] = {};
  const ssize_t got = read(r.pipe, text, sizeof(text) - 1);
  close(r.pipe);
  return status == 0 && got > 0 && std::strtoull(text, nullptr, 10) == expected(r.job, steps);
}

}  // namespace

int main(int argc, char** argv) {
  const long count = argc > 1 ? std::atol(argv[1]) : 60;
  const size_t width = argc > 2 ? static_cast<size_t>(std::atol(argv[2])) : 8;
  const long steps = (argc > 3 ? std::atol(argv[3]) : 200) * 1'000'000;
  char self[PATH_MAX];
  const ssize_t length = readlink("/proc/self/exe", self, sizeof self);
  if (count < 1 || width < 1 || steps < 0 || length <= 0) {
    std::fprintf(stderr, "usage: jobs [COUNT [WIDTH [WORK]]]\n");
    return 2;
  }
  std::string path(self, static_cast<size_t>(length));
  path.replace(path.rfind('/') + 1, std::string::npos, "job");
  const auto begin = std::chrono::steady_clock::now();
  std::map<pid_t, Running> running;
  long next = 0, wrong = 0;
  while (next < count || !running.empty()) {
    if (next < count && running.size() < width) {
      Running r{next++, -1};
      const pid_t pid = start(path, r.job, steps, &r.pipe);
      if (pid < 0) {
        std::perror("jobs: fork");
        return 1;
      }
      running[pid] = r;
      continue;
    }
    int status = 0;
    const pid_t pid = waitpid(-1, &status, 0);
    if (pid < 0 && errno == EINTR) continue;
    const auto at = running.find(pid);
    if (at == running.end()) {
      std::fprintf(stderr, "jobs: children are lost\n");
      return 1;
    }
    if (!right(at->second, status, steps)) {
      std::printf("job %ld: wrong, status %d\n", at->second.job, status);
      ++wrong;
    }
    running.erase(at);
  }
  const double elapsed = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  std::printf("%ld jobs, %ld wrong, %.2f s\n", count, wrong, elapsed);
  return wrong ? 1 : 0;
}
