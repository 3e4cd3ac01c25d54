// SPDX-License-Identifier: Apache-2.0
// What may be used once, and soon: tickets for a connection that brings a process (lib/link/conversation.h), and
// invitations to the cluster. Bounded: of too many the oldest are forgotten.
#pragma once

#include <algorithm>
#include <list>
#include <optional>

#include "homed/stream.h"

namespace omig {

template <class Name, class What>
class OneTime {
 public:
  explicit OneTime(size_t most) : most_(most) {}

  void give(const Name& name, What what, i64 until_ms, u32 uses = 1) {
    given_.push_back({name, std::move(what), until_ms, uses});
    if (given_.size() > most_) given_.pop_front();
  }

  // Nothing: it was never given, was used, or has expired.
  std::optional<What> use(const Name& name, i64 now_ms) {
    given_.remove_if([&](const Given& each) { return each.until_ms <= now_ms; });
    const auto found = std::ranges::find(given_, name, &Given::name);
    if (found == given_.end()) return std::nullopt;
    What what = found->what;
    if (--found->uses == 0) given_.erase(found);
    return what;
  }

 private:
  struct Given {
    Name name;
    What what;
    i64 until_ms;
    u32 uses;
  };
  size_t most_;
  std::list<Given> given_;
};

}  // namespace omig
