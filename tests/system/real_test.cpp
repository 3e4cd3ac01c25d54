// SPDX-License-Identifier: Apache-2.0
// Real programs, moved every 200 to 300 ms during their run, out and home and on: output and end as natively.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "tests/system/compare.h"

namespace omig::test {

namespace {

struct RealProgram {
  const char* name;
  const char* needs;  // the program that must be installed
  std::vector<std::string> words;
  bool family = true;         // move its children as well
  const char* may_stay = "";  // a move of one of the family may be refused with this reason
};

void PrintTo(const RealProgram& program, std::ostream* out) { *out << program.name; }

// The first of the candidates that exists, as an absolute path; "" if none does. /usr/bin first: what stands in front
// of it in PATH may be a wrapper script.
std::string find_program(const std::string& name) {
  std::string directories = "/usr/bin:/bin:" + std::string(getenv("PATH") ? getenv("PATH") : "");
  for (size_t at = 0; at < directories.size();) {
    size_t end = std::min(directories.find(':', at), directories.size());
    fs::path candidate = fs::path(directories.substr(at, end - at)) / name;
    if (access(candidate.c_str(), X_OK) == 0) return candidate;
    at = end + 1;
  }
  return "";
}

const std::vector<RealProgram>& real_programs() {
  static const std::vector<RealProgram> all = {
      {"python3", "python3", {"python3", "work.py"}},
      {"python3_alone", "python3", {"python3", "work.py"}, false},
      {"perl", "perl", {"perl", "work.pl"}},
      {"bash", "bash", {"bash", "pipeline.sh"}},
      {"make", "make", {"bash", "compile.sh"}},
      {"xz", "xz", {"bash", "compress.sh", "xz"}},
      {"gzip", "gzip", {"bash", "compress.sh", "gzip"}},
      {"flac", "flac", {"bash", "audio.sh", "flac"}},
      {"oggenc", "oggenc", {"bash", "audio.sh", "oggenc"}},
      {"sqlite3", "sqlite3", {"bash", "database.sh"}},
      {"sort", "sort", {"bash", "sorting.sh"}},
      {"tcp", "python3", {"python3", "sockets.py"}},
      {"git", "git", {"bash", "git.sh"}},
      {"tar_rsync", "tar", {"bash", "archive.sh"}},
      {"curl", "curl", {"bash", "transfer.sh"}},
      {"ruby", "ruby", {"bash", "languages.sh", "ruby"}},
      {"tcl", "tclsh", {"bash", "languages.sh", "tclsh"}},
      {"lua", "lua5.4", {"bash", "languages.sh", "lua5.4"}},
      {"gawk", "gawk", {"bash", "languages.sh", "gawk"}},
      {"bc", "bc", {"bash", "languages.sh", "bc"}},
      {"node", "node", {"bash", "languages.sh", "node"}},
      {"openssl", "openssl", {"bash", "languages.sh", "openssl"}},
      {"gfortran", "gfortran", {"bash", "languages.sh", "gfortran"}},
      {"multiprocessing", "python3", {"python3", "multiprocessing_pool.py"}, true, "shared"},
      {"redis", "redis-server", {"bash", "servers.sh", "redis"}, true, "shared"},
      {"nginx", "nginx", {"bash", "servers.sh", "nginx"}, true, "shared"},
      {"nginx_wrk", "wrk", {"bash", "servers.sh", "wrk"}, true, "shared"},
      {"R", "Rscript", {"bash", "languages.sh", "R"}},
      {"povray", "povray", {"bash", "render.sh", "povray"}},
      {"john", "john", {"bash", "guess.sh"}},
      {"lame", "lame", {"bash", "encode.sh", "lame"}},
      {"ffmpeg", "ffmpeg", {"bash", "encode.sh", "ffmpeg"}, true, "locked memory"},
      {"sox", "sox", {"bash", "encode.sh", "sox"}},
      {"pigz", "pigz", {"bash", "encode.sh", "pigz"}},
      {"zstd", "zstd", {"bash", "encode.sh", "zstd"}},
      {"bzip2", "bzip2", {"bash", "encode.sh", "bzip2"}},
      {"java", "javac", {"bash", "java.sh", "-XX:-UsePerfData"}},
      {"java_perfdata", "javac", {"bash", "java.sh"}},
      {"postgres", "pgbench", {"bash", "postgres.sh"}, true, "shared"},
      // Octave brings the compiler's wrapper along, not what it compiles with.
      {"openmpi", "/usr/lib/x86_64-linux-gnu/openmpi/include/mpi.h", {"bash", "mpi.sh"}, true, "shared"},
      {"qemu", "qemu-x86_64-static", {"bash", "render.sh", "qemu", "portable.c"}},
      {"sqlite3_wal", "sqlite3", {"bash", "wal.sh"}, true, "shared"},
      {"tmux_vim", "vim.tiny", {"bash", "terminal.sh", "vim"}},
      {"tmux_jobs", "tmux", {"bash", "terminal.sh", "jobs"}, true, "stopped by a signal"},
      {"tmux_htop", "htop", {"bash", "terminal.sh", "htop"}},
      {"octave", "octave-cli", {"octave-cli", "--no-gui", "--norc", "--quiet", "work.m"}},
  };
  return all;
}

// Scripts lie in the source tree; a copy of the tests elsewhere (the rootless run) brings them along.
fs::path script_directory() {
  if (fs::path near = build_path("tests/system/real"); fs::exists(near)) return near;
  return OMIG_SOURCE_DIR "/tests/system/real";
}

class RealPrograms : public testing::TestWithParam<RealProgram> {};

TEST_P(RealPrograms, MovedAsNative) {
  const RealProgram& program = GetParam();
  const bool there = program.needs[0] == '/' ? fs::exists(program.needs) : !find_program(program.needs).empty();
  if (!there) GTEST_SKIP() << program.needs << " is not installed";
  Command command{.words = program.words};
  command.words[0] = find_program(command.words[0]);
  for (std::string& word : command.words)
    for (const fs::path& from : {script_directory(), script_directory().parent_path() / "subjects"})
      if (fs::exists(from / word)) word = from / word;
  MovePlan plan;
  plan.seed = run_seed();
  plan.limit = milliseconds(120'000);
  plan.nodes = 4;
  plan.may_stay = program.may_stay;
  auto start = Clock::now();
  MovedRun want = run_program(command, Flavour::native, nullptr, plan);
  auto native_time = std::chrono::duration_cast<milliseconds>(Clock::now() - start);
  ASSERT_TRUE(want.outcome.succeeded()) << want.outcome.describe() << "\n" << want.outcome.err;
  Lab& lab = shared_lab();
  MovedRun got;
  // One that is over in a moment may be gone whenever its turn comes.
  for (int attempt = 0; attempt < 10 && got.succeeded == 0 && got.trouble.empty(); ++attempt)
    got = run_by_clock(command, lab, plan, program.family, native_time);
  std::string problems = differences(got, want);
  if (problems.empty() && got.succeeded == 0 && plan.may_stay.empty()) problems = "it was never moved\n";
  if (!problems.empty()) ADD_FAILURE() << problems << circumstances(got, &lab);
  RecordProperty("moves", got.succeeded);
  if (HasFailure() && lab.health() != "") drop_shared_lab();
}

INSTANTIATE_TEST_SUITE_P(All, RealPrograms, testing::ValuesIn(real_programs()),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace

}  // namespace omig::test
