// SPDX-License-Identifier: Apache-2.0
#include "homed/members.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <stdexcept>

#include "homed/map_file.h"
#include "homed/proc.h"

namespace omig {

namespace {

constexpr u32 kLoopback = 127;
constexpr size_t kMostKept = 4 << 20;

std::string file_in(const std::string& state_dir) { return state_dir + "/membership.json"; }

// Which of our addresses packets to `to` would bear; nothing: there is no way there.
std::optional<Endpoint> address_towards(asio::io_context& io, const Endpoint& to, u16 port) {
  using asio::ip::udp;
  udp::socket socket(io);
  error_code code;
  socket.connect(udp::endpoint(asio::ip::address_v4(cluster::address_in(to)), to.port), code);  // sends nothing
  if (code) return std::nullopt;
  const udp::endpoint ours = socket.local_endpoint(code);
  if (code) return std::nullopt;
  return cluster::endpoint_at(ours.address().to_v4().to_uint(), port);
}

// What will not be as it was because of a change; counted, with the first as an example.
struct Held {
  size_t count = 0;
  std::string first;
  void add(std::string what) {
    if (count++ == 0) first = std::move(what);
  }
};

Json emptied(const Json& own, const Json& guests) {
  return {{"ok", true}, {"brought", own.value("moved", 0)}, {"sent", guests.value("moved", 0)}};
}

}  // namespace

std::vector<u32> addresses_to_find(const Endpoint& listen, bool given) {
  return given ? std::vector<u32>{cluster::address_in(listen)} : own_addresses();
}

cluster::Membership kept_membership(const std::string& state_dir, cluster::Membership by_command_line) {
  const std::string file = file_in(state_dir);
  const auto text = read_text_file(file, kMostKept);
  if (!text) return by_command_line;
  const auto kept = cluster::membership_from_json(Json::parse(*text, nullptr, false));
  if (!kept) {
    log("{}: it makes no sense; it is not used", file);
    return by_command_line;
  }
  log("{} counts, not the command line: node {} at {}, its cluster by {}", file, kept->id, kept->listen.text(),
      cluster::form_name(kept->form));
  return *kept;
}

// One at a time; and while processes go home for it, nothing comes and nothing goes: as if block and lstay were set,
// but a homed that dies meanwhile does not find them so.
struct Members::Change {
  explicit Change(Members& members) : members_(members) { members_.changing_ = true; }
  ~Change() {
    members_.changing_ = false;
    if (!members_.emptying_) return;
    members_.emptying_ = false;
    members_.d_.settings = before_;
  }
  Change(const Change&) = delete;
  Change& operator=(const Change&) = delete;
  void hold_all() {
    if (members_.emptying_) return;
    members_.emptying_ = true;
    Settings& settings = members_.d_.settings;
    before_ = settings;
    settings.block = settings.lstay = true;
  }

