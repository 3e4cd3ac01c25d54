// SPDX-License-Identifier: Apache-2.0
#include "lib/cluster/doors.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "lib/base/fields.h"

namespace omig::cluster {

namespace {

constexpr i64 kTellOfGone_ms = 60'000;

template <class A, class B>
bool newer(const A& a, const B& b) {
  return std::tie(a.incarnation, a.seq) > std::tie(b.incarnation, b.seq);
}

}  // namespace

// The directory as it would be, had they never been heard of.
template <class Out>
void Doors::put_out(Out out, i64 now_ms) {
  Window kept;
  for (const auto& [id, seen] : window_.all()) {
    if (out(seen.entry)) continue;
    kept.merge(seen.entry, now_ms - seen.produced_ms, now_ms);
    if (seen.suspected) kept.suspect(id);
  }
  window_ = std::move(kept);
}

const Seen* Doors::at(const Endpoint& endpoint) const {
  for (const auto& [id, seen] : window_.all())
    if (seen.entry.endpoint == endpoint) return &seen;
  return nullptr;
}

void Doors::keep(Membership membership, i64 now_ms) {
  membership_ = std::move(membership);
  put_out([&](const NodeEntry& entry) { return entry.id == membership_.id || !admits(entry); }, now_ms);
}

void Doors::revoke(std::set<std::string> identities, i64 now_ms) {
  revoked_ = std::move(identities);
  put_out([&](const NodeEntry& entry) { return !admits(entry); }, now_ms);
}

bool Doors::take(const nlohmann::json& message, i64 now_ms) {
  bool news = false;
  if (const auto it = message.find("entry"); it != message.end()) news = take_entry(*it, 0, now_ms);
  const auto window = message.find("window");
  if (window == message.end() || !window->is_array()) return news;
  for (const auto& item : *window) {
    const i64 age_ms = item.is_object() ? field<i64>(item, "age_ms", -1) : -1;
    if (age_ms >= 0 && age_ms <= kForgetAfter_ms) news = take_entry(item, age_ms, now_ms) || news;
  }
  return news;
}

bool Doors::take_entry(const nlohmann::json& item, i64 age_ms, i64 now_ms) {
  const auto entry = entry_from_json(item);
  if (!entry || entry->id == membership_.id || !admits(*entry)) return false;
  if (field(item, "left", false)) return take_farewell(*entry, age_ms, now_ms);
  const auto gone = gone_.find(entry->endpoint);
  if (gone != gone_.end()) {
    if (!newer(*entry, gone->second)) return false;
    gone_.erase(gone);
  }
  // At an address there is one daemon: its number has changed, or this is what it was before.
  if (const Seen* known = at(entry->endpoint); known != nullptr && known->entry.id != entry->id) {
    if (newer(known->entry, *entry)) return false;
    put_out([&](const NodeEntry& each) { return each.endpoint == entry->endpoint; }, now_ms);
  }
  return window_.merge(*entry, age_ms, now_ms);
}

bool Doors::take_farewell(const NodeEntry& entry, i64 age_ms, i64 now_ms) {
  const auto before = gone_.find(entry.endpoint);
  if (before == gone_.end() ? gone_.size() >= kMaxWindow : !newer(entry, before->second)) return false;
  if (const Seen* known = at(entry.endpoint); known != nullptr && newer(known->entry, entry)) return false;
  put_out([&](const NodeEntry& each) { return each.endpoint == entry.endpoint; }, now_ms);
  gone_[entry.endpoint] = {entry.incarnation, entry.seq, entry.identity, now_ms - age_ms, to_json(entry)};
  gone_[entry.endpoint].entry["left"] = true;
  return true;
}

u64 Doors::later_than(const NodeEntry& word) const {
  u64 later = 0;
  const auto remember = [&](const auto& news) {
    if (news.identity == word.identity && news.incarnation > word.incarnation)
      later = std::max(later, news.incarnation);
  };
  if (const Seen* known = window_.find(word.id)) remember(known->entry);
  if (const Seen* known = at(word.endpoint)) remember(known->entry);
  if (const auto gone = gone_.find(word.endpoint); gone != gone_.end()) remember(gone->second);
  return later;
}

nlohmann::json Doors::tell(i64 now_ms, size_t most) {
  std::erase_if(gone_, [&](const auto& each) { return now_ms - each.second.produced_ms > kForgetAfter_ms; });
  nlohmann::json list = window_.to_json(now_ms, most);
  size_t told = 0;
  for (const auto& [endpoint, gone] : gone_) {
    const i64 age_ms = now_ms - gone.produced_ms;
    if (age_ms > kTellOfGone_ms || ++told > most) continue;
    list.push_back(gone.entry);
    list.back()["age_ms"] = age_ms;
  }
  return list;
}

}  // namespace omig::cluster
