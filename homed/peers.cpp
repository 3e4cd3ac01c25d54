// SPDX-License-Identifier: Apache-2.0
// Gossip: every second, and sooner when our load changes, we send our own entry and the freshest of what we know to
// each peer over a kept connection; it answers with its own. Up to 16 nodes everybody talks to everybody; in larger
// clusters each second a random sixteen are chosen, and the window carries the news further.
#include "homed/peers.h"

#include <algorithm>
#include <cctype>
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
constexpr i64 kTicketFor_ms = 30'000;
constexpr i64 kReservation_ms = 5'000;
constexpr u64 kVisitNeeds = 64 << 20;  // besides the program's memory: its host, page tables, room to breathe

}  // namespace

Peers::Peers(Daemon& daemon, std::function<void()> on_news)
    : d_(daemon), on_news_(std::move(on_news)), doors_(daemon.window) {
  const auto& revoked = d_.credentials.revocations().nodes;
  doors_.revoke({revoked.begin(), revoked.end()}, now_ms());
}

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
  Json request = news();
  request["entry"]["endpoint"] = as.text();
  std::string error;
  const std::optional<Json> answer = co_await d_.callers.ask(to, std::move(request), kReach, &error);
  if (!answer) co_return refusal(fmt::format("{}: {}", to.text(), error), "node down");
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

// Who belongs here has shown it after a few milliseconds: of a crowd at the door, the one that has stood there longest
// is none of ours. Were the newest turned away instead, a crowd would keep our own out.
void Peers::show_one_out() {
  constexpr u32 kWhoever = 0;
  if (complaints_.due(kWhoever, now_ms()))
    log("{} connections at a time do not show that they belong to the cluster: the oldest of them are closed",
        kMaxStrangers);
  tcp::socket* const oldest = strangers_.front();
  strangers_.pop_front();
  error_code ignored;
  oldest->close(ignored);
}

// At the door, until it has shown who it is, or the conversation is over.
class Peers::Standing {
 public:
  Standing(std::list<tcp::socket*>& strangers, tcp::socket& socket) : strangers_(strangers), socket_(&socket) {
    strangers_.push_back(socket_);
  }
  ~Standing() { is_known(); }
  Standing(const Standing&) = delete;
  Standing& operator=(const Standing&) = delete;
  void is_known() { std::erase(strangers_, socket_); }

 private:
  std::list<tcp::socket*>& strangers_;
  tcp::socket* socket_;
};

awaitable<void> Peers::serve(tcp::socket socket) {
  error_code ignored;
  socket.set_option(tcp::no_delay(true), ignored);
  Peer peer;
  peer.stream = std::make_unique<Secure>(std::move(socket), d_.credentials.context());
  tcp::socket& below = peer.stream->next_layer();
  Standing standing(strangers_, below);
  const std::optional<u8> first = co_await net::peek(below, kReach);
  if (first == static_cast<u8>(kTicketMagic)) co_return co_await serve_ticket(below, standing);
  if (!first || !co_await welcome(peer, d_.credentials, kReach)) co_return;
  if (peer.fingerprint.empty()) co_return co_await serve_newcomer(peer);
  standing.is_known();
  for (;;) {
    const auto request = co_await net::recv_json(*peer.stream, kIdleFor);
    if (!request || !peer.of_cluster(d_.credentials)) co_return;
    const Json reply = answer(peer, *request);
    if (!co_await net::send_json(*peer.stream, reply)) co_return;
  }
}

// A mover that our own homed has promised a ticket; it brings the process.
awaitable<void> Peers::serve_ticket(tcp::socket& socket, Standing& standing) {
  TicketHello hello;
  const bool said = co_await net::read_exactly(socket, &hello, sizeof hello, kReach);
  standing.is_known();
  if (!said || hello.magic != kTicketMagic || hello.version != TicketHello().version) co_return;
  auto guest = tickets_.use(hello.name, now_ms());
  if (!guest) co_return;
  receive_guest(socket, *guest);
  if (--guest->attempts > 0) tickets_.give(hello.name, std::move(*guest), now_ms() + kTicketFor_ms);
}

