// SPDX-License-Identifier: Apache-2.0
#include "homed/job.h"

namespace omig {

namespace {

constexpr milliseconds kHostLimit{5'000};

// Nothing: `wrong` says what was asked for that there is not.
std::optional<cluster::JobChange> change_from(const Json& request, std::string* wrong) {
  cluster::JobChange change;
  if (const auto it = request.find("lock"); it != request.end()) {
    if (!it->is_boolean()) {
      *wrong = "lock is true or false, not " + it->dump();
      return std::nullopt;
    }
    change.locked = it->get<bool>();
    change.node = "";  // unless one is named
  }
  if (request.contains("node")) change.node = text_field(request, "node");
  if (request.contains("kind")) {
    change.kind = cluster::job_kind_named(text_field(request, "kind"));
    if (!change.kind) *wrong = fmt::format("no kind {}: there are {}", request["kind"].dump(), cluster::kJobKinds);
  }
  if (request.contains("decay")) {
    change.decay = cluster::decay_kind_named(text_field(request, "decay"));
    if (!change.decay) *wrong = fmt::format("no decay {}: there are {}", request["decay"].dump(), cluster::kDecayKinds);
  }
  if (const auto it = request.find("disclosure"); it != request.end()) {
    if (!it->is_number_unsigned() || it->get<u64>() > cluster::kDiscloseAll)
      *wrong = fmt::format("disclosure is 0 to {}, not {}", cluster::kDiscloseAll, it->dump());
    else
      change.disclosure = it->get<u32>();
  }
  if (const auto it = request.find("protect"); it != request.end()) {
    if (!it->is_number_unsigned() || it->get<u64>() > cluster::kMostProtect_s)
      *wrong = fmt::format("protect is 0 to {} seconds, not {}", cluster::kMostProtect_s, it->dump());
    else
      change.protect_s = it->get<u32>();
  }
  if (const auto it = request.find("protect_mb"); it != request.end()) {
    if (!it->is_number_unsigned() || it->get<u64>() > cluster::kMostProtect_mb)
      *wrong = fmt::format("protect_mb is 0 to {} MiB, not {}", cluster::kMostProtect_mb, it->dump());
    else
      change.protect_mb = it->get<u32>();
  }
  if (const auto it = request.find("held"); it != request.end()) {
    if (!it->is_boolean())
      *wrong = "held is true or false, not " + it->dump();
    else
      change.held = it->get<bool>();
  }
  return wrong->empty() ? std::optional(change) : std::nullopt;
}

// Put together outside of the coroutine, as GCC 12 wants it.
Json order_of(i32 pid, const cluster::Job& job) {
  return {{"op", "job"}, {"pid", pid}, {"job", cluster::text_of(job)}};
}

Json answer_of(i32 pid, const cluster::Job& job) {
  Json answer{{"ok", true}, {"pid", pid}, {"job", cluster::text_of(job)}};
  tell_job(answer, job);
  return answer;
}

}  // namespace

void tell_job(Json& answer, const cluster::Job& job) {
  answer["locked"] = job.locked;
  if (job.locked && !job.node.empty()) answer["locked_to"] = job.node;
  answer["kind"] = cluster::name_of(job.kind);
  answer["decay"] = cluster::name_of(job.decay);
  answer["disclosure"] = job.disclosure;
  answer["protect"] = job.protect_s;
  answer["protect_mb"] = job.protect_mb;
  answer["held"] = job.held;
}

awaitable<Json> set_job(Daemon& d, Json request, Asker asker) {
  const i32 pid = field<i32>(request, "pid", 0);
  // Who asks about itself and is not known is about to become something else (tools/omctl/launch.cpp).
  Process* p = d.processes.look_at(pid, now_ms(), pid != asker.pid);
  if (p == nullptr)
    co_return refusal(fmt::format("process {}: not started under this homed, or it has ended", pid), "no process");
  std::string wrong;
  const auto change = change_from(request, &wrong);
  if (!change) co_return refusal(wrong, "invalid");
  if (change->any() && !may_command(d, {d.config.name, pid}, asker))
    co_return refusal(fmt::format("process {}: {}", pid, kNotYours), "not permitted");
  p->job = change->applied_to(p->job);
  const cluster::Job job = p->job;
  if (p->where == Where::away && change->any()) {
    const HostAddress host{p->host, p->token};
    const std::string node = p->node;
    const Json order = order_of(pid, job);
    const auto told = co_await command_host(host, order, kHostLimit);
    if (!told || !field(*told, "ok", false))
      co_return refusal(fmt::format("process {}: {}, where it is, was not told; ask again", pid, node), "busy");
  }
  co_return answer_of(pid, job);
}

}  // namespace omig
