// SPDX-License-Identifier: Apache-2.0
// The harness' end of the conversation with test programs (tests/programs/program.h has the other one).
#pragma once

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <stdexcept>
#include <string>

#include "tests/system/child.h"

namespace omig::test {

// One announcement of a program.
struct Ready {
  pid_t pid = 0;
  int parties = 1;
  std::string state;
  int limit_ms = 0;
};

// Both FIFOs, held open for reading and writing so that nobody's open blocks and no end of file is ever seen.
class Fifos {
 public:
  explicit Fifos(const fs::path& directory) {
    for (auto [name, fd] : {std::pair{"ready", &ready_}, std::pair{"go", &go_}}) {
      fs::path path = directory / name;
      if (mkfifo(path.c_str(), 0666) != 0 || chmod(path.c_str(), 0666) != 0 ||
          (*fd = open(path.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC)) < 0)
        throw std::runtime_error(fmt::format("mkfifo {}: {}", path.string(), strerror(errno)));
    }
  }
  ~Fifos() { close(ready_), close(go_); }
  Fifos(const Fifos&) = delete;
  Fifos& operator=(const Fifos&) = delete;

  int ready_fd() const { return ready_; }
  // The next whole line, if there is one.
  bool next(Ready* ready) {
    char buffer[512];
    ssize_t got;
    while ((got = read(ready_, buffer, sizeof buffer)) > 0) text_.append(buffer, static_cast<size_t>(got));
    size_t end = text_.find('\n');
    if (end == std::string::npos) return false;
    char state[32];
    if (sscanf(text_.c_str(), "ready %d %d %31s %d", &ready->pid, &ready->parties, state, &ready->limit_ms) != 4)
      throw std::runtime_error("a strange announcement: " + text_.substr(0, end));
    ready->state = state;
    text_.erase(0, end + 1);
    return true;
  }
  void go(size_t parties) {
    std::string bytes(parties, 'g');
    if (write(go_, bytes.data(), bytes.size()) != static_cast<ssize_t>(parties))
      throw std::runtime_error(fmt::format("cannot write to go: {}", strerror(errno)));
  }

 private:
  int ready_ = -1, go_ = -1;
  std::string text_;
};

}  // namespace omig::test