// Who has no certificate may ask for one, once, and remains a stranger.
awaitable<void> Peers::serve_newcomer(Peer& peer) {
  const auto request = co_await net::recv_json(*peer.stream, kReach);
  if (!request) co_return;
  const Json reply = admit(*request);
  co_await net::send_json(*peer.stream, reply, kReach);
}

namespace {

// Secrets are looked up by this: how long a comparison takes tells nothing of them then.
Mac digest_of(const std::string& secret) { return mac_of(ClusterKey{}, secret); }

// As it may stand in a certificate and in our log.
std::string plain_name(std::string name) {
  const auto strange = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) == 0 && c != '.' && c != '_'; };
  std::ranges::replace_if(name, strange, '-');
  return name.empty() ? "unnamed" : name.substr(0, 31);
}

}  // namespace

std::string Peers::invite(std::chrono::seconds time, u32 uses) {
  std::array<u8, 16> random;
  fill_random(random.data(), random.size());
  const std::string secret = hex_encode(random.data(), random.size());
  invitations_.give(digest_of(secret), time, now_ms() + milliseconds(time).count(), uses);
  return token_of({d_.config.listen, d_.credentials.cluster(), secret});
}

Json Peers::admit(const Json& request) {
  if (text_field(request, "op") != "enroll") return refusal("show a certificate of this cluster");
  const std::string name = plain_name(text_field(request, "name"));
  if (!invitations_.use(digest_of(text_field(request, "secret")), now_ms()))
    return refusal(fmt::format("{} does not know this token: it was used, is too old, or {} was started again since "
                               "(omctl cluster invite gives another)",
                               d_.config.name, d_.config.name),
                   "invalid");
  const Identity& own = d_.credentials.identity();
  const std::string certificate = certify(own, text_field(request, "public_key"), name);
  if (certificate.empty()) return refusal("no public key, or no authority here", "invalid");
  log("admitted {} to the cluster as {}", name, fingerprint_of(certificate));
  return {{"ok", true},
          {"certificate", certificate},
          {"cluster", own.cluster},
          {"multicast", hex_encode(own.multicast.data(), own.multicast.size())},
          {"revoked", to_json(d_.credentials.revocations())}};
}

Json Peers::answer(const Peer& peer, const Json& request) {
  const std::string op = text_field(request, "op");
  if (membership().form == cluster::Form::alone) return refusal(d_.config.name + " has left its cluster");
  if (op == "gossip" || op == "hello") return gossip(peer, request);
  if (op == "offer") return offer(request);
  if (op == "explain") return explain(request);
  if (op == "move") return give_ticket(request);
  return refusal("unknown request " + op);
}

namespace {

// A program's own request names its one version.
wire::Versions versions_in(const Json& request) {
  const u32 newest = field<u32>(request, "version", 0);
  return {field<u32>(request, "oldest_version", newest), newest};
}

}  // namespace

Json Peers::give_ticket(const Json& request) {
  if (const auto reason = why_not_here(request)) {
    log("refused process {} of {}: {}", field<i32>(request, "pid", 0), text_field(request, "home"), *reason);
    return refusal(*reason);
  }
  if (find_binary("omig-host").empty()) return refusal("omig-host is not installed on " + d_.config.name);
  const Ticket ticket = Ticket::fresh();
  tickets_.give(ticket.name, {ticket, request}, now_ms() + kTicketFor_ms);
  return {{"ok", true}, {"ticket", ticket.to_json()}};
}

