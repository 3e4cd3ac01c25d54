// SPDX-License-Identifier: Apache-2.0
#include "homed/emptying.h"

#include <algorithm>

#include "homed/moves.h"
#include "homed/settings.h"

namespace omig {

awaitable<bool> Listener::tell(Json progress) {
  if (!wants_ || progress == told_) co_return true;
  told_ = progress;
  co_return co_await net::write_all(socket_, progress.dump() + "\n", kPeerTimeout);
}

namespace {

constexpr size_t kAtOnce = 8;
constexpr int kTries = 20;          // at one that is busy, kAgain apart
constexpr int kTriesIfRefused = 3;  // else: what it has left by an exec meanwhile is not its home yet
constexpr milliseconds kAgain{250};
constexpr milliseconds kLook{20};

struct Emptying {
  Emptied what;
  std::vector<VisitorKey> waiting;
  std::map<VisitorKey, std::string> failed;
  size_t moved = 0, working = 0;
};

// One that is on its way here was agreed to before: it is let in, and out again. So is an own one that is just leaving.
bool somebody_is_under_way(Daemon& d, Emptied what) {
  if (what == Emptied::guests) return d.visitors.arriving();
  return std::ranges::any_of(d.moving, [&](const auto& each) { return each.first.home == d.config.name; });
}

std::vector<VisitorKey> to_move(Daemon& d, const Emptying& all) {
  std::vector<VisitorKey> keys;
  const auto add = [&](const VisitorKey& key) {
    if (!all.failed.contains(key)) keys.push_back(key);
  };
  if (all.what == Emptied::own) {
    for (const auto& [pid, p] : d.processes.all())
      if (p.where != Where::home) add({d.config.name, pid});
  } else {
    for (const auto& [key, v] : d.visitors.all()) add(key);
  }
  return keys;
}

bool is_there(Daemon& d, Emptied what, const VisitorKey& key) {
  if (what == Emptied::guests) return d.visitors.all().contains(key);
  const Process* p = d.processes.look_at(key.pid, now_ms());
  return p != nullptr && p->where != Where::home;
}

awaitable<void> work(Daemon& d, Moves& moves, std::shared_ptr<Emptying> all) {
  asio::steady_timer timer(d.io);
  while (!all->waiting.empty()) {
    const VisitorKey key = all->waiting.back();
    all->waiting.pop_back();
    MoveResult result;
    for (int tries = 0; tries < kTries; ++tries) {
      if (tries > 0) co_await net::pause(timer, kAgain);
      result = co_await moves.send_home(key);
      if (result.ok || !is_there(d, all->what, key) || (!result.busy() && tries + 1 >= kTriesIfRefused)) break;
    }
    if (result.ok)
      ++all->moved;
    else if (is_there(d, all->what, key))
      all->failed[key] = result.reason;
  }
  --all->working;
}

Json progress_of(const Emptying& all) {
  return {{"progress", {{"moved", all.moved}, {"left", all.waiting.size() + all.working}}}};
}

Json result_of(const Emptying& all) {
  Json failed = Json::array();
  for (const auto& [key, reason] : all.failed)
    failed.push_back({{"pid", key.pid}, {"home", key.home}, {"reason", reason}});
  Json answer = {{"ok", all.failed.empty()}, {"moved", all.moved}, {"failed", failed}};
  if (!all.failed.empty()) {
    const auto& [key, reason] = *all.failed.begin();
    answer["reason"] = fmt::format("{} of {} could not be moved; process {} of {}: {}", all.failed.size(),
                                   all.failed.size() + all.moved, key.pid, key.home, reason);
  }
  return answer;
}

}  // namespace

awaitable<Json> empty(Daemon& d, Moves& moves, Listener& listener, Emptied what) {
  const auto all = std::make_shared<Emptying>();
  all->what = what;
  asio::steady_timer timer(d.io);
  for (;;) {
    if (what == Emptied::guests) co_await d.visitors.refresh();
    all->waiting = to_move(d, *all);
    if (all->waiting.empty() && !somebody_is_under_way(d, what)) break;
    while (all->working < std::min(kAtOnce, all->waiting.size())) {
      ++all->working;
      spawn(d, what == Emptied::own ? "bringing" : "expelling", work(d, moves, all));
    }
    do {
      co_await net::pause(timer, kLook);
      if (!co_await listener.tell(progress_of(*all))) co_return refusal("nobody listens");
    } while (all->working > 0);
  }
  log("{}: {} moved, {} could not be", what == Emptied::own ? "bring" : "expel", all->moved, all->failed.size());
  co_return result_of(*all);
}

Json close_door(Daemon& d, Emptied what, uid_t asker) {
  const bool own = what == Emptied::own;
  if (!may_administer(asker)) return not_an_administrator(own ? "bring" : "expel");
  Settings wanted = d.settings;
  (own ? wanted.lstay : wanted.block) = true;
  if (const std::string wrong = keep_settings(d, wanted); !wrong.empty()) return refusal(wrong);
  return {{"ok", true}};
}

}  // namespace omig
