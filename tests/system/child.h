// SPDX-License-Identifier: Apache-2.0
// A program started by the tests: output into files, a limit on its time, and nothing of it left afterwards.
//
// Output goes to files and not to pipes because the harness is busy moving the program while it writes. Every run has
// a directory of its own; its name is in the environment of all descendants (OMIG_TEST_FIFOS), which is how leftovers
// that changed their session or parent are found.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "lib/base/types.h"

namespace omig::test {

namespace fs = std::filesystem;
using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

using Variables = std::vector<std::pair<std::string, std::string>>;  // of an environment

struct Command {
  std::vector<std::string> words;
  Variables environment;  // added to ours
  fs::path directory;     // working directory; empty: ours
  std::string input;      // what it reads on stdin; empty: /dev/null
};

// How a program ended and what it wrote.
struct Outcome {
  int status = 0;  // as wait(2) gives it
  bool timed_out = false;
  std::string out;
  std::string err;

  bool succeeded() const { return status == 0 && !timed_out; }
  std::string describe() const;  // "exit 3", "killed by signal 11", "still running after its limit"
};

// One running program. The destructor ends it and everything that descends from it.
class Child {
 public:
  // `run_directory` receives the output files; it must exist.
  Child(const Command& command, const fs::path& run_directory);
  ~Child();
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  pid_t pid() const { return pid_; }
  bool ended();  // does not wait
  bool wait_for_end(milliseconds limit);
  Outcome outcome();  // after the end, or kills it and says so
  int pidfd() const { return pidfd_; }

 private:
  void reap(int options);
  fs::path run_directory_;
  pid_t pid_ = -1;
  int pidfd_ = -1;
  std::optional<int> status_;
};

// Runs a command to its end; for the tools, not for the programs under test.
Outcome run(const Command& command, milliseconds limit = milliseconds(60'000));

// A fresh directory below a fresh directory of this test run, which is removed at the end of the test run.
fs::path fresh_directory(const std::string& name);

// Processes whose initial environment has OMIG_TEST_FIFOS=`directory`; guests, which have their program's environment
// in a pid namespace of their own, included.
std::vector<pid_t> descendants_of_run(const fs::path& directory);

// Whether the process is in our pid namespace, which no guest is.
bool is_native(pid_t pid);

std::string read_file(const fs::path& path);
u64 number_in(const fs::path& path);  // 0: none
std::string tail(const std::string& text, size_t lines);
// Where the build's binaries are: build/NAME, seen from our own executable in build/tests/DIR.
fs::path build_path(const std::string& name);

}  // namespace omig::test