Json Peers::gossip(const Peer& peer, const Json& request) {
  if (!versions_in(request).meet(wire::kSpoken)) return refusal(wire::version_mismatch(d_.config.name));
  const auto sender = request.find("entry");
  const auto entry = sender == request.end() ? std::nullopt : cluster::entry_from_json(*sender);
  if (entry && entry->incarnation != d_.incarnation && (entry->id == d_.config.id || entry->name == d_.config.name))
    return refusal(fmt::format("node id {} or name {} is already taken by {} at {}", entry->id, entry->name,
                               d_.config.name, d_.config.listen.text()));
  if (entry) {
    if (entry->identity != peer.fingerprint)
      return refusal(fmt::format("{} shows the certificate of another node", entry->name));
    if (const std::string reason = why_a_stranger(*entry); !reason.empty()) return refusal(reason);
    if (const cluster::NodeEntry* other = d_.window.conflict(*entry, now_ms()))
      return refusal(fmt::format("node id {} or name {} is already taken by {} at {}", entry->id, entry->name,
                                 other->name, other->endpoint.text()));
  }
  take_news(request);
  Json reply = news();
  reply["ok"] = true;
  if (const u64 later = entry ? doors_.later_than(*entry) : 0; later != 0) reply["later_incarnation"] = later;
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
               {"oldest_version", wire::kOldest},
               {"entry", cluster::to_json(told_entry())},
               {"window", doors_.tell(now_ms(), kWindowSent)}};
  if (leaving_) message["entry"]["left"] = true;
  if (d_.credentials.revocations().number > 0) message["revoked"] = to_json(d_.credentials.revocations());
  return message;
}

void Peers::follow_revocations() {
  on_revoked();
  const auto& nodes = d_.credentials.revocations().nodes;
  doors_.revoke({nodes.begin(), nodes.end()}, now_ms());
  learn_peers();
  on_news_();
  hurry();
}

void Peers::take_news(const Json& message) {
  if (const auto list = message.find("revoked"); list != message.end() && d_.credentials.learn(*list))
    follow_revocations();
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
  const bool agreed = versions_in(request).meet(wire::kSpoken) && d_.config.balance &&
                      cluster::accepts(own_entry(d_), move) && !limit_reached(d_, home, std::nullopt, move.rss_bytes) &&
                      tokens_.take(now_ms());
  if (agreed) d_.visitors.reserve({home, move.pid}, move.demand, move.rss_bytes, now_ms() + kReservation_ms);
  return {{"ok", agreed}, {"entry", cluster::to_json(told_entry())}};
}

// What we make of a guest, for its home's `omctl why`.
Json Peers::explain(const Json& request) {
  const VisitorKey key{text_field(request, "home"), field<i32>(request, "pid", 0)};
  return {{"ok", true}, {"text", explanation(d_, key)}};
}

