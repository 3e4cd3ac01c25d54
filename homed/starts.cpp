// SPDX-License-Identifier: Apache-2.0
#include "homed/starts.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <climits>
#include <cmath>

#include "homed/ledger.h"
#include "homed/scheduler.h"
#include "lib/cluster/explain.h"

namespace omig {

namespace {

constexpr size_t kMostWatched = 4'096;
constexpr u32 kMostPlacing = 16;  // at the same time
constexpr u32 kMostLooks = 20;    // at one that is unknown, until it computes
constexpr std::array kEarlyLooks{milliseconds(30), milliseconds(90)};
constexpr milliseconds kForTurn{15};
constexpr u32 kMostSteps = 40;  // asking and waiting for one process

std::string program_of(pid_t pid) {
  char path[PATH_MAX];
  const ssize_t length = readlink(("/proc/" + std::to_string(pid) + "/exe").c_str(), path, sizeof(path));
  return length > 0 ? std::string(path, static_cast<size_t>(length)) : "";
}

// Where it starts is not for the policy to say.
bool stays_by_order(const cluster::Job& job) { return job.locked || job.kind == cluster::JobKind::io; }

bool computes(pid_t pid) {
  const auto stat = read_stat(pid);
  return stat && stat->state == 'R' && main_thread_cpu_ms(pid) >= cluster::kShowsByCpu_ms;
}

}  // namespace

void Starts::announced(pid_t pid) {
  const std::string name = program_of(pid);
  if (name.empty()) return;
  const auto process = d_.processes.all().find(pid);
  const bool watched = runs_.contains(pid);
  if (watched) conclude(pid);  // it has become another program
  const cluster::Program* known = d_.programs.find(name);
  if (process != d_.processes.all().end()) {
    process->second.program = name;
    // It runs just now, of course: it has told us so.
    if (known != nullptr) process->second.meter = cluster::DemandMeter(known->demand);
  }
  const i64 began_ms = now_ms();
  if (watched || runs_.size() < kMostWatched) runs_[pid] = {name, began_ms, {}};
  if (!watched && runs_.contains(pid)) {
    const int fd = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
    if (fd < 0) {
      runs_.erase(pid);  // it has ended
      return;
    }
    spawn(d_, "watching a program", watch(pid, asio::posix::stream_descriptor(d_.io, fd)));
  }
  d_.coming.add(cluster::coming_weight(known), began_ms, cluster::DecayKind::slow, {});
  const auto wish = cluster::start_wish(known);
  // One of ours that starts another program says soon what it is.
  const bool by_hand = d_.placed_by_hand.contains(pid) || name.ends_with("/omctl") ||
                       (process != d_.processes.all().end() && stays_by_order(process->second.job));
  if (!d_.config.balance || d_.settings.stay || d_.settings.lstay || by_hand ||
      d_.config.policy->start == cluster::StartRule::home || wish == cluster::StartWish::never ||
      placing_ >= kMostPlacing)
    return;
  ++placing_;
  spawn(d_, fmt::format("placing {}", pid), place(pid, began_ms, wish == cluster::StartWish::after_a_while));
}

void Starts::observe() {
  for (auto& [pid, run] : runs_) {
    const auto it = d_.processes.all().find(pid);
    if (it == d_.processes.all().end()) continue;
    const Process& p = it->second;
    cluster::Program& seen = run.so_far;
    // As it would be with a CPU to itself.
    const double cpu = std::clamp(p.cpu_per_s, cluster::kLeastCpu_per_s, 1.0);
    seen.calls_per_s = p.calls_per_s / cpu;
    seen.bytes_per_s = p.bytes_per_s / cpu;
    note_cpu(pid);
    seen.rss_bytes = std::max(seen.rss_bytes, static_cast<double>(p.rss_bytes));
    if (p.where == Where::home && p.meter.samples() >= 2) seen.demand = p.meter.demand();
  }
}

void Starts::note_cpu(pid_t pid) {
  const auto it = runs_.find(pid);
  if (it == runs_.end()) return;
  it->second.observed = true;
  it->second.so_far.cpu_ms = std::max(it->second.so_far.cpu_ms, main_thread_cpu_ms(pid));
}

void Starts::conclude(pid_t pid) {
  const auto it = runs_.find(pid);
  if (it == runs_.end()) return;
  cluster::Program& run = it->second.so_far;
  run.life_ms = static_cast<double>(now_ms() - it->second.began_ms);
  if (!it->second.observed) run.cpu_ms = run.life_ms;  // too short to be looked at: no more than that
  run.cpu_ms += static_cast<double>(ledger_cpu_ms(d_.config.state_dir, pid));
  d_.programs.ended(it->second.name, run, now_ms());
  runs_.erase(it);
}

awaitable<void> Starts::watch(pid_t pid, asio::posix::stream_descriptor end) {
  using namespace asio::experimental::awaitable_operators;
  asio::steady_timer timer(d_.io);
  // Those that will be gone before the next look at all processes are looked at by themselves.
  for (const milliseconds later : kEarlyLooks) {
    timer.expires_after(later);
    const auto first = co_await (end.async_wait(asio::posix::stream_descriptor::wait_read, kCompletion) ||
                                 timer.async_wait(kCompletion));
    if (first.index() == 0) {
      ended(pid);
      co_return;
    }
    note_cpu(pid);
  }
  co_await end.async_wait(asio::posix::stream_descriptor::wait_read, kCompletion);
  ended(pid);
}

// Not at the next look at all processes only: many short programs, each still counted for a moment, would be a load
// that is not there.
void Starts::ended(pid_t pid) {
  conclude(pid);
  d_.processes.ended(pid);
}

const Process* Starts::still(pid_t pid, i64 began_ms) {
  const auto run = runs_.find(pid);
  if (run == runs_.end() || run->second.began_ms != began_ms) return nullptr;
  if (d_.settings.stay || d_.settings.lstay) return nullptr;  // said meanwhile
  const Process* p = d_.processes.look_at(pid, now_ms());
  const bool here = p != nullptr && !stays_by_order(p->job) && !interactive(*p, now_ms()) && p->where == Where::home &&
                    p->state != 'T' && p->state != 't';
  return here && !d_.moving.contains({d_.config.name, pid}) ? p : nullptr;
}

cluster::StartView Starts::view_of(const Process& p, const cluster::Program* program) {
  cluster::StartView view;
  view.job = cluster::start_candidate(program, p.pid, d_.config.id);
  view.job.kind = p.job.kind;
  view.links = d_.links;
  view.home = own_entry(d_);
  view.home.runnable = std::max(0.0, view.home.runnable - p.meter.demand());
  for (const auto& [id, seen] : d_.window.all()) {
    if (!seen.alive(now_ms()) || !seen.entry.accepts || !seen.entry.versions.meet(wire::kSpoken)) continue;
    view.known.push_back(seen.entry);
    view.strangers.push_back(id);
  }
  if (!view.strangers.empty()) {
    const auto first = static_cast<std::ptrdiff_t>(turn_++ % view.strangers.size());
    std::ranges::rotate(view.strangers, view.strangers.begin() + first);
  }
  return view;
}

awaitable<void> Starts::place(pid_t pid, i64 began_ms, bool wait_a_while) {
  struct Count {
    u32& value;
    ~Count() { --value; }
  } const count{placing_};
  const VisitorKey key{d_.config.name, pid};
  asio::steady_timer timer(d_.io);
  for (u32 i = 0; wait_a_while && i < kMostLooks && (i == 0 || !computes(pid)); ++i)
    co_await net::pause(timer, milliseconds(cluster::kAWhile_ms));
  const Process* p = still(pid, began_ms);
  if (p == nullptr || (wait_a_while && !computes(pid))) co_return;
  const std::string name = runs_.at(pid).name;
  cluster::StartView view = view_of(*p, d_.programs.find(name));
  for (u32 i = 0; i < kMostSteps; ++i) {
    while (d_.on_their_way >= kMovesAtOnce) {
      co_await net::pause(timer, kForTurn);
      p = still(pid, began_ms);
      if (p == nullptr || (wait_a_while && !computes(pid))) co_return;
      view = view_of(*p, d_.programs.find(name));
    }
    const cluster::StartStep step = cluster::next_step(view, d_.incarnation + turn_, *d_.config.policy);
    if (step.kind == cluster::StartStep::Kind::here) co_return;
    if (step.kind == cluster::StartStep::Kind::wait) {
      co_await net::pause(timer, milliseconds(std::max<i64>(1, std::lround(step.wait_s * 1000))));
    } else {
      cluster::PlacementState state;
      state.self = view.home;
      if (const cluster::Seen* target = d_.window.find(step.offer.target_id)) state.others = {target->entry};
      const auto name_of = [&](u32 id) { return node_name(d_, id); };
      MoveRecord record = record_of(d_, step.offer, key, "start", cluster::reason_of(step.offer, state, name_of));
      const OnItsWay counted(d_, 0);  // it has no memory yet
      d_.moving[key] = now_ms();      // nobody else may pick it meanwhile
      const std::string declined = co_await moves_.reserve(step.offer, d_.config.name);
      d_.moving.erase(key);
      const cluster::Seen* target = d_.window.find(step.offer.target_id);
      if (declined.empty() && target != nullptr && still(pid, began_ms) != nullptr) {
        const cluster::Seen to = *target;
        const MoveResult result = co_await moves_.carry_out(key, to);
        d_.history.add(concluded(std::move(record), result));
        co_return;
      }
      view.asked.push_back(step.offer.target_id);
      if (target != nullptr) view.answers.push_back(target->entry);
      if (!step.offer.own_cpu) ++view.last_offers;
    }
    p = still(pid, began_ms);
    if (p == nullptr) co_return;
    if (step.kind == cluster::StartStep::Kind::wait) {
      const double waited_s = view.waited_s + step.wait_s;
      view = view_of(*p, d_.programs.find(name));
      view.waited_s = waited_s;
    }
  }
}

}  // namespace omig
