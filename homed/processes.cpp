// SPDX-License-Identifier: Apache-2.0
// Whose process is it? Ours are those that have the engine mapped or can be given it, live in our pid namespace (guests
// of a lab node on the same kernel do not), run as our user (root: as anybody) and have our state directory in their
// environment. A program may overwrite its environment area (a title for ps); then its announcement or its parent
// decides.
#include "homed/processes.h"

#include <unistd.h>

#include <climits>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include "lib/base/paths.h"

namespace omig {

namespace {

constexpr i64 kLookAgain_ms = 3'000;  // a stranger may exec a preloaded program

u64 ticks_to_ms(u64 ticks) {
  static const u64 per_s = static_cast<u64>(sysconf(_SC_CLK_TCK));
  return ticks * 1000 / per_s;
}

u64 boot_ms() {
  timespec t{};
  clock_gettime(CLOCK_BOOTTIME, &t);
  return static_cast<u64>(t.tv_sec) * 1000 + static_cast<u64>(t.tv_nsec) / 1'000'000;
}

std::string proc_path(pid_t pid, const char* leaf) { return "/proc/" + std::to_string(pid) + "/" + leaf; }

struct Counted {
  u64 calls = 0, bytes = 0;
};

u64 number_of(std::string_view text) { return text.empty() ? 0 : std::strtoull(text.data(), nullptr, 10); }

// While it is away its deputy sleeps between the calls that it executes: so many sleeps, so many calls.
Counted counted_calls(pid_t pid, bool away) {
  const std::string text = read_text_file(proc_path(pid, "io")).value_or("");
  const auto sum = [&](const char* a, const char* b) {
    return number_of(status_field(text, a)) + number_of(status_field(text, b));
  };
  Counted counted{sum("syscr", "syscw"), sum("rchar", "wchar")};
  if (!away) return counted;
  const std::string status = read_text_file(proc_path(pid, "status")).value_or("");
  counted.calls = number_of(status_field(status, "voluntary_ctxt_switches"));
  return counted;
}

double runnable_threads(pid_t pid, const ProcStat& stat) {
  if (stat.threads <= 1) return stat.state == 'R' ? 1 : 0;
  double runnable = 0;
  for (const pid_t tid : list_tids(pid)) {
    const auto thread = read_thread_stat(pid, tid);
    if (thread && thread->state == 'R') runnable += 1;
  }
  return runnable;
}

}  // namespace

std::string canonical_path(const std::string& path) {
  char resolved[PATH_MAX];
  return realpath(path.c_str(), resolved) != nullptr ? resolved : path;
}

std::map<pid_t, Scheduling> scheduling_to_tell(Process& process) {
  std::map<pid_t, Scheduling> changed;
  for (const auto& [tid, now] : thread_scheduling(process.pid)) {
    // What a guest brought along, or inherited there, needs no telling; the ordinary is most often what it brought.
    const auto [told, first] = process.scheduling_told.try_emplace(tid);
    if (told->second == now) continue;
    changed.emplace(tid, now);
    told->second = now;
  }
  return changed;
}

bool interactive(const Process& p, i64 now_ms) {
  constexpr i64 kLately_ms = 10'000;
  if (!p.foreground) return false;
  const bool slept = p.asleep_ms != 0 && now_ms - p.asleep_ms < kLately_ms;
  return slept || (p.leads_group && static_cast<i64>(p.age_ms) < kLately_ms);
}

Processes::Processes(std::string state_dir, uid_t uid) : state_dir_(canonical_path(state_dir)), uid_(uid) {
  const auto own = namespace_pids(read_text_file("/proc/self/status").value_or(""));
  if (!own.empty()) namespace_depth_ = own.size();
}

void Processes::announced(pid_t pid, i64 now_ms) {
  announced_.insert(pid);
  ++announcements_[pid];
  strangers_.erase(pid);
  identify(pid, now_ms);
}

u64 Processes::announcements(pid_t pid) const {
  const auto it = announcements_.find(pid);
  return it == announcements_.end() ? 0 : it->second;
}

bool Processes::scan(i64 now_ms) {
  bool changed = false;
  for (auto it = processes_.begin(); it != processes_.end();) {
    const bool gone = !sample(it->second, now_ms);
    changed = changed || gone;
    it = gone ? processes_.erase(it) : std::next(it);
  }
  const std::vector<pid_t> pids = list_pids();
  std::map<pid_t, i64> strangers;
  for (const pid_t pid : pids) {
    if (processes_.contains(pid)) continue;
    const auto seen = strangers_.find(pid);
    if (seen != strangers_.end() && now_ms - seen->second < kLookAgain_ms) {
      strangers.insert(*seen);
    } else if (identify(pid, now_ms)) {
      changed = true;
    } else {
      // The second look is spread over time, or every few seconds one scan would read all of /proc.
      strangers[pid] = seen == strangers_.end() ? now_ms - pid % kLookAgain_ms : now_ms;
    }
  }
  strangers_ = std::move(strangers);
  std::erase_if(announcements_,
                [&](const auto& item) { return !processes_.contains(item.first) && !strangers_.contains(item.first); });
  std::erase_if(announced_, [&](pid_t pid) { return processes_.contains(pid) || !strangers_.contains(pid); });
  return changed;
}

Process* Processes::look_at(pid_t pid, i64 now_ms, bool asked) {
  auto it = processes_.find(pid);
  if (it != processes_.end()) {
    const auto stat = read_stat(pid);
    if (stat && stat->start_ticks == it->second.start_ticks && stat->state != 'Z' && stat->state != 'X') {
      read_where(it->second, now_ms);
      return &it->second;
    }
    processes_.erase(it);
  }
  if (!identify(pid, now_ms, asked)) return nullptr;
  return &processes_.at(pid);
}

bool Processes::belongs(pid_t pid, const ProcStat& stat, uid_t process_uid) const {
  if (announced_.contains(pid)) return true;
  const auto block = read_text_file(proc_path(pid, "environ"));
  if (block) {
    const auto get = [&](std::string_view name) { return environment_variable(*block, name); };
    if (canonical_path(state_dir_of(get, process_uid)) == state_dir_) return true;
    if (get("OMIG_DIR")) return false;
  }
  return has_known_ancestor(stat);
}

// Those in between may be too young to be known themselves.
bool Processes::has_known_ancestor(const ProcStat& stat) const {
  constexpr int kMostGenerations = 64;
  pid_t ancestor = stat.ppid;
  for (int i = 0; i < kMostGenerations && ancestor > 1; ++i) {
    if (processes_.contains(ancestor) || announced_.contains(ancestor)) return true;
    const auto parent = read_stat(ancestor);
    if (!parent) return false;
    ancestor = parent->ppid;
  }
  return false;
}

// Static programs, Go's, those that were started without our variables: known by who started them or who said so. Not
// omctl, which is about to become the program that it has announced; nor one that is being loaded and will have the
// engine in a moment.
bool Processes::can_be_given_the_engine(pid_t pid, const ProcStat& stat) const {
  constexpr u64 kLoaded_ms = 300;
  if (!announced_.contains(pid) && !has_known_ancestor(stat)) return false;
  const u64 started_ms = ticks_to_ms(stat.start_ticks);
  if (boot_ms() < started_ms + kLoaded_ms) return false;
  char exe[PATH_MAX];
  const ssize_t length = readlink(proc_path(pid, "exe").c_str(), exe, sizeof exe);
  return length > 0 && !std::string_view(exe, static_cast<size_t>(length)).ends_with("/omctl");
}

bool Processes::identify(pid_t pid, i64 now_ms, bool asked) {
  const auto stat = read_stat(pid);
  if (!stat || stat->state == 'Z' || stat->state == 'X') return false;
  if (!asked && !has_engine(pid) && !can_be_given_the_engine(pid, *stat)) return false;
  const auto status = read_text_file(proc_path(pid, "status"));
  if (!status || namespace_pids(*status).size() != namespace_depth_) return false;
  const auto uid = effective_uid(*status);
  if (!uid || (uid_ != 0 && *uid != uid_) || !belongs(pid, *stat, *uid)) return false;
  Process p;
  p.pid = pid;
  p.start_ticks = stat->start_ticks;
  p.uid = *uid;
  take_job(p, stat->ppid);
  read_where(p, now_ms);
  const Counted counted = counted_calls(pid, p.where == Where::away);
  p.calls = counted.calls;
  p.bytes = counted.bytes;
  p.since_ms = 0;
  if (!sample(p, now_ms)) return false;
  processes_[pid] = p;
  return true;
}

// From itself, if it has only executed another program; else from its parent. What its environment says counts where
// that is news to them: also of one whose parent has ended already, and of all after a restart of homed.
void Processes::take_job(Process& p, pid_t parent) const {
  const auto self = processes_.find(p.pid);
  const bool same = self != processes_.end() && self->second.start_ticks == p.start_ticks;
  const auto from = same ? self : processes_.find(parent);
  if (from != processes_.end()) {
    p.job = from->second.job;
    p.job_said = from->second.job_said;
  }
  const auto block = read_text_file(proc_path(p.pid, "environ"));
  const auto said = block ? environment_variable(*block, cluster::kJobVariable) : std::nullopt;
  if (!said || *said == p.job_said) return;
  p.job_said = *said;
  p.job = cluster::job_from(*said);
}

bool Processes::sample(Process& p, i64 now_ms) {
  const auto stat = read_stat(p.pid);
  if (!stat || stat->start_ticks != p.start_ticks || stat->state == 'Z' || stat->state == 'X') {
    sampled_ms_.erase(p.pid);
    return false;
  }
  const auto last = sampled_ms_.find(p.pid);
  const i64 elapsed_ms = last == sampled_ms_.end() ? 0 : now_ms - last->second;
  sampled_ms_[p.pid] = now_ms;
  p.state = stat->state;
  p.threads = stat->threads;
  p.rss_bytes = stat->rss_bytes;
  const u64 cpu_before_ms = p.cpu_ms;
  p.cpu_ms = ticks_to_ms(stat->cpu_ticks);
  const u64 started_ms = ticks_to_ms(stat->start_ticks);
  p.age_ms = boot_ms() > started_ms ? boot_ms() - started_ms : 0;
  const double runnable = runnable_threads(p.pid, *stat);
  p.meter.sample(runnable, elapsed_ms);
  p.foreground = stat->foreground;
  p.leads_group = stat->leads_group;
  if (runnable == 0) p.asleep_ms = now_ms;
  if (elapsed_ms > 0) {
    const Counted counted = counted_calls(p.pid, p.where == Where::away);
    const auto more = [](u64 now, u64 before) { return now > before ? static_cast<double>(now - before) : 0; };
    if (!p.recount) p.call_sum.add(more(counted.calls, p.calls), now_ms, p.job.decay, decay);
    p.byte_sum.add(more(counted.bytes, p.bytes), now_ms, p.job.decay, decay);
    // What its deputy uses while it is away says nothing.
    p.cpu_sum.add(p.where == Where::home ? more(p.cpu_ms, cpu_before_ms) : static_cast<double>(elapsed_ms), now_ms,
                  p.job.decay, decay);
    p.recount = false;
    p.calls = counted.calls;
    p.bytes = counted.bytes;
    p.calls_per_s = p.call_sum.per_s(now_ms, p.job.decay, decay);
    p.bytes_per_s = p.byte_sum.per_s(now_ms, p.job.decay, decay);
    p.cpu_per_s = p.cpu_sum.per_s(now_ms, p.job.decay, decay) / 1000;
  }
  read_where(p, now_ms);
  return true;
}

void Processes::read_where(Process& p, i64 now_ms) {
  const auto anchor = read_anchor(p.pid);
  if (!anchor) return;
  if (anchor->moves != p.moves || anchor->where != p.where) {
    p.since_ms = now_ms;
    p.scheduling_told.clear();
  }
  if (anchor->where != p.where) {
    // A deputy that is seen running for its first moment is none the less one that mostly waits.
    p.meter = anchor->where == Where::away ? cluster::DemandMeter(0) : cluster::DemandMeter();
    p.recount = true;
  }
  p.where = anchor->where;
  p.moves = anchor->moves;
  p.node = anchor->node;
  p.images = anchor->images;
  p.came_home_for = anchor->came_home_for;
  std::memcpy(p.host.address.data(), anchor->host_address, 4);
  p.host.port = static_cast<u16>(anchor->host_port);
  std::memcpy(p.token.data(), anchor->token, p.token.size());
}

}  // namespace omig