std::optional<std::string> Peers::why_not_here(const Json& request) const {
  if (!versions_in(request).meet(wire::kSpoken)) return wire::version_mismatch(d_.config.name);
  // Of a guest on its way from another node only its host knows that: our own host looks again.
  const uid_t uid = field<uid_t>(request, "uid", geteuid());
  if (geteuid() != 0 && uid != geteuid())
    return fmt::format("{} serves only user {}: its homed does not run as root", d_.config.name, geteuid());
  // A map says who belongs here, guests included.
  if (const std::string home = text_field(request, "home");
      membership().form == cluster::Form::map && home != d_.config.name && d_.window.find(home) == nullptr)
    return fmt::format("{} knows no node {}: it is not in its map, or was not heard of yet", d_.config.name, home);
  if (d_.settings.block) return fmt::format("{} takes no guests (block)", d_.config.name);
  const std::optional<uid_t> owner = request.contains("uid") ? std::optional(uid) : std::nullopt;
  if (auto limit = limit_reached(d_, text_field(request, "home"), owner, field<u64>(request, "rss_bytes", 0)))
    return limit;
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

void Peers::receive_guest(tcp::socket& socket, const Expected& guest) {
  const VisitorKey key{text_field(guest.request, "home"), field<i32>(guest.request, "pid", 0)};
  error_code ignored;
  const Fd passed(socket.release(ignored));  // no longer watched by Asio; ours to close once the host has its copy
  const Fd ticket = secret_file(guest.ticket.to_json().dump());
  const auto not_received = [&](const std::string& why) {
    log("guest {} of {} not received: {}", key.pid, key.home, why);
  };
  std::string wrong;
  const auto room = d_.groups.make(hold_of(d_.settings.limits, 1), &wrong);
  if (!room) return not_received(wrong);
  std::vector<int> descriptors{passed.get(), ticket.get()};
  std::vector<std::string> words{find_binary("omig-host"),
                                 "arrive",
                                 "--fd",
                                 "3",
                                 "--ticket-fd",
                                 "4",
                                 "--state-dir",
                                 d_.config.state_dir,
                                 "--address",
                                 d_.config.listen.address_text(),
                                 "--node",
                                 d_.config.name,
                                 "--request",
                                 guest.request.dump(-1, ' ', false, Json::error_handler_t::replace)};
  for (const Fd& group : room->guests) {
    words.insert(words.end(), {"--group-fd", std::to_string(3 + descriptors.size())});
    descriptors.push_back(group.get());
  }
  const auto child = d_.children.start(words, descriptors, -1, false, room->host);
  if (child.pid < 0) return not_received(child.error);
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

void Peers::measure(const Peer& peer, const Json& answer) {
  const auto entry = answer.find("entry");
  const u32 id = entry == answer.end() ? 0 : field<u32>(*entry, "id", 0);
  if (d_.window.find(id) != nullptr) d_.links.round_trip(id, round_trip_s(peer.stream->next_layer().native_handle()));
}

// What we said before our clock was set back and we were started anew would count as newer than what we say now.
void Peers::count_as_new(u64 said_before) {
  constexpr u64 kMost = 1'000'000'000'000'000;  // ms: far beyond any clock, and nobody can use the numbers up
  if (said_before < d_.incarnation || said_before > kMost) return;
  log("our clock is behind what we said before our start: from now on our news count as newer");
  d_.incarnation = said_before + 1;
  hurry();
}

// One exchange of news on a kept connection. False: it is of no more use.
awaitable<bool> Peers::exchange(const Peer& member, Endpoint peer, std::shared_ptr<Talk> talk) {
  const Json request = news();
  if (!member.of_cluster(d_.credentials)) co_return false;
  std::optional<Json> answer;
  if (co_await net::send_json(*member.stream, request, kReach))
    answer = co_await net::recv_json(*member.stream, kReach);
  // One that closes the door as soon as it sees our certificate does so here: the handshake has succeeded by then.
  if (!answer && !talk->heard) problem(peer, "hangs up: is this node a member of its cluster, and not revoked?");
  if (!answer) co_return false;
  talk->heard = true;
  if (talk->over) co_return true;  // meanwhile: what it says is for nobody
  if (!field(*answer, "ok", false)) {
    problem(peer, text_field(*answer, "reason"));
    co_return talk->configured || listed(peer);  // one that has left, and says so
  }
  const auto entry = answer->find("entry");
  if (entry == answer->end() || text_field(*entry, "identity") != member.fingerprint) {
    problem(peer, "shows the certificate of another node");
    co_return false;
  }
  problem(peer, "");
  count_as_new(field<u64>(*answer, "later_incarnation", 0));
  take_news(*answer);
  measure(member, *answer);
  co_return true;
}

awaitable<void> Peers::talk(Endpoint peer, std::shared_ptr<Talk> talk) {
  std::mt19937_64 random(d_.incarnation ^ peer.port ^ (u64{peer.address[3]} << 16));
  while (!talk->over) {
    std::string error;
    Peer member = co_await call_member(d_.io, d_.credentials, peer, kReach, &error);
    talk->heard = false;
    if (!member.stream && !talk->over) problem(peer, error);
    while (member.stream) {
      const bool last = talk->over;
      if (last && !leaving_) break;
      const bool chosen =
          last || talking_.size() <= kTalkTo || random() % talking_.size() < kTalkTo || could_relieve(peer);
      const i64 began_ms = now_ms();
      if ((chosen && !co_await exchange(member, peer, talk)) || last) break;
      if (!talk->over) co_await net::pause(talk->timer, kGossipEvery);
      const i64 passed_ms = now_ms() - began_ms;
      if (passed_ms < kGossipSoonest.count() && !talk->over)
        co_await net::pause(talk->timer, kGossipSoonest - milliseconds(passed_ms));
    }
    member.stream.reset();
    if (talk->over || (!talk->configured && !listed(peer))) break;  // forgotten: it left long ago
    co_await net::pause(talk->timer, kGossipEvery);
  }
  const auto at = talking_.find(peer);
  if (at == talking_.end() || at->second != talk) co_return;  // ended by `follow`; there may be a new one
  d_.problems.erase(peer);
  talking_.erase(at);
}

}  // namespace omig
