// SPDX-License-Identifier: Apache-2.0
#include "homed/decay.h"

#include "homed/settings.h"

namespace omig {

namespace {

Json set_of_process(Daemon& d, const Json& request, const Asker& asker) {
  const i32 pid = field<i32>(request, "pid", 0);
  Process* p = d.processes.look_at(pid, now_ms());
  if (p == nullptr)
    return refusal(fmt::format("process {}: not started under this homed, or it has ended", pid), "no process");
  if (!may_command(d, {d.config.name, pid}, asker))
    return refusal(fmt::format("process {}: {}", pid, kNotYours), "not permitted");
  if (const std::string name = text_field(request, "kind"); !name.empty()) {
    const auto kind = cluster::decay_kind_named(name);
    if (!kind) return refusal(fmt::format("no decay {}: there are {}", name, cluster::kDecayKinds), "invalid");
    p->job.decay = *kind;
  }
  return {{"ok", true},
          {"pid", pid},
          {"kind", cluster::name_of(p->job.decay)},
          {"calls_per_s", p->calls_per_s},
          {"bytes_per_s", p->bytes_per_s}};
}

}  // namespace

Json set_decay(Daemon& d, const Json& request, const Asker& asker) {
  if (request.contains("pid")) return set_of_process(d, request, asker);
  Settings wanted = d.settings;
  cluster::DecaySettings& s = wanted.decay;
  s.interval_ms = field<i64>(request, "interval_ms", s.interval_ms);
  s.slow_permille = field<u32>(request, "slow", s.slow_permille);
  s.fast_permille = field<u32>(request, "fast", s.fast_permille);
  const bool changed = request.contains("interval_ms") || request.contains("slow") || request.contains("fast");
  if (changed && !may_administer(asker.uid)) return not_an_administrator("change the decay");
  if (!cluster::sensible(s)) return refusal(cluster::kDecayRange, "invalid");
  if (const std::string wrong = changed ? keep_settings(d, wanted) : ""; !wrong.empty()) return refusal(wrong);
  return {{"ok", true}, {"interval_ms", s.interval_ms}, {"slow", s.slow_permille}, {"fast", s.fast_permille}};
}

}  // namespace omig
