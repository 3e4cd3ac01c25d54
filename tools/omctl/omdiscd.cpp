// SPDX-License-Identifier: Apache-2.0
// omdiscd: finds the cluster by multicast. It tells where this node's homed is, hears where others are, and has homed
// join those it does not know; homed decides, and knows nothing of multicast.
#include "tools/omctl/omdiscd.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <set>
#include <stdexcept>
#include <vector>

#include "homed/log.h"
#include "lib/base/paths.h"
#include "lib/cluster/discovery.h"
#include "lib/cluster/map.h"
#include "lib/link/identity.h"
#include "tools/omctl/client.h"
#include "tools/omctl/commands.h"

namespace omig {

namespace {

constexpr u32 kGroup = 0xefff4f4d;  // 239.255.79.77: of this organisation only (RFC 2365)
constexpr u16 kPort = 7947;
constexpr i64 kTellEvery_ms = 2'000;
constexpr int kMostAtOnce = 256;  // datagrams between two looks at everything else
constexpr milliseconds kAskHomed{5'000};

// It ends, and why; status 1.
class Over : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

Over failure(const std::string& what) { return Over(what + ": " + std::strerror(errno)); }

i64 wall_ms() { return std::chrono::system_clock::now().time_since_epoch() / milliseconds(1); }

sockaddr_in address_of(u32 address, u16 port) {
  sockaddr_in in{};
  in.sin_family = AF_INET;
  in.sin_addr.s_addr = htonl(address);
  in.sin_port = htons(port);
  return in;
}

// The named ones, or all that are up, can multicast and have an IPv4 address.
std::vector<std::string> interfaces(const std::vector<std::string>& named) {
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) throw failure("cannot list the interfaces");
  std::set<std::string> usable;
  for (const ifaddrs* each = list; each != nullptr; each = each->ifa_next) {
    const bool ip = each->ifa_addr != nullptr && each->ifa_addr->sa_family == AF_INET;
    const bool wanted =
        named.empty() ? (each->ifa_flags & IFF_LOOPBACK) == 0 : std::ranges::find(named, each->ifa_name) != named.end();
    const unsigned needed = IFF_UP | (named.empty() ? IFF_MULTICAST : 0);
    if (ip && wanted && (each->ifa_flags & needed) == needed) usable.insert(each->ifa_name);
  }
  freeifaddrs(list);
  for (const std::string& name : named)
    if (!usable.contains(name)) throw Over(fmt::format("-i {}: no interface that is up and has an IPv4 address", name));
  if (usable.empty()) throw Over("no interface that is up, can multicast and has an IPv4 address: name one (-i)");
  return {usable.begin(), usable.end()};
}

class Air {
 public:
  Air(const std::vector<std::string>& names, int ttl) {
    hear_.reset(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    const int one = 1, none = 0;
    const sockaddr_in group = address_of(kGroup, kPort);
    if (!hear_ || setsockopt(hear_.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) != 0 ||
        setsockopt(hear_.get(), IPPROTO_IP, IP_MULTICAST_ALL, &none, sizeof(none)) != 0 ||
        bind(hear_.get(), reinterpret_cast<const sockaddr*>(&group), sizeof(group)) != 0)
      throw failure(fmt::format("cannot listen at 239.255.79.77:{}", kPort));
    for (const std::string& name : names) {
      ip_mreqn join{};
      join.imr_multiaddr = group.sin_addr;
      join.imr_ifindex = static_cast<int>(if_nametoindex(name.c_str()));
      Fd out(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
      if (!out || setsockopt(hear_.get(), IPPROTO_IP, IP_ADD_MEMBERSHIP, &join, sizeof(join)) != 0 ||
          setsockopt(out.get(), IPPROTO_IP, IP_MULTICAST_IF, &join, sizeof(join)) != 0 ||
          setsockopt(out.get(), IPPROTO_IP, IP_MULTICAST_TTL, &ttl, sizeof(ttl)) != 0)
        throw failure(fmt::format("cannot multicast on {}", name));
      tell_.emplace_back(name, std::move(out));
    }
  }

  int fd() const { return hear_.get(); }

  void tell(const std::string& datagram) {
    const sockaddr_in group = address_of(kGroup, kPort);
    for (const auto& [name, out] : tell_) {
      const bool sent =
          sendto(out.get(), datagram.data(), datagram.size(), 0, reinterpret_cast<const sockaddr*>(&group),
                 sizeof(group)) == static_cast<ssize_t>(datagram.size());
      if (!sent && silent_.insert(name).second) log("nothing is heard on {}: {}", name, std::strerror(errno));
      if (sent && silent_.erase(name) > 0) log("{} works again", name);
    }
  }

  // The next one and whose it claims to be; false: none is there. What is too long is cut, and then of no use.
  bool next(std::string* datagram, u32* source) {
    char bytes[cluster::kMaxDatagram + 1];
    sockaddr_in from{};
    socklen_t length = sizeof(from);
    const ssize_t got = recvfrom(hear_.get(), bytes, sizeof(bytes), 0, reinterpret_cast<sockaddr*>(&from), &length);
    if (got < 0) return false;
    datagram->assign(bytes, static_cast<size_t>(got));
    *source = ntohl(from.sin_addr.s_addr);
    return true;
  }

 private:
  Fd hear_;
  std::vector<std::pair<std::string, Fd>> tell_;
  std::set<std::string> silent_;
};

class Discovery {
 public:
  Discovery(Air& air, const ClusterKey& key) : air_(air), key_(key), counter_(static_cast<u64>(wall_ms())) {}

  // One round: is homed there, may it be found, and whom does it know. Throws Over.
  void look_at_homed() {
    here_.reset();
    const auto own = ask({{"op", "map"}});
    if (!own) return;
    const std::string form = own->value("form", "");
    const std::string node = own->value("node", "");
    if (form == "map") throw Over(node + " goes by a map, which is not mixed with discovery: omctl map off first");
    if (form == "alone" && joined_) throw Over(node + " has left its cluster");
    const auto at = Endpoint::parse(own->value("address", ""));
    if (!at) return;
    if (at->address[0] == 127)
      throw Over(fmt::format("homed listens at {}, where no other machine reaches it: start it with --listen ADDRESS",
                             at->text()));
    here_ = cluster::Presence{own->value("id", 0u), node, *at, 0, 0};
    const auto nodes = ask({{"op", "nodes"}});
    if (!nodes || !nodes->value("ok", false)) return;
    known_.clear();
    for (const Json& each : nodes->at("nodes"))
      if (each.value("state", "") == "up") known_.insert(each.value("endpoint", ""));
    joined_ = joined_ || known_.size() > 1;
  }

  void tell() {
    if (!here_) return;
    here_->time_ms = wall_ms();
    here_->counter = ++counter_;
    air_.tell(cluster::to_datagram(*here_, key_));
  }

  void hear() {
    std::string datagram, why;
    u32 source = 0;
    for (int i = 0; i < kMostAtOnce && air_.next(&datagram, &source); ++i) {
      const i64 now = wall_ms();
      const auto presence = cluster::from_datagram(datagram, key_, &why);
      if (presence && here_ && presence->at == here_->at && presence->id == here_->id) continue;  // our own words
      if (presence) why = fresh_.take(*presence, now);
      if (!presence || !why.empty())
        complain(source, why);
      else if (here_ && !known_.contains(presence->at.text()))
        join(*presence, source);
    }
  }

 private:
  std::optional<Json> ask(const Json& request) {
    auto client = Client::connect();
    auto answer = client ? client->ask(request, kAskHomed) : std::nullopt;
    if (!answer && !alone_) log("no homed answers at {}: waiting for it", default_state_dir());
    if (answer && alone_) log("homed answers");
    alone_ = !answer;
    return answer;
  }

  void join(const cluster::Presence& other, u32 source) {
    const auto answer = ask({{"op", "join"}, {"member", other.at.text()}, {"discovered", true}});
    if (!answer) return;
    if (!answer->value("ok", false))
      return complain(source, fmt::format("{} at {}: {}", other.name, other.at.text(), answer->value("reason", "")));
    known_.insert(other.at.text());
    joined_ = true;
    log("found {} (node {}) at {}", other.name, other.id, other.at.text());
  }

  void complain(u32 source, const std::string& why) {
    if (complaints_.due(source, wall_ms())) log("from {}: {}", cluster::ipv4_text(source), why);
  }

  Air& air_;
  ClusterKey key_;
  u64 counter_;
  std::optional<cluster::Presence> here_;
  std::set<std::string> known_;  // endpoints of nodes that homed sees alive
  cluster::Freshness fresh_;
  cluster::Complaints complaints_;
  bool joined_ = false, alone_ = false;
};

void serve(Air& air, Discovery& discovery, int signals) {
  for (i64 next_ms = 0;;) {
    const i64 now = std::chrono::steady_clock::now().time_since_epoch() / milliseconds(1);
    if (now >= next_ms) {
      discovery.look_at_homed();
      discovery.tell();
      next_ms = now + kTellEvery_ms;
    }
    pollfd fds[] = {{air.fd(), POLLIN, 0}, {signals, POLLIN, 0}};
    poll(fds, 2, static_cast<int>(std::clamp<i64>(next_ms - now, 0, kTellEvery_ms)));
    if (fds[1].revents != 0) return;
    if (fds[0].revents != 0) discovery.hear();
  }
}

// SIGTERM and SIGINT end it in between.
Fd blocked_signals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  sigprocmask(SIG_BLOCK, &set, nullptr);
  return Fd(signalfd(-1, &set, SFD_CLOEXEC));
}

void go_to_the_background() {
  const std::string path = default_state_dir() + "/omdiscd.log";
  const Fd file(open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  const Fd null(open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!file || !null) throw failure("cannot write " + path);
  const pid_t pid = fork();
  if (pid < 0) throw failure("cannot go to the background");
  if (pid > 0) _exit(0);
  setsid();
  dup2(null.get(), 0);
  dup2(null.get(), 1);
  dup2(file.get(), 2);
}

}  // namespace

int omdiscd_main(const cli::Words& words) {
  CLI::App app{"find the other nodes of the cluster by multicast", "omdiscd"};
  bool foreground = false;
  std::vector<std::string> names;
  int ttl = 1;
  app.add_flag("-n,--foreground", foreground, "stay in the foreground, log to stderr");
  app.add_option("-i", names, "the interfaces to use (default: all that can multicast)")
      ->type_name("IF")
      ->delimiter(',');
  app.add_option("-m", ttl, "how many routers a datagram may pass, 1: none")
      ->type_name("TTL")
      ->check(cli::whole_number(1, 255));
  cli::example(app, "  omdiscd\n  omdiscd -n -i eth0,eth1 -m 2");
  if (const auto end = cli::parse(app, words)) return *end;
  try {
    std::string error;
    const auto identity = load_identity(default_state_dir(), &error);
    if (!identity) throw Over(error);
    Air air(interfaces(names), ttl);
    const Fd signals = blocked_signals();
    Discovery discovery(air, identity->multicast);
    discovery.look_at_homed();  // what is wrong at the begin is said where it was started
    if (!foreground) go_to_the_background();
    serve(air, discovery, signals.get());
    return 0;
  } catch (const Over& e) {
    fmt::print(stderr, "omdiscd: {}\n", e.what());
    return 1;
  }
}

}  // namespace omig
