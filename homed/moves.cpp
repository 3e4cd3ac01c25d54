// SPDX-License-Identifier: Apache-2.0
#include "homed/moves.h"

#include <unistd.h>

#include <algorithm>

#include "homed/allow.h"
#include "homed/reasons.h"
#include "homed/scheduler.h"
#include "lib/base/paths.h"

namespace omig {

namespace {

constexpr i64 kBusyWait_ms = 10'000;
constexpr milliseconds kReachTarget{3'000};
constexpr i64 kBarAfterRefusal_ms = 20'000;  // doubled by each further one: what is refused for good costs a try each
constexpr u32 kMostDoublings = 5;
constexpr i64 kBarAfterBusy_ms = 1'000;

MoveResult refused(std::string reason, const char* code = "") {
  return {false, std::move(reason), "", Json::object(), code};
}

// It may be different in a moment.
bool is_busy(const std::string& reason) {
  return reason.find("busy") != std::string::npos || reason.find("try again") != std::string::npos;
}

MoveResult arrived(std::string node) { return {true, "", std::move(node), Json::object(), ""}; }

MoveResult result_from(const Json& json) {
  MoveResult result;
  result.ok = field(json, "ok", false);
  result.reason = text_field(json, "reason");
  if (!result.ok && result.reason.empty()) result.reason = "refused without a reason";
  for (const char* key : {"freeze_ms", "total_ms", "bytes", "ahead_ms", "ahead_bytes"})
    if (json.contains(key)) result.figures[key] = json[key];
  return result;
}

// Messages and argument lists are put together outside of coroutines: GCC 12 cannot compile their braced lists within
// one.
Json move_order(i32 pid, const cluster::NodeEntry* target, const Json& ticket) {
  if (target == nullptr) return {{"op", "home"}, {"pid", pid}};
  return {{"op", "migrate"}, {"pid", pid}, {"to", target->endpoint.text()}, {"node", target->name}, {"ticket", ticket}};
}

Json ticket_request(const VisitorKey& key, u64 rss_bytes) {
  return {{"op", "move"},
          {"pid", key.pid},
          {"home", key.home},
          {"version", wire::kVersion},
          {"oldest_version", wire::kOldest},
          {"rss_bytes", rss_bytes}};
}

Json directed_order(i32 pid, const DirectedSignals& pending) {
  return {{"op", "directed"}, {"pid", pid}, {"tid", pending.tid}, {"mask", pending.mask}};
}

Json scheduling_order(i32 pid, const std::map<pid_t, Scheduling>& threads) {
  Json list = Json::array();
  for (const auto& [tid, s] : threads) list.push_back({{"tid", tid}, {"nice", s.nice}, {"policy", s.policy}});
  return {{"op", "scheduling"}, {"pid", pid}, {"threads", list}};
}

Json job_order(i32 pid, const cluster::Job& job) {
  return {{"op", "job"}, {"pid", pid}, {"job", cluster::text_of(job)}};
}

Json order_of(const char* what, i32 pid) { return {{"op", what}, {"pid", pid}}; }

Json offer_of(const cluster::MoveDecision& m, const std::string& home, const std::string& from) {
  return {{"op", "offer"},
          {"pid", m.pid},
          {"home", home},
          {"from", from},
          {"version", wire::kVersion},
          {"oldest_version", wire::kOldest},
          {"demand", m.demand},
          {"rss_bytes", m.rss_bytes},
          {"relief", m.relief},
          {"penalty", m.penalty},
          {"own_cpu", m.own_cpu},
          {"urgent", m.urgent}};
}

// A node that answers, but not so that we could work together, is as good as down; then it is the answer that helps.
std::string why_down(const Daemon& d, const cluster::NodeEntry& node) {
  const auto problem = d.problems.find(node.endpoint);
  const bool known = problem != d.problems.end() && !problem->second.empty();
  return fmt::format("node {} is down{}", node.name, known ? " (" + problem->second + ")" : "");
}

std::vector<std::string> depart_command(const std::string& program, pid_t pid, const cluster::NodeEntry& target,
                                        const cluster::Job& job, const Daemon& d) {
  std::vector<std::string> words{program,       "depart",
                                 "--ticket-fd", "3",
                                 "--pid",       std::to_string(pid),
                                 "--to",        target.endpoint.text(),
                                 "--node",      target.name,
                                 "--state-dir", d.config.state_dir,
                                 "--home",      d.config.name,
                                 "--patience",  std::to_string(d.settings.patience_s),
                                 "--job",       cluster::text_of(job)};
  if (d.settings.mptcp) words.emplace_back("--multipath");
  return words;
}

// Marks a process as moving for as long as it lives.
class Moving {
 public:
  Moving(Daemon& d, VisitorKey key) : d_(d), key_(std::move(key)) { d_.moving[key_] = now_ms(); }
  ~Moving() { d_.moving.erase(key_); }
  Moving(const Moving&) = delete;
  Moving& operator=(const Moving&) = delete;

 private:
  Daemon& d_;
  VisitorKey key_;
};

u64 rss_bytes_of(pid_t pid) {
  const auto stat = read_stat(pid);
  return stat ? stat->rss_bytes : 0;
}

std::string last_line(const std::string& text) {
  size_t end = text.find_last_not_of(" \n");
  if (end == std::string::npos) return "";
  const size_t begin = text.rfind('\n', end);
  return text.substr(begin == std::string::npos ? 0 : begin + 1,
                     end - (begin == std::string::npos ? 0 : begin + 1) + 1);
}

}  // namespace

bool MoveResult::busy() const { return !ok && (*code == '\0' ? is_busy(reason) : code == std::string_view("busy")); }

Json MoveResult::to_json() const {
  Json json = figures;
  json["ok"] = ok;
  if (ok) {
    json["node"] = node;
  } else {
    json["reason"] = reason;
    if (*code != '\0' || busy()) json["code"] = *code != '\0' ? code : "busy";
  }
  return json;
}

awaitable<bool> Moves::wait_until_idle(VisitorKey key) {
  const i64 give_up_ms = now_ms() + kBusyWait_ms;
  asio::steady_timer timer(d_.io);
  while (d_.moving.contains(key)) {
    if (now_ms() > give_up_ms) co_return false;
    co_await net::pause(timer, milliseconds(20));
  }
  co_return true;
}

MoveResult Moves::reachable(const std::string& where) const {
  const cluster::Seen* target = d_.window.find(where);
  if (target == nullptr) return refused(fmt::format("no node {} known here (see omctl nodes)", where), "no node");
  if (!target->alive(now_ms())) return refused(why_down(d_, target->entry), "node down");
  if (!target->entry.versions.meet(wire::kSpoken))
    return refused(wire::version_mismatch(target->entry.name, target->entry.versions));
  return arrived(target->entry.name);
}

// A job names its node as its user did: by name or number.
void Moves::lock_follows(cluster::Job& job, const std::string& node) const {
  const cluster::Seen* locked_to = d_.window.find(job.node);
  if (!job.node.empty() && (locked_to == nullptr || locked_to->entry.name != node)) job.node = node;
}

awaitable<MoveResult> Moves::migrate(i32 pid, std::string where, Asker asker) {
  const Process* process = d_.processes.look_at(pid, now_ms());
  const std::vector<VisitorKey> visits = d_.visitors.find(pid);
  if (process == nullptr && visits.empty()) {  // its announcement may stand in the queue behind this question
    asio::steady_timer timer(d_.io);
    co_await net::pause(timer, milliseconds(50));
    process = d_.processes.look_at(pid, now_ms());
  }
  if (process == nullptr && visits.empty()) {
    const VisitorKey unknown{d_.config.name, pid};
    auto reason = why_stays(pid);
    if (read_stat(pid) && !may_command(d_, unknown, asker)) reason = kNotYours;
    // One that is just dying has no memory left to tell whose it was.
    const bool over = read_text_file(fmt::format("/proc/{}/maps", pid)).value_or("").empty();
    co_return refused(
        fmt::format("process {}: {}", pid, reason.value_or(over ? "it has ended" : "not started under this homed")),
        "no process");
  }
  if (process == nullptr && visits.size() > 1)
    co_return refused(fmt::format("process {}: more than one guest has this number here, ask at its home", pid));
  const VisitorKey key = process != nullptr ? VisitorKey{d_.config.name, pid} : visits.front();
  if (!may_command(d_, key, asker)) co_return refused(fmt::format("process {}: {}", pid, kNotYours), "not permitted");
  if (!co_await wait_until_idle(key)) co_return refused(fmt::format("busy: process {} is being moved, try again", pid));
  const bool local = process != nullptr;
  process = d_.processes.look_at(pid, now_ms());  // it may be another object, or have ended, after the wait
  if (local && process == nullptr) co_return refused(fmt::format("process {} has ended", pid), "no process");

  if (where == "balance") {
    const auto better = best_place(d_, key);
    if (!better)
      co_return arrived(process != nullptr && process->where == Where::away ? process->node : d_.config.name);
    where = better->entry.name;
  }
  const bool self = where == d_.config.name || where == std::to_string(d_.config.id);
  const bool home = where == "home" || where == key.home || (process != nullptr && self);
  const cluster::Seen* target = nullptr;
  if (!home && !self) {
    MoveResult possible = reachable(where);
    if (!possible.ok) co_return possible;
    target = d_.window.find(where);
  }
  if (process != nullptr) {
    MoveResult result = co_await move_local(pid, target);
    // It has just left that host: by an exec, which happens at home, or by its end. A moment later that shows. Or its
    // child has left a vfork by an exec and runs already, while the word of that is still on its way to the guest.
    const auto passes = [](const std::string& reason) {
      return reason.starts_with("no guest") || reason.starts_with("busy: vfork");
    };
    asio::steady_timer timer(d_.io);
    for (int i = 0; i < 25 && !result.ok && passes(result.reason); ++i) {
      co_await net::pause(timer, milliseconds(20));
      target = home ? nullptr : d_.window.find(where);
      if (!home && target == nullptr) break;
      result = co_await move_local(pid, target);
    }
    // What is locked to a node and is sent to another one is locked there from now on.
    const auto moved = d_.processes.all().find(pid);
    if (result.ok && asker.pid != getpid() && moved != d_.processes.all().end())
      lock_follows(moved->second.job, result.node);
    co_return result;
  }
  if (self) co_return arrived(d_.config.name);
  co_return co_await move_visitor(key, target);
}

awaitable<MoveResult> Moves::send_home(VisitorKey key) {
  MoveResult result;
  const bool idle = co_await wait_until_idle(key);
  if (!idle)
    result = refused(fmt::format("busy: process {} is being moved", key.pid));
  else if (key.home == d_.config.name)
    result = co_await move_local(key.pid, nullptr);
  else
    result = co_await move_visitor(key, nullptr);
  co_return result;
}

awaitable<MoveResult> Moves::carry_out(VisitorKey key, cluster::Seen target) {
  const bool home = target.entry.name == key.home;
  if (key.home == d_.config.name) {
    if (d_.processes.look_at(key.pid, now_ms()) == nullptr) co_return refused("it has ended", "no process");
    co_return co_await move_local(key.pid, &target);
  }
  co_return co_await move_visitor(key, home ? nullptr : &target);
}

awaitable<MoveResult> Moves::move_local(pid_t pid, const cluster::Seen* target) {
  const VisitorKey key{d_.config.name, pid};
  Process* p = d_.processes.look_at(pid, now_ms());
  if (p == nullptr) co_return refused(fmt::format("process {} has ended", pid), "no process");
  const std::string wanted = target == nullptr ? d_.config.name : target->entry.name;
  if (target == nullptr && p->where == Where::home) co_return arrived(wanted);
  if (p->where == Where::away && p->node == wanted) co_return arrived(wanted);
  if (p->where == Where::departing || p->where == Where::returning)
    co_return refused(fmt::format("busy: process {} is on its way, try again", pid));
  const Moving moving(d_, key);
  MoveResult result;
  if (p->where == Where::home) {
    const cluster::NodeEntry to = target->entry;
    const cluster::Job job = p->job;
    auto reason = why_stays(pid, {.held = job.held});
    if (!reason) reason = why_not_held(d_, *p);
    if (reason) {
      result = refused(fmt::format("process {}: {}", pid, *reason));
    } else {
      result = co_await depart(pid, to, job);
      measure(to.id, result);
      // Said while it was on its way: the host knows what was said before.
      p = d_.processes.look_at(pid, now_ms());
      if (p != nullptr && p->where == Where::away && p->job != job) {
        const HostAddress host{p->host, p->token};
        const Json order = job_order(pid, p->job);
        co_await command_host(host, order, milliseconds(5'000));
      }
    }
  } else {
    const HostAddress host{p->host, p->token};
    const std::string host_node = p->node;
    if (target == nullptr) {
      result = co_await command(host, key, nullptr, host_node);
    } else {
      const cluster::NodeEntry to = target->entry;
      result = co_await command(host, key, &to, host_node);
    }
  }
  result = check_arrival(pid, wanted, std::move(result));
  note(key, result);
  co_return result;
}

awaitable<MoveResult> Moves::depart(pid_t pid, cluster::NodeEntry target, cluster::Job job) {
  const std::string program = find_binary("omig-host");
  if (program.empty())
    co_return refused("omig-host is not installed (looked in $OMIG_LIBEXEC, next to homed and in /usr/lib/omig)");
  Json request = ticket_request({d_.config.name, pid}, rss_bytes_of(pid));
  if (const Process* p = d_.processes.look_at(pid, now_ms())) request["uid"] = p->uid;
  MoveResult refusal;
  const Json ticket = co_await admission(target, std::move(request), &refusal);
  if (ticket.is_null()) co_return refusal;
  std::string error;
  const std::vector<std::string> argv = depart_command(program, pid, target, job, d_);
  const Fd secret = secret_file(ticket.dump());
  const int descriptors[] = {secret.get()};
  const auto output = co_await d_.children.output_of(argv, descriptors, kMoveTimeout, &error);
  if (!output) co_return refused("omig-host depart: " + error);
  const Json json = Json::parse(last_line(*output), nullptr, false);
  if (!json.is_object())
    co_return refused(fmt::format("omig-host depart ended without an answer, see {}/host.log", d_.config.state_dir));
  co_return result_from(json);
}

// Of a guest, as its host counts; 0: it does not say.
awaitable<u64> Moves::guest_bytes(HostAddress host, i32 pid) {
  constexpr milliseconds kLimit{5'000};
  const Json order = order_of("list", pid);
  const auto answer = co_await command_host(host, order, kLimit);
  const Json guests = answer ? answer->value("guests", Json::array()) : Json::array();
  for (const Json& guest : guests)
    if (field<i32>(guest, "pid", 0) == pid) co_return field<u64>(guest, "rss_bytes", 0);
  co_return 0;
}

// A ticket of the target for one process, or null and the refusal.
awaitable<Json> Moves::admission(cluster::NodeEntry target, Json request, MoveResult* refusal) {
  std::string error;
  const auto answer = co_await d_.callers.ask(target.endpoint, std::move(request), kReachTarget, &error);
  if (answer && field(*answer, "ok", false) && answer->contains("ticket")) co_return answer->at("ticket");
  *refusal = answer ? result_from(*answer)
                    : refused(fmt::format("cannot reach {} at {}: {}", target.name, target.endpoint.text(), error));
  refusal->ok = false;
  co_return Json();
}

awaitable<MoveResult> Moves::command(const HostAddress& host, VisitorKey key, const cluster::NodeEntry* target,
                                     std::string host_node) {
  const i32 pid = key.pid;
  const HostAddress at = host;
  Json ticket;
  if (target != nullptr) {
    const cluster::NodeEntry to = *target;
    MoveResult refusal;
    const u64 bytes = co_await guest_bytes(at, pid);
    ticket = co_await admission(to, ticket_request(key, bytes), &refusal);
    if (ticket.is_null()) co_return refusal;
  }
  const Json request = move_order(pid, target, ticket);
  const auto answer = co_await command_host(at, request, kMoveTimeout);
  if (!answer) co_return refused(fmt::format("the host of process {} on {} does not answer", pid, host_node));
  co_return result_from(*answer);
}

// The anchor is the truth about where a process is, whatever the mover says.
MoveResult Moves::check_arrival(pid_t pid, const std::string& node, MoveResult result) {
  if (!result.ok) return result;
  result.node = node;
  const Process* p = d_.processes.look_at(pid, now_ms());
  if (p == nullptr) return refused(fmt::format("process {} ended meanwhile", pid), "no process");
  const std::string is_at = p->where == Where::away ? p->node : d_.config.name;
  if (is_at != node) return refused(fmt::format("process {} is on {} instead", pid, is_at));
  return result;
}

awaitable<MoveResult> Moves::move_visitor(VisitorKey key, const cluster::Seen* target) {
  const auto it = d_.visitors.all().find(key);
  const HostAddress* host = it == d_.visitors.all().end() ? nullptr : d_.visitors.host_of(it->second.host_pid);
  if (host == nullptr)
    co_return refused(fmt::format("guest {} of {} is not here any more", key.pid, key.home), "no process");
  const Moving moving(d_, key);
  const HostAddress at = *host;
  const std::string wanted = target == nullptr ? key.home : target->entry.name;
  MoveResult result;
  if (target == nullptr) {
    result = co_await command(at, key, nullptr, d_.config.name);
  } else {
    const cluster::NodeEntry to = target->entry;
    result = co_await command(at, key, &to, d_.config.name);
  }
  if (result.ok) {
    measure(target != nullptr ? target->entry.id : id_of(key.home), result);
    result.node = wanted;
    d_.visitors.all().erase(key);  // until its host lists it again, should it come back
  }
  note(key, result);
  co_return result;
}

u32 Moves::id_of(const std::string& node) const {
  const cluster::Seen* seen = d_.window.find(node);
  return seen == nullptr ? 0 : seen->entry.id;
}

// What went from here to that node, and how fast.
void Moves::measure(u32 node, const MoveResult& result) {
  if (!result.ok || node == 0) return;
  const u64 bytes = field<u64>(result.figures, "bytes", 0) + field<u64>(result.figures, "ahead_bytes", 0);
  d_.links.carried(node, bytes, field<double>(result.figures, "total_ms", 0) / 1000);
}

void Moves::note(VisitorKey key, const MoveResult& result) {
  const auto apply = [&](auto& entry) {
    const i64 refused_for_ms = kBarAfterRefusal_ms << std::min(entry.refusals, kMostDoublings);
    entry.barred_until_ms = result.ok ? 0 : now_ms() + (result.busy() ? kBarAfterBusy_ms : refused_for_ms);
    entry.refusal = result.ok ? "" : result.reason;
    entry.refusals = result.ok ? 0 : entry.refusals + (result.busy() ? 0 : 1);
  };
  if (key.home == d_.config.name) {
    const auto it = d_.processes.all().find(key.pid);
    if (it != d_.processes.all().end()) apply(it->second);
  } else {
    const auto it = d_.visitors.all().find(key);
    if (it != d_.visitors.all().end()) apply(it->second);
  }
  if (result.ok) {
    log("moved {} of {} to {} {}", key.pid, key.home, result.node, result.figures.dump());
  } else {
    log("not moved: {} of {}: {}", key.pid, key.home, result.reason);
  }
}

awaitable<std::optional<Json>> Moves::ask(u32 node_id, Json request) {
  const cluster::Seen* seen = d_.window.find(node_id);
  if (seen == nullptr) co_return std::nullopt;
  const Endpoint at = seen->entry.endpoint;
  constexpr milliseconds kReach{2'000};
  std::string error;
  auto answer = co_await d_.callers.ask(at, std::move(request), kReach, &error);
  if (!answer) d_.window.suspect(node_id);
  co_return answer;
}

awaitable<std::string> Moves::reserve(cluster::MoveDecision decision, std::string home_name) {
  const auto answer = co_await ask(decision.target_id, offer_of(decision, home_name, d_.config.name));
  if (!answer) co_return "it does not answer";
  std::string now;
  if (const auto it = answer->find("entry"); it != answer->end()) {
    if (const auto entry = cluster::entry_from_json(*it)) {
      d_.window.merge(*entry, 0, now_ms());
      now = fmt::format(": {:.1f} threads on its {:.2f} CPUs, {} MiB free", entry->load(), entry->cpus,
                        entry->free_bytes >> 20);
    }
  }
  if (field(*answer, "ok", false)) co_return "";
  co_return "it declines" + now;
}

awaitable<void> Moves::tell_scheduling(pid_t pid, HostAddress host, std::map<pid_t, Scheduling> threads) {
  constexpr milliseconds kLimit{5'000};
  const Json order = scheduling_order(pid, threads);
  const auto answer = co_await command_host(host, order, kLimit);
  // Not told: the next look finds that it differs from what the host knows.
  if (answer && field(*answer, "ok", false)) co_return;
  if (const auto it = d_.processes.all().find(pid); it != d_.processes.all().end()) it->second.scheduling_told.clear();
}

awaitable<void> Moves::tell_directed(pid_t pid, HostAddress host, DirectedSignals pending) {
  constexpr milliseconds kLimit{5'000};
  const Json order = directed_order(pid, pending);
  co_await command_host(host, order, kLimit);  // without an answer: we look again in a moment
  d_.directed_told.erase(pending.tid);
}

awaitable<void> Moves::tell_stop(pid_t pid, HostAddress host) {
  constexpr milliseconds kLimit{5'000};
  const Json stop = order_of("stop", pid);
  const auto answer = co_await command_host(host, stop, kLimit);
  if (!answer || !field(*answer, "ok", false)) log("process {} was stopped, but its host did not take note", pid);
  // The SIGCONT may have overtaken us on its own way to the guest.
  if (const auto stat = read_stat(pid); !stat || stat->state == 'T') co_return;
  const Json go_on = order_of("continue", pid);
  co_await command_host(host, go_on, kLimit);
}

}  // namespace omig
