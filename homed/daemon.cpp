// SPDX-License-Identifier: Apache-2.0
#include "homed/daemon.h"

#include "homed/node.h"

namespace omig {

cluster::NodeEntry own_entry(Daemon& d) {
  cluster::NodeEntry entry;
  entry.id = d.config.id;
  entry.name = d.config.name;
  entry.endpoint = d.config.listen;
  entry.version = wire::kVersion;
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
  entry.reserved = d.visitors.reserved(now_ms());
  entry.told = d.average.told();
  const Memory memory = memory_now();
  entry.free_bytes = memory.free_bytes;
  entry.total_bytes = memory.total_bytes;
  return entry;
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
