// SPDX-License-Identifier: Apache-2.0
// homed: one daemon per node. It knows the node's processes, hears of the other nodes, decides who should run where and
// has omig-host carry it out. Its death hurts nobody, and a new one finds everything again.
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "homed/cache.h"
#include "homed/capacity.h"
#include "homed/control.h"
#include "homed/ledger.h"
#include "homed/map_file.h"
#include "homed/members.h"
#include "homed/node.h"
#include "homed/peers.h"
#include "homed/scheduler.h"
#include "homed/settings.h"
#include "homed/sharing.h"
#include "homed/speed.h"
#include "homed/usher.h"
#include "lib/base/paths.h"
#include "lib/cli/command_line.h"

namespace omig {

namespace {

constexpr milliseconds kSampleEvery{250};
constexpr double kLoadChange = 0.5;  // threads; more than that is told to the others at once

std::string host_name() {
  char name[64] = "node";
  gethostname(name, sizeof(name) - 1);
  return name;
}

// The command line is wrong: exit status 2.
class UsageError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

std::runtime_error failure(const std::string& what) { return std::runtime_error(what + ": " + std::strerror(errno)); }

Endpoint endpoint_option(const std::string& option, const std::string& text) {
  const auto endpoint = Endpoint::parse(text, cluster::kHomedPort);
  if (!endpoint) throw UsageError(option + " " + text + ": not an address like 10.0.0.1:7946 (homed --help)");
  return *endpoint;
}

// What the command line says.
struct Start {
  Config config;
  cluster::Membership membership;
  bool listen_given = false;
};

// Id, address and peers as the map has them.
cluster::Membership by_map(const Config& config, const std::string& file, bool listen_given) {
  cluster::Membership membership =
      membership_by(read_map(file), addresses_to_find(config.listen, listen_given), config.listen.port, file);
  if (config.id != 0 && config.id != membership.id)
    throw std::runtime_error(fmt::format("--id {}: in the map {} this machine ({}) is node {}", config.id, file,
                                         membership.listen.address_text(), membership.id));
  return membership;
}

// Exits the process on --help and on mistakes (status 2).
Start parse_options(const cli::Words& words) {
  Config config;
  config.state_dir = default_state_dir();
  config.name = host_name();
  config.id = 0;
  std::string listen = "127.0.0.1";
  std::vector<std::string> peers;
  std::string map;
  bool no_balance = false;
  std::string policy(config.policy->name);
  CLI::App app{"omig's daemon: one per node", "homed"};
  app.add_option("--state-dir", config.state_dir, "state directory (default: $OMIG_DIR and its defaults)")
      ->type_name("DIR");
  app.add_option("--name", config.name, "this node's name (default: the host name)")->type_name("NAME");
  app.add_option("--id", config.id, "this node's number, 1..65535 (default: what the map says)")
      ->type_name("ID")
      ->check(CLI::Range(1, 65535));
  app.add_option("--map", map,
                 fmt::format("the cluster's nodes (default: {}, if neither --id nor --peer is given)", kDefaultMap))
      ->type_name("FILE");
  const CLI::Option* listen_option =
      app.add_option("--listen", listen, "A.B.C.D[:PORT], where the others reach this node")->type_name("ADDRESS");
  app.add_option("--peer", peers, "A.B.C.D[:PORT] of another node; one is enough, the rest is learned")
      ->type_name("ADDRESS");
  const CLI::Option* cpus =
      app.add_option("--cpus", config.cpus, "CPUs to reckon with (default: affinity and cgroup quota)")
          ->type_name("N")
          ->check(CLI::Range(0.01, 65536.0));
  const CLI::Option* speed =
      app.add_option("--speed", config.speed, "speed of one CPU, 1 = reference (default: measured)")
          ->type_name("S")
          ->check(CLI::Range(0.01, 100.0));
  app.add_option("--policy", policy, "who decides where programs run: " + policy_names())->type_name("POLICY");
  app.add_flag("--foreground", config.foreground, "stay in the foreground, log to stderr");
  app.add_flag("--no-balance", no_balance, "never move a process by itself, nor accept the schedulers' guests");
  cli::example(app,
               "  homed --id 1 --listen 10.0.0.1\n  homed --id 2 --listen 10.0.0.2 --peer 10.0.0.1\n"
               "  homed --map cluster.map");
  if (const auto end = cli::parse(app, words)) std::exit(*end);
  config.balance = !no_balance;
  config.cpus_given = cpus->count() > 0;
  config.speed_given = speed->count() > 0;
  if (config.speed_given) config.speed_option = config.speed;
  config.policy = cluster::policy_named(policy);
  if (config.policy == nullptr)
    throw UsageError(fmt::format("--policy {}: there are {} (homed --help)", policy, policy_names()));
  if (config.name.empty() || config.name.size() > 31)
    throw UsageError("--name " + config.name + ": needs 1 to 31 characters (homed --help)");
  config.listen = endpoint_option("--listen", listen);
  for (const std::string& peer : peers) config.peers.push_back(endpoint_option("--peer", peer));
  if (!map.empty() && !peers.empty())
    throw UsageError(fmt::format("--map {} and --peer {}: one of them forms the cluster, not both (homed --help)", map,
                                 peers.front()));
  if (map.empty() && peers.empty() && config.id == 0) {
    if (access(kDefaultMap, F_OK) != 0)
      throw UsageError(fmt::format("needs --id or a map: there is no {} (homed --help)", kDefaultMap));
    map = kDefaultMap;
  }
  const bool listen_given = listen_option->count() > 0;
  if (map.empty() && config.id == 0) throw UsageError("--peer needs --id: this node's number (homed --help)");
  cluster::Membership membership;
  if (!map.empty()) {
    membership = by_map(config, map, listen_given);
  } else {
    membership.id = config.id;
    membership.listen = config.listen;
    membership.peers = config.peers;
  }
  return {std::move(config), std::move(membership), listen_given};
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

awaitable<void> bring_home(Daemon& d, Moves& moves, pid_t pid, std::string reason) {
  cluster::MoveDecision decision;
  decision.pid = pid;
  decision.target_id = d.config.id;
  MoveRecord record = record_of(d, decision, {d.config.name, pid}, "home", std::move(reason));
  if (const auto it = d.processes.all().find(pid); it != d.processes.all().end()) record.from = it->second.node;
  const MoveResult result = co_await moves.migrate(pid, "home", ourselves());
  d.history.add(concluded(std::move(record), result));
}

// Looks at our processes and guests four times a second, and sees to what follows from it at once.
awaitable<void> keep_watch(Daemon& d, Moves& moves, Peers& peers, Members& members, Scheduler& scheduler,
                           Starts& starts, Usher& usher, Warden& warden) {
  asio::steady_timer timer(d.io);
  double told = 0;
  constexpr i64 kSweepEvery_ms = 2'000;
  i64 swept_ms = 0;
  for (;;) {
    co_await net::pause(timer, kSampleEvery);
    d.processes.scan(now_ms());
    d.visitors.scan(now_ms());
    starts.observe();
    usher.review();
    warden.review();
    members.part_from_revoked();
    if (const i64 now = now_ms(); now >= swept_ms + kSweepEvery_ms) {
      swept_ms = now;
      sweep_ledger(d.config.state_dir);
      d.groups.sweep();
      keep_newest(d.config.state_dir + "/file-hashes", kMostHashes, ~0ull);
      for (const auto& [pid, p] : d.processes.all()) {
        if (p.where != Where::away) continue;
        if (const auto reason = why_shared_by_now(pid)) spawn(d, "bringing home", bring_home(d, moves, pid, *reason));
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
      if (p.where != Where::away || d.moving.contains({d.config.name, pid})) continue;
      if (auto changed = scheduling_to_tell(p); !changed.empty())
        spawn(d, "telling a priority", moves.tell_scheduling(pid, {p.host, p.token}, std::move(changed)));
      for (const DirectedSignals& pending : directed_signals(pid))
        if (d.directed_told.insert(pending.tid).second)
          spawn(d, "telling a signal", moves.tell_directed(pid, {p.host, p.token}, pending));
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

int run(Start start) {
  Config config = std::move(start.config);
  prepare_directory(config.state_dir);
  const Fd lock = lock_directory(config.state_dir);
  const cluster::Membership membership = kept_membership(config.state_dir, std::move(start.membership));
  config.id = membership.id;
  config.listen = membership.listen;
  config.peers = membership.peers;
  Credentials credentials(config.state_dir, config.name);
  Fd report;
  if (!config.foreground) report = detach(config.state_dir);
  write_pid(lock.get());
  raise_descriptor_limit();
  signal(SIGPIPE, SIG_IGN);
  umask(077);
  if (!config.cpus_given) config.cpus = usable_cpus();
  if (!config.speed_given) config.speed = cached_speed(config.state_dir, speed_key()).value_or(1);

  asio::io_context io(1);
  Daemon daemon(io, config, std::move(credentials));
  daemon.incarnation = static_cast<u64>(std::chrono::system_clock::now().time_since_epoch() / milliseconds(1));
  restore_settings(daemon);
  Moves moves(daemon);
  Scheduler scheduler(daemon, moves);
  Peers peers(daemon, [&] { scheduler.poke(); });
  Starts starts(daemon, moves);
  Usher usher(daemon, moves);
  Warden warden(daemon, moves);
  Members members(daemon, moves, peers, start.listen_given);
  peers.on_revoked = [&] { members.note_revoked(); };
  Control control(daemon, moves, peers, members, starts);
  daemon.processes.scan(now_ms());
  daemon.visitors.scan(now_ms());
  peers.start(membership);
  control.start();
  spawn(daemon, "watching", keep_watch(daemon, moves, peers, members, scheduler, starts, usher, warden));
  spawn(daemon, "scheduling", scheduler.run());
  spawn(daemon, "measuring", keep_capacity(daemon));
  spawn(daemon, "utilisation", keep_utilisation(daemon));
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
    if (argc == 2 && std::strcmp(argv[1], "--print-speed") == 0) return omig::print_speed();
    return omig::run(omig::parse_options({argv + std::min(argc, 1), argv + argc}));
  } catch (const omig::UsageError& e) {
    std::fprintf(stderr, "homed: %s\n", e.what());
    return omig::cli::kUsageError;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "homed: %s\n", e.what());
    return 1;
  }
}
