// SPDX-License-Identifier: Apache-2.0
// What the scheduler has done by itself, and tried: a bounded ring that `omctl log` shows and homed.log repeats.
#pragma once

#include <deque>
#include <string>

#include "homed/stream.h"

namespace omig {

struct MoveRecord {
  u64 seq = 0;                          // ascending, never reused while this homed lives
  i64 at_ms = 0;                        // since 1970
  i32 pid = 0;                          // at home
  std::string home, command, from, to;  // names of nodes
  std::string cause;                    // "push", "start", "usher", "home"
  std::string reason;                   // the numbers it rests on
  bool ok = false;
  std::string outcome;    // "moved", or why not
  double freeze_ms = -1;  // -1: not known
  u32 times = 1;          // how often the very same try failed in a row
};

Json to_json(const MoveRecord& record);

class History {
 public:
  explicit History(asio::io_context& io) : news_(io) {}

  // Numbers and dates it and writes it to the log; a try that fails as the last one of that process did only counts.
  void add(MoveRecord record);
  // The newest `most` of those after `seq`, oldest first.
  Json after(u64 seq, size_t most) const;
  u64 last() const { return last_; }
  // Returns when there is something after `seq`, or the time is over.
  awaitable<void> wait(u64 seq, milliseconds limit);
  const MoveRecord* last_of(i32 pid, const std::string& home) const;

 private:
  std::deque<MoveRecord> ring_;
  u64 last_ = 0;
  asio::steady_timer news_;
};

// {"op":"log","n":N,"after":SEQ,"wait":BOOL}: `wait` holds the answer until there is something new, for a while.
awaitable<Json> answer_log(History& history, Json request, std::string node);

}  // namespace omig
