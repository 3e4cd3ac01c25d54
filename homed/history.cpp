// SPDX-License-Identifier: Apache-2.0
#include "homed/history.h"

#include <algorithm>
#include <chrono>
#include <ranges>

#include "homed/log.h"

namespace omig {

namespace {

constexpr size_t kMostKept = 1'000;
constexpr milliseconds kLongestWait{20'000};

i64 wall_ms() {
  return std::chrono::duration_cast<milliseconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

}  // namespace

Json to_json(const MoveRecord& r) {
  Json json{{"seq", r.seq},         {"at_ms", r.at_ms},   {"pid", r.pid},         {"home", r.home},
            {"command", r.command}, {"from", r.from},     {"to", r.to},           {"cause", r.cause},
            {"ok", r.ok},           {"reason", r.reason}, {"outcome", r.outcome}, {"times", r.times}};
  if (r.freeze_ms >= 0) json["freeze_ms"] = r.freeze_ms;
  return json;
}

void History::add(MoveRecord record) {
  if (!record.ok) {
    for (MoveRecord& old : ring_ | std::views::reverse) {
      if (old.pid != record.pid || old.home != record.home) continue;
      if (old.ok || old.to != record.to || old.outcome != record.outcome) break;
      ++old.times;
      return;
    }
  }
  record.seq = ++last_;
  record.at_ms = wall_ms();
  const std::string freeze = record.freeze_ms < 0 ? "" : fmt::format(", frozen for {:.1f} ms", record.freeze_ms);
  log("{}: {} of {} ({}) {} -> {}: {}{} [{}]", record.cause, record.pid, record.home, record.command, record.from,
      record.to, record.outcome, freeze, record.reason);
  ring_.push_back(std::move(record));
  if (ring_.size() > kMostKept) ring_.pop_front();
  news_.cancel();
}

Json History::after(u64 seq, size_t most) const {
  const auto first = std::ranges::upper_bound(ring_, seq, {}, &MoveRecord::seq);
  const auto count = static_cast<size_t>(ring_.end() - first);
  Json list = Json::array();
  for (auto it = first + static_cast<std::ptrdiff_t>(count - std::min(count, most)); it != ring_.end(); ++it)
    list.push_back(to_json(*it));
  return list;
}

awaitable<void> History::wait(u64 seq, milliseconds limit) {
  const i64 give_up_ms = now_ms() + limit.count();
  while (last_ <= seq && now_ms() < give_up_ms) {
    // One timer for all who wait: each looks again when it ends, for whatever reason.
    if (news_.expiry() <= std::chrono::steady_clock::now()) news_.expires_after(limit);
    co_await news_.async_wait(kCompletion);
  }
}

const MoveRecord* History::last_of(i32 pid, const std::string& home) const {
  for (const MoveRecord& r : ring_ | std::views::reverse)
    if (r.pid == pid && r.home == home) return &r;
  return nullptr;
}

namespace {

Json log_answer(const History& history, const Json& request, const std::string& node) {
  const size_t most = field<u32>(request, "n", kMostKept);
  return {{"ok", true},
          {"node", node},
          {"last", history.last()},
          {"moves", history.after(field<u64>(request, "after", 0), most)}};
}

}  // namespace

awaitable<Json> answer_log(History& history, Json request, std::string node) {
  if (field(request, "wait", false)) co_await history.wait(field<u64>(request, "after", 0), kLongestWait);
  co_return log_answer(history, request, node);
}

}  // namespace omig
