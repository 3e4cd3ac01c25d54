// SPDX-License-Identifier: Apache-2.0
// The part of Members that is about who belongs to the cluster: certificates, invitations, revocations.
#include <signal.h>

#include <algorithm>

#include "homed/members.h"
#include "homed/moves.h"

namespace omig {

namespace {

constexpr milliseconds kReach{5'000};
constexpr i64 kPartWithin_ms = 30'000;
constexpr u32 kShortest_s = 10, kUsual_s = 600, kLongest_s = 7 * 24 * 3600, kMostUses = 10'000;

Json enroll_request(const std::string& secret, const std::string& public_key, const std::string& name) {
  return {{"op", "enroll"}, {"secret", secret}, {"public_key", public_key}, {"name", name}};
}

// What the founder's answer makes of us; nothing: it is malformed.
std::optional<Identity> identity_from(const Json& answer, const std::string& key, const std::string& fingerprint) {
  Identity made;
  made.key = key;
  made.certificate = text_field(answer, "certificate");
  made.cluster = text_field(answer, "cluster");
  if (fingerprint_of(made.cluster) != fingerprint || fingerprint_of(made.certificate).empty() ||
      !hex_decode(text_field(answer, "multicast"), made.multicast.data(), made.multicast.size()))
    return std::nullopt;
  return made;
}

Json no_authority(const Daemon& d, const char* what) {
  return refusal(fmt::format("{} cannot {}: only {} can, which founded the cluster (or who has its authority.pem)",
                             d.config.name, what, founder_of(d.credentials.identity().cluster)),
                 "not permitted");
}

}  // namespace

Json Members::identity() const {
  const Credentials& own = d_.credentials;
  return {{"ok", true},
          {"node", d_.config.name},
          {"identity", own.fingerprint()},
          {"cluster", own.cluster()},
          {"founder", founder_of(own.identity().cluster)},
          {"authority", own.may_admit()},
          {"revoked", own.revocations().nodes}};
}

// Empty: nobody notices if this node belongs to another cluster from now on.
std::string Members::why_not_another_cluster() const {
  cluster::Membership alone = peers_.membership();
  alone.form = cluster::Form::alone;
  if (const std::string held = what_holds(alone, true); !held.empty()) return held;
  for (const auto& [id, seen] : d_.window.all()) {
    const auto problem = d_.problems.find(seen.entry.endpoint);
    const bool speaks = problem == d_.problems.end() || problem->second.empty();
    if (speaks && seen.alive(now_ms()))
      return fmt::format("{} belongs to a cluster with {}: omctl leave first", d_.config.name, seen.entry.name);
  }
  return "";
}

awaitable<Json> Members::enroll(std::string token, Endpoint* member) {
  const auto invitation = invitation_in(token);
  if (!invitation)
    co_return refusal("this is no token: omctl cluster invite, on the other node, prints one", "invalid");
  *member = invitation->at;
  const std::string held = why_not_another_cluster();
  // We belong to it already; one that nobody there speaks to any more gets another certificate.
  if (!held.empty() && invitation->cluster == d_.credentials.cluster()) co_return Json{{"ok", true}};
  if (!held.empty()) co_return refusal(held, "busy");
  std::string error;
  const Peer founder = co_await call_founder(d_.io, invitation->at, invitation->cluster, kReach, &error);
  if (!founder.stream) co_return refusal(fmt::format("{}: {}", invitation->at.text(), error), "node down");
  const std::string key = new_private_key();
  const Json request = enroll_request(invitation->secret, public_key_of(key), d_.config.name);
  std::optional<Json> answer;
  if (co_await net::send_json(*founder.stream, request, kReach))
    answer = co_await net::recv_json(*founder.stream, kReach);
  if (!answer) co_return refusal(invitation->at.text() + " gives no answer", "node down");
  if (!field(*answer, "ok", false)) co_return *answer;
  const auto made = identity_from(*answer, key, invitation->cluster);
  if (!made) co_return refusal(invitation->at.text() + " answered nonsense");
  if (const std::string wrong = d_.credentials.adopt(*made); !wrong.empty()) co_return refusal(wrong);
  if (const auto list = answer->find("revoked"); list != answer->end()) d_.credentials.learn(*list);
  log("joined the cluster of {} as {}", founder_of(made->cluster), d_.credentials.fingerprint());
  co_return Json{{"ok", true}};
}

awaitable<Json> Members::found(uid_t asker) {
  if (!may_administer(asker)) co_return not_an_administrator("found a cluster");
  co_await settle();
  if (const std::string held = why_not_another_cluster(); !held.empty()) co_return refusal(held, "busy");
  const std::string wrong = d_.credentials.adopt(new_cluster(d_.config.name));
  if (!wrong.empty()) co_return refusal(wrong);
  log("founded a cluster as {}", d_.credentials.fingerprint());
  co_return identity();
}

Json Members::invite(const Json& request, uid_t asker) {
  if (!may_administer(asker)) return not_an_administrator("invite nodes");
  if (!d_.credentials.may_admit()) return no_authority(d_, "invite nodes");
  const u32 seconds = field<u32>(request, "seconds", kUsual_s), uses = field<u32>(request, "uses", 1);
  if (seconds < kShortest_s || seconds > kLongest_s || uses == 0 || uses > kMostUses)
    return refusal(fmt::format("an invitation lasts {} s to 7 days, for 1 to {} nodes", kShortest_s, kMostUses),
                   "invalid");
  return {{"ok", true},
          {"token", peers_.invite(std::chrono::seconds(seconds), uses)},
          {"seconds", seconds},
          {"uses", uses},
          {"address", d_.config.listen.text()}};
}

Json Members::revoke(const Json& request, uid_t asker) {
  if (!may_administer(asker)) return not_an_administrator("revoke nodes");
  if (!d_.credentials.may_admit()) return no_authority(d_, "revoke nodes");
  const std::string node = text_field(request, "node");
  const cluster::Seen* seen = d_.window.find(node);
  constexpr size_t kDigits = 32;
  u8 ignored[kDigits / 2];
  const std::string fingerprint = seen != nullptr ? seen->entry.identity : node;
  if (!hex_decode(fingerprint, ignored, sizeof ignored))
    return refusal(fmt::format("no node {} known here (omctl cluster status --json tells fingerprints)", node),
                   "no node");
  if (fingerprint == d_.credentials.fingerprint())
    return refusal(d_.config.name + " is this node itself: omctl leave", "invalid");
  if (const std::string wrong = d_.credentials.revoke(fingerprint); !wrong.empty()) return refusal(wrong);
  log("revoked {} ({})", node, fingerprint);
  peers_.follow_revocations();
  return {{"ok", true}, {"identity", fingerprint}};
}

void Members::note_revoked() {
  for (const auto& [id, seen] : d_.window.all())
    if (d_.credentials.revoked(seen.entry.identity)) thrown_out_.insert(seen.entry.name);
}

// Again and again: a guest that has just come is not listed yet, one that is just being moved cannot be told. What is
// not given back in time is cut off: the node that was thrown out must not go on as the user's, nor stay here.
void Members::part_from_revoked() {
  // One of that name that is known now is another one, or has got another certificate.
  std::erase_if(thrown_out_, [&](const std::string& name) { return d_.window.find(name) != nullptr; });
  if (thrown_out_.empty()) {
    parting_since_ms_.clear();
    return;
  }
  const i64 now = now_ms();
  const auto part = [&](const VisitorKey& key, const std::string& node, pid_t last_resort, i64 barred_until_ms) {
    if (!thrown_out_.contains(node)) return;
    const i64 since = parting_since_ms_.try_emplace(key, now).first->second;
    if (now - since > kPartWithin_ms && kill(last_resort, SIGKILL) == 0)
      log("process {} of {} is ended: {} was revoked, and it did not come home in {} s", key.pid, key.home, node,
          kPartWithin_ms / 1000);
    else if (!d_.moving.contains(key) && barred_until_ms <= now)
      spawn(d_, "parting from a revoked node", send_home(key, node));
  };
  for (const auto& [pid, p] : d_.processes.all())
    if (p.where == Where::away) part({d_.config.name, pid}, p.node, pid, p.barred_until_ms);
  for (const auto& [key, visitor] : d_.visitors.all()) part(key, key.home, visitor.host_pid, visitor.barred_until_ms);
}

awaitable<void> Members::send_home(VisitorKey key, std::string node) {
  const MoveResult result = co_await moves_.send_home(key);
  if (!result.ok) log("process {} of {}, parting from {}: {}", key.pid, key.home, node, result.reason);
}

}  // namespace omig
