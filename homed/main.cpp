// SPDX-License-Identifier: Apache-2.0
// homed: one daemon per node. It knows the node's processes, hears of the other nodes, decides who should run where and
// has omig-host carry it out. Its death hurts nobody, and a new one finds everything again.
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstring>

#include "homed/control.h"
#include "homed/ledger.h"
#include "homed/node.h"
#include "homed/peers.h"
#include "homed/scheduler.h"
#include "homed/sharing.h"
#include "lib/base/paths.h"

namespace omig {

namespace {

constexpr u16 kDefaultPort = 7946;
constexpr milliseconds kSampleEvery{250};
constexpr double kLoadChange = 0.5;  // threads; more than that is told to the others at once

std::string host_name() {
  char name[64] = "node";
  gethostname(name, sizeof(name) - 1);
  return name;
}

std::runtime_error failure(const std::string& what) { return std::runtime_error(what + ": " + std::strerror(errno)); }

Endpoint endpoint_option(const std::string& option, const std::string& text) {
  const auto endpoint = Endpoint::parse(text, kDefaultPort);
  if (!endpoint) throw std::runtime_error(option + " " + text + ": not an address like 10.0.0.1:7946");
  return *endpoint;
}

// Exits the process on --help and on mistakes (status 2).
Config parse_options(int argc, char** argv) {
  Config config;
  config.state_dir = default_state_dir();
  config.name = host_name();
  config.id = 0;
  std::string listen = "127.0.0.1";
  std::vector<std::string> peers;
  bool no_balance = false;
  CLI::App app{"omig's daemon: one per node"};
  app.add_option("--state-dir", config.state_dir, "state directory (default: $OMIG_DIR and its defaults)");
  app.add_option("--name", config.name, "this node's name (default: the host name)");
  app.add_option("--id", config.id, "this node's number, 1..65535")->check(CLI::Range(1, 65535))->required();
  app.add_option("--listen", listen, "A.B.C.D[:PORT], where the others reach this node");
  app.add_option("--peer", peers, "A.B.C.D[:PORT] of another node; one is enough, the rest is learned");
  app.add_option("--cpus", config.cpus, "CPUs to reckon with (default: affinity and cgroup quota)")
      ->check(CLI::Range(0.01, 65536.0));
  app.add_option("--speed", config.speed, "speed of one CPU, 1 = reference (default: measured)")
      ->check(CLI::Range(0.01, 100.0));
  app.add_flag("--foreground", config.foreground, "stay in the foreground, log to stderr");
  app.add_flag("--no-balance", no_balance, "never move a process by itself, nor accept the schedulers' guests");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    std::exit(app.exit(e) == 0 ? 0 : 2);
  }
  config.balance = !no_balance;
  if (config.name.empty() || config.name.size() > 31) throw std::runtime_error("--name: 1 to 31 characters");
  config.listen = endpoint_option("--listen", listen);
  for (const std::string& peer : peers) config.peers.push_back(endpoint_option("--peer", peer));
  return config;
}

// Creates the state directory and makes sure that it is ours alone.
void prepare_directory(std::string& dir) {
  if (mkdir(dir.c_str(), 0700) != 0 && errno != EEXIST) throw failure("cannot create " + dir);
  struct stat info {};
  if (stat(dir.c_str(), &info) != 0 || !S_ISDIR(info.st_mode)) throw failure(dir + " is not a directory");
  if (info.st_uid != geteuid()) throw std::runtime_error(dir + " belongs to another user: choose another --state-dir");
  if ((info.st_mode & 077) != 0 && chmod(dir.c_str(), 0700) != 0) throw failure("cannot protect " + dir);
  dir = canonical_path(dir);
  for (const char* name : {"/hosts", "/usage"}) {
    if (mkdir((dir + name).c_str(), 0700) != 0 && errno != EEXIST) throw failure("cannot create " + dir + name);
  }
}

// Holds homed.pid locked as long as we live: two daemons on one directory would fight over the sockets.
Fd lock_directory(const std::string& dir) {
  const std::string path = dir + "/homed.pid";
  Fd fd(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!fd) throw failure("cannot open " + path);
  if (flock(fd.get(), LOCK_EX | LOCK_NB) != 0) throw std::runtime_error("a homed is already running on " + dir);
  return fd;
}

void write_pid(int fd) {
  const std::string text = std::to_string(getpid()) + "\n";
  if (ftruncate(fd, 0) != 0 || pwrite(fd, text.data(), text.size(), 0) < 0) log("homed.pid: {}", std::strerror(errno));
}

// Goes to the background. The parent waits until the child is ready (or dead) and exits with its status; the child gets
// the descriptor to report on.
Fd detach(const std::string& dir) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) throw failure("pipe");
  const pid_t pid = fork();
  if (pid < 0) throw failure("fork");
  if (pid > 0) {
    close(ends[1]);
    char ready = 0;
    const bool ok = read(ends[0], &ready, 1) == 1;
    _exit(ok ? 0 : 1);
  }
  close(ends[0]);
  setsid();
  const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  const int log_fd = open((dir + "/homed.log").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (null < 0 || log_fd < 0) throw failure("cannot write " + dir + "/homed.log");
  dup2(null, 0);
  dup2(null, 1);
  // stderr stays until we are ready: mistakes in the configuration belong on the terminal.
  return Fd(ends[1]);
}

