// SPDX-License-Identifier: Apache-2.0
// Gossip: every second, and sooner when our load changes, we send our own entry and the freshest of what we know to
// each peer over a kept connection; it answers with its own. Up to 16 nodes everybody talks to everybody; in larger
// clusters each second a random sixteen are chosen, and the window carries the news further.
#include "homed/peers.h"

#include <algorithm>
#include <random>

#include "homed/node.h"
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
    : d_(daemon), on_news_(std::move(on_news)), acceptor_(daemon.io) {}

void Peers::start() {
  std::string error;
  Fd fd = listen_tcp(d_.config.listen, &error);
  if (!fd) throw std::runtime_error(error);
  acceptor_.assign(tcp::v4(), fd.release());
  spawn(d_, "listening for peers", listen());
  for (const Endpoint& peer : d_.config.peers) {
    if (peer == d_.config.listen || talking_.contains(peer)) continue;
    talking_[peer] = std::make_shared<asio::steady_timer>(d_.io);
    spawn(d_, "talking to " + peer.text(), talk(peer));
  }
}

void Peers::hurry() {
  for (auto& [peer, timer] : talking_) timer->cancel();
}

awaitable<void> Peers::listen() {
  for (;;) {
    auto [code, socket] = co_await acceptor_.async_accept(kCompletion);
    if (code == asio::error::operation_aborted) co_return;
    if (code) {
      log("cannot accept a peer: {}", code.message());
      asio::steady_timer timer(d_.io);
      co_await net::pause(timer, milliseconds(100));  // out of descriptors: waiting helps, spinning does not
      continue;
    }
    if (strangers_ >= kMaxStrangers) continue;  // closed by going out of scope
    spawn(d_, "serving a peer", serve(std::move(socket)));
  }
}

awaitable<void> Peers::serve(tcp::socket socket) {
  ++strangers_;
  const bool known = co_await net::accept(socket, d_.key, kReach);
  --strangers_;
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
  if (op == "gossip" || op == "hello") co_return co_await net::send_json(socket, gossip(request));
  if (op == "offer") co_return co_await net::send_json(socket, offer(request));
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
    if (const cluster::NodeEntry* other = d_.window.conflict(*entry, now_ms()))
      return refusal(fmt::format("node id {} or name {} is already taken by {} at {}", entry->id, entry->name,
                                 other->name, other->endpoint.text()));
  }
  take_news(request);
  Json reply = news();
  reply["ok"] = true;
  return reply;
}

Json Peers::news() {
  return {{"op", "gossip"},
          {"version", wire::kVersion},
          {"entry", cluster::to_json(own_entry(d_))},
          {"window", d_.window.to_json(now_ms(), kWindowSent)}};
}

void Peers::take_news(const Json& message) {
  bool changed = false;
  if (const auto it = message.find("entry"); it != message.end()) {
    const auto entry = cluster::entry_from_json(*it);
    if (entry && entry->id != d_.config.id) changed = d_.window.merge(*entry, 0, now_ms());
  }
  if (const auto it = message.find("window"); it != message.end())
    changed = !d_.window.merge_json(*it, now_ms(), d_.config.id).empty() || changed;
  if (!changed) return;
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
  const std::string home = text_field(request, "home");
  const bool agreed = field<u32>(request, "version", 0) == wire::kVersion && d_.config.balance &&
                      cluster::accepts(own_entry(d_), move) && tokens_.take(now_ms());
  if (agreed) d_.visitors.reserve({home, move.pid}, move.demand, now_ms() + kReservation_ms);
  return {{"ok", agreed}, {"entry", cluster::to_json(own_entry(d_))}};
}

std::optional<std::string> Peers::why_not_here(const Json& request) const {
  const u32 version = field<u32>(request, "version", 0);
  if (version != wire::kVersion) return fmt::format("version mismatch: {} speaks {}", d_.config.name, wire::kVersion);
  // A mover that does not say whose process it is can only be one of the same user: it knows a key of mode 0600.
  const uid_t uid = field<uid_t>(request, "uid", geteuid());
  if (geteuid() != 0 && uid != geteuid())
    return fmt::format("{} serves only user {}: its homed does not run as root", d_.config.name, geteuid());
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

void Peers::learn_peers() {
  for (const auto& [id, seen] : d_.window.all()) {
    const Endpoint peer = seen.entry.endpoint;
    if (peer == d_.config.listen || talking_.contains(peer)) continue;
    talking_[peer] = std::make_shared<asio::steady_timer>(d_.io);
    spawn(d_, "talking to " + peer.text(), talk(peer));
  }
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
  if (!loaded || !d_.config.balance) return false;
  const cluster::NodeEntry own = own_entry(d_);
  return own.load() < own.cpus;
}

// One exchange of news on a kept connection.
awaitable<bool> Peers::exchange(tcp::socket& socket, Endpoint peer) {
  const Json request = news();
  if (!co_await net::send_json(socket, request, kReach)) co_return false;
  const auto answer = co_await net::recv_json(socket, kReach);
  if (!answer) co_return false;
  if (!field(*answer, "ok", false)) {
    problem(peer, text_field(*answer, "reason"));
    co_return true;
  }
  problem(peer, "");
  take_news(*answer);
  co_return true;
}

awaitable<void> Peers::talk(Endpoint peer) {
  const auto timer = talking_.at(peer);
  std::mt19937_64 random(d_.incarnation ^ peer.port ^ (u64{peer.address[3]} << 16));
  const bool configured = std::ranges::find(d_.config.peers, peer) != d_.config.peers.end();
  for (;;) {
    tcp::socket socket(d_.io);
    if (!co_await net::connect(socket, peer, kReach)) {
      problem(peer, "cannot be reached");
    } else if (!co_await net::greet(socket, d_.key, kReach)) {
      problem(peer, "no handshake (is its cluster.key the same as ours?)");
    } else {
      i64 last_ms = 0;
      for (;;) {
        const bool chosen = talking_.size() <= kTalkTo || random() % talking_.size() < kTalkTo || could_relieve(peer);
        last_ms = now_ms();
        if (chosen && !co_await exchange(socket, peer)) break;
        co_await net::pause(*timer, kGossipEvery);
        const i64 passed_ms = now_ms() - last_ms;
        if (passed_ms < kGossipSoonest.count()) co_await net::pause(*timer, kGossipSoonest - milliseconds(passed_ms));
      }
    }
    socket = tcp::socket(d_.io);
    const auto listed =
        std::ranges::any_of(d_.window.all(), [&](const auto& n) { return n.second.entry.endpoint == peer; });
    if (!configured && !listed) break;  // forgotten: it left long ago
    co_await net::pause(*timer, kGossipEvery);
  }
  d_.problems.erase(peer);
  talking_.erase(peer);
}

}  // namespace omig
