// SPDX-License-Identifier: Apache-2.0
#include "homed/control.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>

#include "homed/allow.h"
#include "homed/commander.h"
#include "homed/decay.h"
#include "homed/emptying.h"
#include "homed/job.h"
#include "homed/ledger.h"
#include "homed/proc.h"
#include "homed/reasons.h"
#include "homed/scheduler.h"
#include "homed/settings.h"
#include "lib/link/peer.h"

namespace omig {

namespace {

constexpr size_t kMaxLine = 64 << 10;
constexpr size_t kMaxOrder = 2 << 20;    // of who may administer: a map, as JSON
constexpr milliseconds kAskFor{30'000};  // a client that connects and says nothing
constexpr i64 kPlaceWithin_ms = 10'000;  // from `omctl run -n` to the program's constructor

std::string where_name(Where where) {
  switch (where) {
    case Where::home: return "home";
    case Where::departing: return "departing";
    case Where::away: return "away";
    case Where::returning: return "returning";
  }
  return "unknown";
}

// The address of a unix socket is short (107 bytes); the way through a descriptor of the directory always fits. Clients
// do the same, except libomig: programs under so deep a directory are found by scanning instead of by announcement.
std::string socket_path(const std::string& dir, int dir_fd, const char* name) {
  const std::string path = dir + name;
  unlink(path.c_str());
  return path.size() < sizeof(sockaddr_un::sun_path) ? path : fmt::format("/proc/self/fd/{}{}", dir_fd, name);
}

}  // namespace

Control::Control(Daemon& daemon, Moves& moves, Peers& peers, Members& members, Starts& starts)
    : d_(daemon),
      moves_(moves),
      peers_(peers),
      members_(members),
      starts_(starts),
      acceptor_(daemon.io),
      announcements_(daemon.io),
      announced_(daemon.io) {}

Control::~Control() {
  if (!acceptor_.is_open()) return;
  unlink((d_.config.state_dir + "/homed.sock").c_str());
  unlink((d_.config.state_dir + "/announce.sock").c_str());
}

void Control::start() {
  const Fd dir(open(d_.config.state_dir.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  const Local::endpoint at(socket_path(d_.config.state_dir, dir.get(), "/homed.sock"));
  acceptor_.open(at.protocol());
  acceptor_.bind(at);
  acceptor_.listen();
  const asio::local::datagram_protocol::endpoint announce_at(
      socket_path(d_.config.state_dir, dir.get(), "/announce.sock"));
  announcements_.open(announce_at.protocol());
  announcements_.bind(announce_at);
  const int one = 1;
  setsockopt(announcements_.native_handle(), SOL_SOCKET, SO_PASSCRED, &one, sizeof(one));
  spawn(d_, "control socket", listen());
  spawn(d_, "announcements", hear_announcements());
}

awaitable<void> Control::listen() {
  for (;;) {
    auto [code, socket] = co_await acceptor_.async_accept(kCompletion);
    if (code == asio::error::operation_aborted) co_return;
    if (!code) {
      spawn(d_, "serving a client", serve(std::move(socket)));
      continue;
    }
    log("cannot accept a client: {}", code.message());
    asio::steady_timer timer(d_.io);
    co_await net::pause(timer, milliseconds(100));
  }
}

awaitable<void> Control::serve(Local::socket socket) {
  using namespace asio::experimental::awaitable_operators;
  const auto asker = asker_on(socket.native_handle());
  if (!asker) co_return;
  std::string input;
  const size_t most = may_administer(asker->uid) ? kMaxOrder : kMaxLine;
  for (;;) {
    asio::steady_timer timer(d_.io, kAskFor);
    auto result = co_await (asio::async_read_until(socket, asio::dynamic_buffer(input, most), '\n', kCompletion) ||
                            timer.async_wait(kCompletion));
    if (result.index() != 0 || std::get<0>(std::get<0>(result))) co_return;
    const size_t end = input.find('\n');
    const Json request = Json::parse(input.substr(0, end), nullptr, false);
    input.erase(0, end + 1);
    Json reply = refusal("malformed request", "invalid");
    if (request.is_object()) reply = co_await answer(socket, request, *asker);
    if (!co_await net::write_all(socket, reply.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n",
                                 kPeerTimeout))
      co_return;
  }
}

awaitable<Json> Control::answer(Local::socket& socket, const Json& request, const Asker& asker) {
  const std::string op = text_field(request, "op");
  const i32 pid = field<i32>(request, "pid", 0);
  if (op == "ping") co_return ping();
  if (op == "nodes") co_return nodes();
  if (op == "ps") co_return co_await ps();
  if (op == "where" || op == "why" || op == "migrate") co_await look_for(pid);
  if (op == "log") co_return co_await answer_log(d_.history, request, d_.config.name);
  if (op == "policy") co_return choose_policy(request, asker);
  if (op == "job") co_return co_await set_job(d_, request, asker);
  if (op == "settings") co_return answer_settings(d_);
  // What the node may do is said for good; while it is emptied it may do nothing.
  if (members_.emptying() && (op == "set" || op == "bring" || op == "expel" || (op == "decay" && pid == 0)))
    co_return refusal("busy: its cluster is being changed, try again", "busy");
  if (op == "decay") co_return set_decay(d_, request, asker);
  if (op == "set") {
    const Json answer = change_settings(d_, request, asker.uid);
    peers_.hurry();
    co_return answer;
  }
  if (op == "bring" || op == "expel") {
    const Emptied what = op == "bring" ? Emptied::own : Emptied::guests;
    const Json closed = close_door(d_, what, asker.uid);
    if (!field(closed, "ok", false)) co_return closed;
    peers_.hurry();  // or others would go on choosing this node for a second
    Listener listener(socket, request);
    co_return co_await empty(d_, moves_, listener, what);
  }
  if (op == "allow") co_return answer_allow(d_, request, asker);
  if (op == "map") co_return members_.tell();
  if (op == "load_map" || op == "leave") {
    Listener listener(socket, request);
    Json answer;
    if (op == "leave")
      answer = co_await members_.leave(listener, request, asker.uid);
    else
      answer = co_await members_.load_map(listener, request, asker.uid);
    co_return answer;
  }
  if (op == "join") co_return co_await members_.join(request, asker.uid);
  if (op == "cluster") co_return members_.identity();
  if (op == "found") co_return co_await members_.found(asker.uid);
  if (op == "invite") co_return members_.invite(request, asker.uid);
  if (op == "revoke") co_return members_.revoke(request, asker.uid);
  if (op == "where") co_return where(pid);
  if (op == "why") co_return co_await why(pid, asker);
  if (op == "place") co_return co_await place(socket, request, asker);
  if (op == "migrate") co_return (co_await moves_.migrate(pid, text_field(request, "to"), asker)).to_json();
  co_return refusal("unknown request " + op, "unknown");
}

// A guest that has just come is not listed yet: ask again before saying that there is none.
awaitable<void> Control::look_for(pid_t pid) {
  if (d_.processes.look_at(pid, now_ms()) == nullptr && d_.visitors.find(pid).empty()) co_await d_.visitors.refresh();
}

namespace {

// As long as it lives, the process starts where its user said, not where the policy would.
struct ByHand {
  ByHand(Daemon& daemon, pid_t process) : d(daemon), pid(process) { d.placed_by_hand.insert(pid); }
  ~ByHand() { d.placed_by_hand.extract(pid); }
  ByHand(const ByHand&) = delete;
  ByHand& operator=(const ByHand&) = delete;
  Daemon& d;
  pid_t pid;
};

}  // namespace

// `omctl run -n NODE`: the process is about to exec a program; it is moved as soon as that has announced itself, or has
// shown that it will not.
awaitable<Json> Control::place(Local::socket& socket, const Json& request, const Asker& asker) {
  const i32 pid = field<i32>(request, "pid", 0);
  const std::string to = text_field(request, "to");
  const bool known = to == "home" || to == "balance" || to == d_.config.name || to == std::to_string(d_.config.id);
  MoveResult possible;
  possible.ok = true;
  if (!known) possible = moves_.reachable(to);
  if (!possible.ok) co_return possible.to_json();
  if (!co_await net::write_all(socket, std::string("{\"ok\":true,\"waiting\":true}\n"), kPeerTimeout))
    co_return refusal("gone");
  const ByHand by_hand(d_, pid);
  const i64 give_up_ms = now_ms() + kPlaceWithin_ms;
  while (d_.processes.look_at(pid, now_ms(), false) == nullptr) {
    if (now_ms() > give_up_ms) co_return refusal(fmt::format("process {} did not start a program that can move", pid));
    announced_.expires_after(milliseconds(100));
    co_await announced_.async_wait(kCompletion);
  }
  const MoveResult result = co_await send_started(pid, to, asker, give_up_ms);
  spawn(d_, "keeping a placement", keep_placement(pid, to, asker, give_up_ms));
  co_return result.to_json();
}

awaitable<MoveResult> Control::send_started(pid_t pid, std::string to, Asker asker, i64 give_up_ms) {
  asio::steady_timer timer(d_.io);
  MoveResult result = co_await moves_.migrate(pid, to, asker);
  // Caught in the middle of an exec it has no engine, or is not to be stopped, for a moment.
  while (!result.ok && now_ms() < give_up_ms &&
         (result.reason.find("not preloaded") != std::string::npos || result.busy())) {
    co_await net::pause(timer, milliseconds(20));
    result = co_await moves_.migrate(pid, to, asker);
  }
  if (!result.ok) log("process {} was to start on {}: {}", pid, to, result.reason);
  co_return result;
}

// What is locked to a node begins there: its children, and what it or they execute, for that happens at home.
void Control::follow_lock(pid_t pid) {
  const auto it = d_.processes.all().find(pid);
  if (it == d_.processes.all().end() || d_.placed_by_hand.contains(pid)) return;
  if (d_.settings.stay || d_.settings.lstay) return;  // as after bring: nothing is away
  const cluster::Job& job = it->second.job;
  if (job.locked && !job.node.empty()) spawn(d_, "following a lock", send_to_its_lock(pid, job.node));
}

awaitable<void> Control::send_to_its_lock(pid_t pid, std::string node) {
  const ByHand by_hand(d_, pid);
  const i64 give_up_ms = now_ms() + kPlaceWithin_ms;
  for (u64 seen = 0; seen != d_.processes.announcements(pid) && now_ms() < give_up_ms;) {  // again after an exec
    seen = d_.processes.announcements(pid);
    co_await send_started(pid, node, ourselves(), give_up_ms);
  }
}

// What people start is often a script or wrapper that execs the real program, and an exec while away happens at home.
// For the first seconds every exec of the same process is sent after the first one.
awaitable<void> Control::keep_placement(pid_t pid, std::string to, Asker asker, i64 until_ms) {
  const ByHand by_hand(d_, pid);
  u64 seen = d_.processes.announcements(pid);
  while (now_ms() < until_ms && d_.processes.look_at(pid, now_ms()) != nullptr) {
    announced_.expires_after(milliseconds(500));
    co_await announced_.async_wait(kCompletion);
    const u64 count = d_.processes.announcements(pid);
    if (count == seen) continue;
    seen = count;
    co_await moves_.migrate(pid, to, asker);
  }
}

// Messages are put together outside of coroutines: GCC 12 cannot compile braced lists of JSON within one.
Json Control::ping() {
  return {{"ok", true}, {"node", d_.config.name}, {"id", d_.config.id}, {"pid", getpid()}, {"version", wire::kVersion}};
}

Json Control::nodes() {
  Json list = Json::array();
  const auto describe = [&](const cluster::NodeEntry& e, i64 age_ms, const char* state) {
    Json node = cluster::to_json(e);
    node["state"] = state;
    node["age_ms"] = age_ms;
    node["self"] = e.id == d_.config.id;
    if (const cluster::Link* link = d_.links.find(e.id)) {
      if (link->rtt_s > 0) node["rtt_ms"] = link->rtt_s * 1000;
      if (link->bytes_per_s > 0) node["bytes_per_s"] = link->bytes_per_s;
    }
    if (e.id == d_.config.id) {
      node["policy"] = d_.config.policy->name;
      node["quiet"] = d_.settings.quiet;
    }
    list.push_back(std::move(node));
  };
  describe(own_entry(d_), 0, "up");
  std::vector<Endpoint> listed;
  for (const auto& [id, seen] : d_.window.all()) {
    const bool other_version = !seen.entry.versions.meet(wire::kSpoken);
    describe(seen.entry, now_ms() - seen.produced_ms,
             !seen.alive(now_ms()) ? "down"
             : other_version       ? "version mismatch"
                                   : "up");
    listed.push_back(seen.entry.endpoint);
  }
  Json problems = Json::array();
  for (const auto& [endpoint, text] : d_.problems)
    if (!text.empty()) problems.push_back({{"endpoint", endpoint.text()}, {"problem", text}});
  return {{"ok", true}, {"node", d_.config.name}, {"nodes", list}, {"problems", problems}};
}

// The CPU time that the hosts of our processes that are away know of, in ms. Hosts that do not answer at once are left
// out: their guests show what is known here.
awaitable<std::map<pid_t, u64>> Control::cpu_away() {
  constexpr milliseconds kOne{300};
  constexpr i64 kAll_ms = 1'000;
  std::map<pid_t, u64> known;
  std::map<std::string, HostAddress> hosts;
  for (const auto& [pid, p] : d_.processes.all())
    if (p.where == Where::away) hosts[p.host.text()] = {p.host, p.token};
  const i64 give_up_ms = now_ms() + kAll_ms;
  Json request;
  request["op"] = "list";
  for (const auto& [text, address] : hosts) {
    if (now_ms() > give_up_ms) break;
    const auto answer = co_await command_host(address, request, kOne);
    if (!answer || !answer->contains("guests") || !(*answer)["guests"].is_array()) continue;
    for (const Json& guest : (*answer)["guests"])
      if (guest.is_object()) known[field<i32>(guest, "pid", 0)] = field<u64>(guest, "all_cpu_ms", 0);
  }
  co_return known;
}

awaitable<Json> Control::ps() {
  const std::map<pid_t, u64> away = co_await cpu_away();
  co_return processes(away);
}

Json Control::processes(const std::map<pid_t, u64>& away) {
  Json list = Json::array();
  for (const auto& [pid, p] : d_.processes.all()) {
    Json item{{"pid", pid},
              {"where", where_name(p.where)},
              {"node", p.where == Where::away ? p.node : d_.config.name},
              {"state", std::string(1, p.state)},
              {"uid", p.uid},
              {"threads", p.threads},
              {"cpu_ms", away.contains(pid) ? away.at(pid) : p.cpu_ms + ledger_cpu_ms(d_.config.state_dir, pid)},
              {"rss_bytes", p.rss_bytes},
              {"demand", p.meter.demand()},
              {"moves", p.moves},
              {"images", p.images},
              {"moving", d_.moving.contains({d_.config.name, pid})},
              {"command", command_line(pid)}};
    tell_job(item, p.job);
    if (!p.refusal.empty()) item["refusal"] = p.refusal;
    list.push_back(std::move(item));
  }
  Json guests = Json::array();
  for (const auto& [key, v] : d_.visitors.all()) {
    if (v.job.disclosure < cluster::kDiscloseNumber) continue;
    Json item{{"pid", v.pid},
              {"home", v.home},
              {"threads", v.threads},
              {"cpu_ms", v.cpu_ms},
              {"rss_bytes", v.rss_bytes},
              {"demand", v.meter.demand()},
              {"calls", v.calls},
              {"since_ms", v.since_ms},
              {"image_bytes", v.image_bytes},
              {"image_us", v.image_us},
              {"image_holds", v.image_holds},
              {"moving", d_.moving.contains(key)},
              {"local_pid", v.local_pid},
              {"command", v.job.disclosure < cluster::kDiscloseAll ? "-" : v.command}};
    if (v.job.disclosure >= cluster::kDiscloseUser) item["uid"] = v.uid;
    tell_job(item, v.job);
    if (!v.refusal.empty()) item["refusal"] = v.refusal;
    guests.push_back(std::move(item));
  }
  return {{"ok", true}, {"node", d_.config.name}, {"processes", list}, {"guests", guests}};
}

Json Control::where(i32 pid) {
  if (const Process* p = d_.processes.look_at(pid, now_ms())) {
    return {{"ok", true},
            {"pid", pid},
            {"where", where_name(p->where)},
            {"moves", p->moves},
            {"node", p->where == Where::away ? p->node : d_.config.name}};
  }
  if (!d_.visitors.find(pid).empty()) return {{"ok", true}, {"pid", pid}, {"where", "guest"}, {"node", d_.config.name}};
  return refusal(fmt::format("process {}: {}", pid, why_stays(pid).value_or("not started under this homed")),
                 "no process");
}

Json Control::reasons(i32 pid, const Asker& asker) {
  const Process* p = d_.processes.look_at(pid, now_ms());
  const bool elsewhere = p == nullptr ? !d_.visitors.find(pid).empty() : p->where == Where::away;
  // While it is being moved it is the mover that traces it and tracks its writes.
  const bool moving = d_.moving.contains({d_.config.name, pid});
  auto reason = elsewhere ? std::nullopt : why_stays(pid, {moving, p != nullptr && p->job.held});
  if (!reason && !elsewhere && p != nullptr) reason = why_not_held(d_, *p);
  if (!elsewhere && read_stat(pid) && !may_command(d_, {d_.config.name, pid}, asker)) reason = kNotYours;
  if (!reason && p == nullptr && !elsewhere) reason = "not started under this homed (another OMIG_DIR)";
  Json json{{"ok", true}, {"pid", pid}, {"can_move", !reason}, {"policy", d_.config.policy->name}};
  if (reason) json["reason"] = *reason;
  if (p != nullptr) tell_job(json, p->job);
  if (p != nullptr && !p->refusal.empty()) json["last_refusal"] = p->refusal;
  if (p != nullptr && !p->came_home_for.empty()) {
    json["came_home_for"] = p->came_home_for;
    if (p->since_ms != 0) json["came_home_ms_ago"] = now_ms() - p->since_ms;
  }
  return json;
}

namespace {

Json explain_request(const std::string& home, i32 pid) { return {{"op", "explain"}, {"home", home}, {"pid", pid}}; }

}  // namespace

// What speaks against a move, what the policy of the node where it runs makes of it, and what was last done about it.
awaitable<Json> Control::why(i32 pid, const Asker& asker) {
  Json json = reasons(pid, asker);
  const Process* p = d_.processes.look_at(pid, now_ms());
  const std::vector<VisitorKey> visits = d_.visitors.find(pid);
  if (p == nullptr && visits.empty() && !read_stat(pid)) co_return where(pid);  // which says that there is none
  const VisitorKey key = p == nullptr && !visits.empty() ? visits.front() : VisitorKey{d_.config.name, pid};
  if (const auto guest = d_.visitors.all().find(key); guest != d_.visitors.all().end())
    tell_job(json, guest->second.job);
  std::string text;
  if (p != nullptr && p->where == Where::away) {
    const cluster::Seen* there = d_.window.find(p->node);
    if (there != nullptr) {
      const auto answer = co_await moves_.ask(there->entry.id, explain_request(d_.config.name, pid));
      if (answer) text = text_field(*answer, "text");
    }
  } else if (field(json, "can_move", false)) {
    text = explanation(d_, key);
  }
  if (!text.empty()) json["decision"] = text;
  if (const MoveRecord* last = d_.history.last_of(pid, key.home)) json["last_move"] = to_json(*last);
  co_return json;
}

Json Control::choose_policy(const Json& request, const Asker& asker) {
  const std::string name = text_field(request, "name");
  if (!may_administer(asker.uid)) return not_an_administrator("choose its policy");
  const cluster::Policy* policy = cluster::policy_named(name);
  if (policy == nullptr) return refusal(fmt::format("no policy {}: there are {}", name, policy_names()), "invalid");
  if (policy != d_.config.policy) log("policy {} instead of {}", policy->name, d_.config.policy->name);
  d_.config.policy = policy;
  return {{"ok", true}, {"policy", policy->name}};
}

awaitable<void> Control::hear_announcements() {
  for (;;) {
    const auto [code] = co_await announcements_.async_wait(asio::socket_base::wait_read, kCompletion);
    if (code) co_return;
    for (;;) {
      wire::Announcement text{.magic = 0};
      iovec io{&text, sizeof(text)};
      alignas(cmsghdr) char control[CMSG_SPACE(sizeof(ucred))];
      msghdr message{};
      message.msg_iov = &io;
      message.msg_iovlen = 1;
      message.msg_control = control;
      message.msg_controllen = sizeof(control);
      const ssize_t got = recvmsg(announcements_.native_handle(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
      if (got < 0) break;
      const cmsghdr* header = CMSG_FIRSTHDR(&message);
      if (got != sizeof(text) || text.magic != wire::kMagic || header == nullptr ||
          header->cmsg_type != SCM_CREDENTIALS)
        continue;
      ucred sender{};
      std::memcpy(&sender, CMSG_DATA(header), sizeof(sender));
      // The kernel's word for who it is, in our pid namespace; what the text says does not matter.
      d_.processes.announced(sender.pid, now_ms());
      starts_.announced(sender.pid);
      follow_lock(sender.pid);
      announced_.cancel();
    }
  }
}

}  // namespace omig