void now_ready(Fd report, const std::string& dir) {
  if (!report) return;
  const int log_fd = open((dir + "/homed.log").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (log_fd >= 0) dup2(log_fd, 2);
  if (log_fd > 2) close(log_fd);
  [[maybe_unused]] const ssize_t put = write(report.get(), "+", 1);
}

void raise_descriptor_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

awaitable<void> bring_home(Moves& moves, pid_t pid, std::string reason) {
  log("process {} is brought home: {}", pid, reason);
  const MoveResult result = co_await moves.migrate(pid, "home", 0);
  if (!result.ok) log("process {} could not be brought home: {}", pid, result.reason);
}

// Looks at our processes and guests four times a second, and sees to what follows from it at once.
awaitable<void> keep_watch(Daemon& d, Moves& moves, Peers& peers, Scheduler& scheduler) {
  asio::steady_timer timer(d.io);
  double told = 0;
  constexpr i64 kSweepEvery_ms = 2'000;
  i64 swept_ms = 0;
  for (;;) {
    co_await net::pause(timer, kSampleEvery);
    d.processes.scan(now_ms());
    d.visitors.scan(now_ms());
    if (const i64 now = now_ms(); now >= swept_ms + kSweepEvery_ms) {
      swept_ms = now;
      sweep_ledger(d.config.state_dir);
      for (const auto& [pid, p] : d.processes.all()) {
        if (p.where != Where::away) continue;
        if (const auto reason = why_shared_by_now(pid)) spawn(d, "bringing home", bring_home(moves, pid, *reason));
      }
    }
    const auto arrived = [&](const VisitorKey& key) {
      const auto it = d.processes.all().find(key.pid);
      return key.home == d.config.name && it != d.processes.all().end() && it->second.where == Where::home;
    };
    d.visitors.review_reservations([&](pid_t pid) { return d.children.running(pid); }, arrived, now_ms());
    for (auto& [pid, p] : d.processes.all()) {
      const u64 stop = p.where == Where::away && p.state == 'T' ? stop_number(pid) : 0;
      if (stop != 0 && stop != p.stop_told) spawn(d, "telling a stop", moves.tell_stop(pid, {p.host, p.token}));
      p.stop_told = stop;
    }
    const double load = own_entry(d).load();
    if (std::abs(load - told) >= kLoadChange) {
      told = load;
      peers.hurry();
      scheduler.poke();
    }
  }
}

awaitable<void> end_on_signal(Daemon& d) {
  asio::signal_set signals(d.io, SIGTERM, SIGINT);
  const auto [code, signal] = co_await signals.async_wait(kCompletion);
  log("ending by signal {}; running programs and guests go on", signal);
  d.io.stop();
}

int run(Config config) {
  prepare_directory(config.state_dir);
  const Fd lock = lock_directory(config.state_dir);
  std::string error;
  const auto key = load_or_create_cluster_key(config.state_dir, &error);
  if (!key) throw std::runtime_error(error);
  Fd report;
  if (!config.foreground) report = detach(config.state_dir);
  write_pid(lock.get());
  raise_descriptor_limit();
  signal(SIGPIPE, SIG_IGN);
  umask(077);
  if (config.cpus == 0) config.cpus = usable_cpus();
  if (config.speed == 0) config.speed = measure_speed();

  asio::io_context io(1);
  Daemon daemon(io, config, *key);
  daemon.incarnation = static_cast<u64>(std::chrono::system_clock::now().time_since_epoch() / milliseconds(1));
  Moves moves(daemon);
  Scheduler scheduler(daemon, moves);
  Peers peers(daemon, [&] { scheduler.poke(); });
  Control control(daemon, moves, peers);
  daemon.processes.scan(now_ms());
  daemon.visitors.scan(now_ms());
  peers.start();
  control.start();
  spawn(daemon, "watching", keep_watch(daemon, moves, peers, scheduler));
  spawn(daemon, "scheduling", scheduler.run());
  spawn(daemon, "signals", end_on_signal(daemon));
  now_ready(std::move(report), config.state_dir);
  log("homed {} ({}) at {} for {}, {:.2f} CPUs of speed {:.2f}{}", config.name, config.id, config.listen.text(),
      config.state_dir, config.cpus, config.speed, config.balance ? "" : ", no balancing");
  io.run();
  return 0;
}

}  // namespace

}  // namespace omig

int main(int argc, char** argv) {
  try {
    return omig::run(omig::parse_options(argc, argv));
  } catch (const std::exception& e) {
    std::fprintf(stderr, "homed: %s\n", e.what());
    return 1;
  }
}