 private:
  Members& members_;
  Settings before_;
};

namespace {

// Why this order cannot even be looked at; nothing: it can.
std::optional<Json> not_now(bool changing, uid_t asker, const char* what) {
  if (!may_administer(asker)) return not_an_administrator(what);
  if (changing) return refusal("busy: its cluster is being changed already, try again", "busy");
  return std::nullopt;
}

}  // namespace

Json Members::tell() const {
  Json json{{"ok", true},
            {"node", d_.config.name},
            {"form", cluster::form_name(peers_.membership().form)},
            {"id", d_.config.id},
            {"address", d_.config.listen.text()}};
  if (peers_.membership().form == cluster::Form::map) json["map"] = peers_.membership().map.text();
  return json;
}

// Why `wanted` would harm somebody; empty: it would not.
std::string Members::what_holds(const cluster::Membership& wanted, bool only_idle) const {
  const bool leaves = wanted.form == cluster::Form::alone;
  const bool other_self = wanted.id != d_.config.id || wanted.listen != d_.config.listen;
  const bool everybody = only_idle || other_self || leaves;
  const auto cut_off = [&](const std::string& node) {
    const cluster::Seen* seen = d_.window.find(node);
    return everybody || seen == nullptr || !cluster::admits(wanted, seen->entry);
  };
  Held held;
  for (const auto& [pid, p] : d_.processes.all()) {
    if (p.where != Where::home ? cut_off(p.node) : d_.moving.contains({d_.config.name, pid}))
      held.add(p.node.empty() ? fmt::format("process {} is being moved", pid)
                              : fmt::format("process {} is on {}", pid, p.node));
  }
  for (const auto& [key, v] : d_.visitors.all())
    if (cut_off(key.home)) held.add(fmt::format("process {} of {} is here", key.pid, key.home));
  if (d_.visitors.arriving()) held.add("a guest is just arriving");
  if (held.count == 0) return "";
  std::string what = "this map would cut off processes", cure = "omctl map load --force brings all home first";
  if (leaves) {
    what = "a node leaves its cluster when nothing is away or here";
    cure = "omctl leave brings all home first";
  } else if (other_self) {
    what = fmt::format("this would make node {} at {} of node {} at {}", wanted.id, wanted.listen.text(), d_.config.id,
                       d_.config.listen.text());
    if (wanted.form != cluster::Form::map) cure = "omctl bring and omctl expel send all home";
  } else if (only_idle) {
    what = "setpe -w loads a map when nothing is away or here";
    cure = "setpe -W brings all home first; omctl map load asks only that nothing be cut off";
  }
  const std::string more = held.count > 1 ? fmt::format(", and {} more", held.count - 1) : "";
  return fmt::format("{}: {}{} ({})", what, held.first, more, cure);
}

// A guest that has just come is not listed yet, one that has just gone still is: a moment later we know better.
awaitable<void> Members::settle() {
  constexpr milliseconds kLook{50};
  const i64 end_ms = now_ms() + 3'000;
  asio::steady_timer timer(d_.io);
  co_await d_.visitors.refresh();
  while (d_.visitors.arriving() && now_ms() < end_ms) {
    co_await net::pause(timer, kLook);
    co_await d_.visitors.refresh();
  }
}

awaitable<Json> Members::go_home(Listener& listener) {
  const Json own = co_await empty(d_, moves_, listener, Emptied::own);
  if (!field(own, "ok", false)) co_return own;
  const Json guests = co_await empty(d_, moves_, listener, Emptied::guests);
  if (!field(guests, "ok", false)) co_return guests;
  co_return emptied(own, guests);
}

std::string Members::keep(const cluster::Membership& wanted) {
  const std::string file = file_in(d_.config.state_dir);
  if (replace_file(file, cluster::to_json(wanted).dump(2) + "\n")) return "";
  return fmt::format("cannot write {}: {}", file, std::strerror(errno));
}

// The second step: from here on nothing fails that can be undone. Another address is listened at already.
Json Members::adopt(const cluster::Membership& wanted) {
  if (const std::string wrong = keep(wanted); !wrong.empty()) {
    peers_.listen_no_more();
    return refusal(wrong);
  }
  d_.config.id = wanted.id;
  d_.config.listen = wanted.listen;
  d_.config.peers = wanted.peers;
  log("cluster by {}: node {} at {}, {} other{}", cluster::form_name(wanted.form), wanted.id, wanted.listen.text(),
      wanted.peers.size(), wanted.peers.size() == 1 ? "" : "s");
  peers_.follow(wanted);
  return tell();
}

awaitable<Json> Members::load_map(Listener& listener, Json request, uid_t asker) {
  if (const auto refused = not_now(changing_, asker, "change its map")) co_return *refused;
  Change change(*this);
  if (peers_.membership().form == cluster::Form::discovery)
    co_return refusal(d_.config.name +
                      " found its cluster by discovery, which is not mixed with a map: end omdiscd, then omctl leave");
  const std::string name = text_field(request, "name");
  const cluster::ParsedMap parsed = cluster::parse_resolved_map(text_field(request, "map"));
  if (!parsed.errors.empty()) {
    const cluster::MapError& first = parsed.errors.front();
    co_return refusal(fmt::format("the map {}: line {}: {}", name, first.line, first.text), "invalid");
  }
  cluster::Membership wanted;
  std::string wrong;
  try {
    wanted = membership_by(parsed.map, addresses_to_find(d_.config.listen, listen_given_), d_.config.listen.port, name);
  } catch (const std::runtime_error& e) {
    wrong = e.what();
  }
  if (!wrong.empty()) co_return refusal(wrong, "invalid");
  const bool only_idle = field(request, "only_idle", false);
  co_await settle();
  Json home;
  if (!what_holds(wanted, only_idle).empty() && field(request, "force", false)) {
    change.hold_all();
    home = co_await go_home(listener);
    if (!field(home, "ok", false)) co_return home;
  }
  const std::string held = what_holds(wanted, only_idle);
  if (!held.empty()) co_return refusal(held, "busy");
  if (wanted.listen != d_.config.listen) wrong = peers_.listen_also(wanted.listen);
  if (!wrong.empty()) co_return refusal(wrong);
  Json answer = adopt(wanted);
  answer["nodes"] = wanted.map.nodes();
  if (home.is_object()) answer.update(home);
  co_return answer;
}

awaitable<Json> Members::leave(Listener& listener, Json request, uid_t asker) {
  if (const auto refused = not_now(changing_, asker, "leave its cluster")) co_return *refused;
  Change change(*this);
  cluster::Membership wanted = peers_.membership();
  wanted.form = cluster::Form::alone;
  wanted.peers.clear();
  wanted.map = {};
  co_await settle();
  Json home;
  if (field(request, "force", false)) {
    change.hold_all();
    home = co_await go_home(listener);
    if (!field(home, "ok", false)) co_return home;
  }
  if (const std::string held = what_holds(wanted, true); !held.empty()) co_return refusal(held, "busy");
  change.hold_all();
  co_await peers_.say_goodbye();
  Json answer = adopt(wanted);
  if (!field(answer, "ok", false))
    peers_.follow(cluster::Membership(peers_.membership()));  // as before: it is talked to the others again
  if (home.is_object() && field(answer, "ok", false)) answer.update(home);
  co_return answer;
}

awaitable<Json> Members::join(Json request, uid_t asker) {
  if (const auto refused = not_now(changing_, asker, "join a cluster")) co_return *refused;
  const Change change(*this);
  auto member = Endpoint::parse(text_field(request, "member"));
  if (const std::string token = text_field(request, "token"); !token.empty()) {
    co_await settle();
    Endpoint inviting;
    const Json enrolled = co_await enroll(token, &inviting);
    if (!field(enrolled, "ok", false)) co_return enrolled;
    if (peers_.membership().form == cluster::Form::map) co_return adopt(cluster::Membership(peers_.membership()));
    member = inviting;
  }
  const bool discovered = field(request, "discovered", false);
  if (!member) co_return refusal("join needs the address of a member: A.B.C.D:PORT", "invalid");
  if (peers_.membership().form == cluster::Form::map)
    co_return refusal(fmt::format("{} goes by a map, which is not mixed with {}: omctl map off first", d_.config.name,
                                  discovered ? "discovery" : "joining by hand"));
  if (*member == d_.config.listen) co_return refusal(member->text() + " is this node itself", "invalid");
  cluster::Membership wanted = peers_.membership();
  if (peers_.membership().form != cluster::Form::discovery)
    wanted.form = discovered ? cluster::Form::discovery : cluster::Form::peers;
  if (std::ranges::find(wanted.peers, *member) == wanted.peers.end()) wanted.peers.push_back(*member);
  // Started without --listen it can be reached only from this machine; who it can reach can reach it there.
  if (!listen_given_ && wanted.listen.address[0] == kLoopback && member->address[0] != kLoopback)
    wanted.listen = address_towards(d_.io, *member, wanted.listen.port).value_or(wanted.listen);
  if (wanted.listen != d_.config.listen) {
    if (const std::string held = what_holds(wanted, false); !held.empty()) co_return refusal(held, "busy");
    if (const std::string wrong = peers_.listen_also(wanted.listen); !wrong.empty()) co_return refusal(wrong);
  }
  const Json news = co_await peers_.introduce(*member, wanted.listen);
  if (!field(news, "ok", false)) {
    peers_.listen_no_more();
    co_return news;
  }
  Json answer = adopt(wanted);
  if (!field(answer, "ok", false)) co_return answer;
  peers_.take_news(news);
  answer["nodes"] = 1 + d_.window.all().size();
  co_return answer;
}

}  // namespace omig
