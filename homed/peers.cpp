// SPDX-License-Identifier: Apache-2.0
// Gossip: every second, and sooner when our load changes, we send our own entry and the freshest of what we know to
// each peer over a kept connection; it answers with its own. Up to 16 nodes everybody talks to everybody; in larger
// clusters each second a random sixteen are chosen, and the window carries the news further.
#include "homed/peers.h"

#include <algorithm>
#include <random>
#include <set>

#include "homed/node.h"
#include "homed/round_trip.h"
#include "homed/scheduler.h"
#include "lib/base/paths.h"

namespace omig {

namespace {

constexpr milliseconds kGossipEvery{1'000};
constexpr milliseconds kGossipSoonest{250};
constexpr milliseconds kReach{3'000};
constexpr milliseconds kIdleFor{30'000};  // a peer's connection without a request
constexpr size_t kTalkTo = 16;
constexpr size_t kWindowSent = 60;
constexpr u32 kMaxStrangers = 64;
constexpr i64 kReservation_ms = 5'000;
constexpr u64 kVisitNeeds = 64 << 20;  // besides the program's memory: its host, page tables, room to breathe

}  // namespace

Peers::Peers(Daemon& daemon, std::function<void()> on_news)
    : d_(daemon), on_news_(std::move(on_news)), doors_(daemon.window) {}

void Peers::start(const cluster::Membership& membership) {
  if (const std::string error = listen_also(membership.listen); !error.empty()) throw std::runtime_error(error);
  follow(membership);
}

Peers::Acceptor Peers::listening(const Endpoint& at, std::string* error) {
  Fd fd = listen_tcp(at, error);
  if (!fd) return nullptr;
  const auto acceptor = std::make_shared<tcp::acceptor>(d_.io);
  acceptor->assign(tcp::v4(), fd.release());
  return acceptor;
}

std::string Peers::listen_also(const Endpoint& at) {
  std::string error;
  next_ = listening(at, &error);
  if (next_) spawn(d_, "listening for peers", listen(next_));
  return error;
}

void Peers::listen_no_more() {
  if (next_) next_->close();
  next_.reset();
}

void Peers::follow(const cluster::Membership& membership) {
  if (next_) {
    if (acceptor_) acceptor_->close();
    acceptor_ = std::move(next_);
  }
  doors_.keep(membership, now_ms());
  const std::set<Endpoint> configured(membership.peers.begin(), membership.peers.end());
  for (auto at = talking_.begin(); at != talking_.end();) {
    const auto& [peer, talk] = *at;
    talk->configured = configured.contains(peer);
    if (talk->configured || listed(peer)) {
      ++at;
      continue;
    }
    talk->over = true;
    talk->timer.cancel();
    d_.problems.erase(peer);
    at = talking_.erase(at);
  }
  for (const Endpoint& peer : configured) begin(peer, true);
  learn_peers();
  on_news_();
}

void Peers::begin(Endpoint peer, bool configured) {
  if (peer == d_.config.listen || talking_.contains(peer)) return;
  const auto fresh = std::make_shared<Talk>(d_.io, configured);
  talking_[peer] = fresh;
  spawn(d_, "talking to " + peer.text(), talk(peer, fresh));
}

void Peers::hurry() {
  for (auto& [peer, talk] : talking_) talk->timer.cancel();
}

awaitable<void> Peers::say_goodbye() {
  constexpr i64 kLongest_ms = 1'000;
  constexpr milliseconds kLook{10};
  const i64 end_ms = now_ms() + kLongest_ms;
  leaving_ = true;
  for (auto& [peer, talk] : talking_) talk->over = true;
  hurry();
  asio::steady_timer timer(d_.io);
  while (!talking_.empty() && now_ms() < end_ms) co_await net::pause(timer, kLook);
  leaving_ = false;
}

awaitable<Json> Peers::introduce(Endpoint to, Endpoint as) {
  tcp::socket socket(d_.io);
  const bool reached = co_await net::connect(socket, to, kReach);
  if (!reached) co_return refusal(to.text() + " cannot be reached (is homed running there?)", "node down");
  const bool known = co_await net::greet(socket, d_.key, kReach);
  if (!known) co_return refusal(to.text() + ": no handshake (is its cluster.key the same as ours?)", "node down");
  Json request = news();
  request["entry"]["endpoint"] = as.text();
  std::optional<Json> answer;
  const bool sent = co_await net::send_json(socket, request, kReach);
  if (sent) answer = co_await net::recv_json(socket, kReach);
  if (!answer) co_return refusal(to.text() + " gives no answer", "node down");
  co_return *answer;
}

awaitable<void> Peers::listen(Acceptor acceptor) {
  for (;;) {
    auto [code, socket] = co_await acceptor->async_accept(kCompletion);
    if (code == asio::error::operation_aborted || !acceptor->is_open()) co_return;
    if (code) {
      log("cannot accept a peer: {}", code.message());
      asio::steady_timer timer(d_.io);
      co_await net::pause(timer, milliseconds(100));  // out of descriptors: waiting helps, spinning does not
      continue;
    }
    if (strangers_.size() >= kMaxStrangers) show_one_out();
    spawn(d_, "serving a peer", serve(std::move(socket)));
  }
}

// Who knows the key has shown it after a few milliseconds: of a crowd at the door, the one that has stood there longest
// is none of ours. Were the newest turned away instead, a crowd would keep our own out.
void Peers::show_one_out() {
  constexpr u32 kWhoever = 0;
  if (complaints_.due(kWhoever, now_ms()))
    log("{} connections at a time say nothing of the cluster's key: the oldest of them are closed", kMaxStrangers);
  tcp::socket* const oldest = strangers_.front();
  strangers_.pop_front();
  error_code ignored;
  oldest->close(ignored);
}

awaitable<void> Peers::serve(tcp::socket socket) {
  strangers_.push_back(&socket);
  const bool known = co_await net::accept(socket, d_.key, kReach);
  std::erase(strangers_, &socket);
  if (!known) co_return;
  error_code ignored;
  socket.set_option(tcp::no_delay(true), ignored);
  for (;;) {
    const auto request = co_await net::recv_json(socket, kIdleFor);
    if (!request || !co_await answer(socket, *request)) co_return;
  }
}

awaitable<bool> Peers::answer(tcp::socket& socket, const Json& request) {
  const std::string op = text_field(request, "op");
  if (membership().form == cluster::Form::alone)
    co_return co_await net::send_json(socket, refusal(d_.config.name + " has left its cluster"));
  if (op == "gossip" || op == "hello") co_return co_await net::send_json(socket, gossip(request));
  if (op == "offer") co_return co_await net::send_json(socket, offer(request));
  if (op == "explain") co_return co_await net::send_json(socket, explain(request));
  if (op != "move") co_return co_await net::send_json(socket, refusal("unknown request " + op));
  if (const auto reason = why_not_here(request)) {
    log("refused process {} of {}: {}", field<i32>(request, "pid", 0), text_field(request, "home"), *reason);
    co_await net::send_json(socket, refusal(*reason));
    co_return false;
  }
  const std::string program = find_binary("omig-host");
  if (program.empty()) {
    co_await net::send_json(socket, refusal("omig-host is not installed on " + d_.config.name));
    co_return false;
  }
  receive_guest(std::move(socket), request);
  co_return false;
}

Json Peers::gossip(const Json& request) {
  const u32 version = field<u32>(request, "version", 0);
  if (version != wire::kVersion)
    return refusal(fmt::format("version mismatch: {} speaks {}", d_.config.name, wire::kVersion));
  const auto sender = request.find("entry");
  const auto entry = sender == request.end() ? std::nullopt : cluster::entry_from_json(*sender);
  if (entry && entry->incarnation != d_.incarnation && (entry->id == d_.config.id || entry->name == d_.config.name))
    return refusal(fmt::format("node id {} or name {} is already taken by {} at {}", entry->id, entry->name,
                               d_.config.name, d_.config.listen.text()));
  if (entry) {
    if (const std::string reason = why_a_stranger(*entry); !reason.empty()) return refusal(reason);
    if (const cluster::NodeEntry* other = d_.window.conflict(*entry, now_ms()))
      return refusal(fmt::format("node id {} or name {} is already taken by {} at {}", entry->id, entry->name,
                                 other->name, other->endpoint.text()));
  }
  take_news(request);
  Json reply = news();
  reply["ok"] = true;
  return reply;
}

// Empty: it is none.
std::string Peers::why_a_stranger(const cluster::NodeEntry& entry) const {
  if (doors_.admits(entry)) return "";
  return fmt::format("{} as node {} at {} is not in the map of {}", entry.name, entry.id, entry.endpoint.text(),
                     d_.config.name);
}

// What the others may know of us.
cluster::NodeEntry Peers::told_entry() {
  cluster::NodeEntry entry = own_entry(d_);
  entry.quiet = d_.settings.quiet;
  if (entry.quiet) entry.runnable = entry.held = entry.reserved = entry.told = entry.coming = entry.utilisation = 0;
  return entry;
}

Json Peers::news() {
  Json message{{"op", "gossip"},
               {"version", wire::kVersion},
               {"entry", cluster::to_json(told_entry())},
               {"window", doors_.tell(now_ms(), kWindowSent)}};
  if (leaving_) message["entry"]["left"] = true;
  return message;
}

void Peers::take_news(const Json& message) {
  if (!doors_.take(message, now_ms())) return;
  learn_peers();
  on_news_();
}

Json Peers::offer(const Json& request) {
  cluster::MoveDecision move;
  move.pid = field<i32>(request, "pid", 0);
  move.demand = std::clamp(field<double>(request, "demand", 1), 0.0, 4096.0);
  move.rss_bytes = field<u64>(request, "rss_bytes", 0);
  move.relief = field<double>(request, "relief", 0);
  move.penalty = field<double>(request, "penalty", 1);
  move.own_cpu = field(request, "own_cpu", false);
  move.urgent = field(request, "urgent", false);
  const std::string home = text_field(request, "home");
  const bool agreed = field<u32>(request, "version", 0) == wire::kVersion && d_.config.balance &&
                      cluster::accepts(own_entry(d_), move) && tokens_.take(now_ms());
  if (agreed) d_.visitors.reserve({home, move.pid}, move.demand, move.rss_bytes, now_ms() + kReservation_ms);
  return {{"ok", agreed}, {"entry", cluster::to_json(told_entry())}};
}

// What we make of a guest, for its home's `omctl why`.
Json Peers::explain(const Json& request) {
  const VisitorKey key{text_field(request, "home"), field<i32>(request, "pid", 0)};
  return {{"ok", true}, {"text", explanation(d_, key)}};
}

std::optional<std::string> Peers::why_not_here(const Json& request) const {
  const u32 version = field<u32>(request, "version", 0);
  if (version != wire::kVersion) return fmt::format("version mismatch: {} speaks {}", d_.config.name, wire::kVersion);
  // A mover that does not say whose process it is can only be one of the same user: it knows a key of mode 0600.
  const uid_t uid = field<uid_t>(request, "uid", geteuid());
  if (geteuid() != 0 && uid != geteuid())
    return fmt::format("{} serves only user {}: its homed does not run as root", d_.config.name, geteuid());
  // A map says who belongs here, guests included.
  if (const std::string home = text_field(request, "home");
      membership().form == cluster::Form::map && home != d_.config.name && d_.window.find(home) == nullptr)
    return fmt::format("{} knows no node {}: it is not in its map, or was not heard of yet", d_.config.name, home);
  if (d_.settings.block) return fmt::format("{} takes no guests (block)", d_.config.name);
  const u64 rss_bytes = field<u64>(request, "rss_bytes", 0);
  const u64 free_bytes = memory_now().free_bytes;
  if (rss_bytes > free_bytes || free_bytes - rss_bytes < kVisitNeeds)
    return fmt::format("{} has not enough memory: {} MiB free, {} MiB needed", d_.config.name, free_bytes >> 20,
                       (rss_bytes + kVisitNeeds) >> 20);
  if (const auto flags = request.find("cpu_flags"); flags != request.end() && flags->is_array()) {
    for (const Json& flag : *flags)
      if (flag.is_string() && !cpu_features().contains(flag.get<std::string>()))
        return fmt::format("missing CPU feature {} on {}", flag.get<std::string>(), d_.config.name);
  }
  return std::nullopt;
}

void Peers::receive_guest(tcp::socket socket, const Json& request) {
  error_code ignored;
  const Fd passed(socket.release(ignored));  // no longer watched by Asio; ours to close once the host has its copy
  const VisitorKey key{text_field(request, "home"), field<i32>(request, "pid", 0)};
  const auto child =
      d_.children.start({find_binary("omig-host"), "arrive", "--fd", "3", "--state-dir", d_.config.state_dir,
                         "--address", d_.config.listen.address_text(), "--node", d_.config.name, "--request",
                         request.dump(-1, ' ', false, Json::error_handler_t::replace)},
                        passed.get(), -1, false);
  if (child.pid < 0) {
    log("guest {} of {} not received: {}", key.pid, key.home, child.error);
    send_json(passed.get(), refusal(d_.config.name + ": " + child.error), milliseconds(500));
    return;
  }
  d_.visitors.host_started(key, child.pid, now_ms());
  log("receiving {} of {}: omig-host {}", key.pid, key.home, child.pid);
}

bool Peers::listed(Endpoint peer) const {
  return std::ranges::any_of(d_.window.all(), [&](const auto& n) { return n.second.entry.endpoint == peer; });
}

void Peers::learn_peers() {
  for (const auto& [id, seen] : d_.window.all()) begin(seen.entry.endpoint, false);
}

void Peers::problem(Endpoint peer, std::string text) {
  if (d_.problems[peer] == text) return;
  if (text.empty()) {
    log("peer {}: in touch", peer.text());
  } else {
    log("peer {}: {}", peer.text(), text);
  }
  d_.problems[peer] = std::move(text);
}

// Pull: a node with an idle CPU tells the loaded ones, whoever else it tells; they decide at once on its fresh entry.
bool Peers::could_relieve(Endpoint peer) {
  const bool loaded = std::ranges::any_of(d_.window.all(), [&](const auto& n) {
    const cluster::NodeEntry& e = n.second.entry;
    return e.endpoint == peer && n.second.alive(now_ms()) && e.load() > e.cpus;
  });
  if (!loaded || !d_.config.balance || !d_.config.policy->pull) return false;
  const cluster::NodeEntry own = own_entry(d_);
  return own.load() < own.cpus;
}

void Peers::measure(tcp::socket& socket, const Json& answer) {
  const auto entry = answer.find("entry");
  const u32 id = entry == answer.end() ? 0 : field<u32>(*entry, "id", 0);
  if (d_.window.find(id) != nullptr) d_.links.round_trip(id, round_trip_s(socket.native_handle()));
}

// One exchange of news on a kept connection. False: it is of no more use.
awaitable<bool> Peers::exchange(tcp::socket& socket, Endpoint peer, std::shared_ptr<Talk> talk) {
  const Json request = news();
  if (!co_await net::send_json(socket, request, kReach)) co_return false;
  const auto answer = co_await net::recv_json(socket, kReach);
  if (!answer) co_return false;
  if (talk->over) co_return true;  // meanwhile: what it says is for nobody
  if (!field(*answer, "ok", false)) {
    problem(peer, text_field(*answer, "reason"));
    co_return talk->configured || listed(peer);  // one that has left, and says so
  }
  problem(peer, "");
  take_news(*answer);
  measure(socket, *answer);
  co_return true;
}

awaitable<void> Peers::talk(Endpoint peer, std::shared_ptr<Talk> talk) {
  std::mt19937_64 random(d_.incarnation ^ peer.port ^ (u64{peer.address[3]} << 16));
  while (!talk->over) {
    tcp::socket socket(d_.io);
    const bool reached = co_await net::connect(socket, peer, kReach);
    const bool known = reached && co_await net::greet(socket, d_.key, kReach);
    if (!known && !talk->over)
      problem(peer, reached ? "no handshake (is its cluster.key the same as ours?)" : "cannot be reached");
    while (known) {
      const bool last = talk->over;
      if (last && !leaving_) break;
      const bool chosen =
          last || talking_.size() <= kTalkTo || random() % talking_.size() < kTalkTo || could_relieve(peer);
      const i64 began_ms = now_ms();
      if ((chosen && !co_await exchange(socket, peer, talk)) || last) break;
      if (!talk->over) co_await net::pause(talk->timer, kGossipEvery);
      const i64 passed_ms = now_ms() - began_ms;
      if (passed_ms < kGossipSoonest.count() && !talk->over)
        co_await net::pause(talk->timer, kGossipSoonest - milliseconds(passed_ms));
    }
    socket = tcp::socket(d_.io);
    if (talk->over || (!talk->configured && !listed(peer))) break;  // forgotten: it left long ago
    co_await net::pause(talk->timer, kGossipEvery);
  }
  const auto at = talking_.find(peer);
  if (at == talking_.end() || at->second != talk) co_return;  // ended by `follow`; there may be a new one
  d_.problems.erase(peer);
  talking_.erase(at);
}

}  // namespace omig
