// SPDX-License-Identifier: Apache-2.0
#include "homed/daemon.h"

#include <algorithm>

#include "homed/node.h"

namespace omig {

cluster::NodeEntry own_entry(Daemon& d) {
  cluster::NodeEntry entry;
  entry.id = d.config.id;
  entry.name = d.config.name;
  entry.endpoint = d.config.listen;
  entry.versions = wire::kSpoken;
  entry.identity = d.credentials.fingerprint();
  entry.incarnation = d.incarnation;
  entry.seq = ++d.entry_seq;
  entry.cpus = d.config.cpus;
  entry.speed = d.config.speed;
  for (const auto& [pid, p] : d.processes.all()) {
    if (p.where != Where::home) ++entry.away;
    if (!d.moving.contains({d.config.name, pid})) entry.runnable += p.meter.demand();
  }
  for (const auto& [key, v] : d.visitors.all()) {
    ++entry.guests;
    if (!d.moving.contains(key)) entry.runnable += v.meter.demand();
  }
  entry.accepts = !d.settings.block && !d.settings.quiet && !d.owner_needs_it;
  entry.reserved = d.visitors.reserved(now_ms());
  entry.told = d.average.told();
  entry.coming = d.coming.per_s(now_ms(), cluster::DecayKind::slow, {});
  const Memory memory = memory_now();
  entry.free_bytes = memory.free_bytes - std::min(memory.free_bytes, d.visitors.reserved_bytes(now_ms()));
  entry.total_bytes = memory.total_bytes;
  entry.real_free_bytes = memory.real_free_bytes;
  entry.utilisation = d.utilisation;
  return entry;
}

std::string node_name(const Daemon& d, u32 id) {
  if (id == d.config.id) return d.config.name;
  const cluster::Seen* seen = d.window.find(id);
  return seen == nullptr ? fmt::format("node {}", id) : seen->entry.name;
}

bool may_administer(uid_t asker) { return asker == 0 || asker == geteuid(); }

Json not_an_administrator(std::string_view what) {
  return refusal(fmt::format("only root and the user whom this homed serves may {}", what), "not permitted");
}

bool may_command(Daemon& d, const VisitorKey& process, const Asker& asker) {
  if (process.home != d.config.name) return may_administer(asker.uid);
  const auto status = read_text_file(fmt::format("/proc/{}/status", process.pid));
  const auto owner = owner_in(status.value_or(""));
  return owner && may_command(asker, *owner);
}

std::string policy_names() {
  std::string names;
  for (const cluster::Policy& policy : cluster::policies())
    names += (names.empty() ? "" : ", ") + std::string(policy.name);
  return names;
}

void spawn(Daemon& d, std::string what, awaitable<void> work) {
  asio::co_spawn(d.io, std::move(work), [what = std::move(what)](std::exception_ptr failure) {
    if (!failure) return;
    try {
      std::rethrow_exception(failure);
    } catch (const std::exception& e) {
      log("{}: {}", what, e.what());
    }
  });
}

}  // namespace omig
