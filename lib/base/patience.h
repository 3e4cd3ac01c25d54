// SPDX-License-Identifier: Apache-2.0
// How long somebody is willing to wait for somebody else.
//
// A machine may stand still: a virtual machine is paused, a laptop sleeps, a container is starved for seconds. By the
// clock every time-out of a waiting process is over when it wakes up, although the other side had no chance to answer,
// and moves would be given up (or worse: believed to be over) for no reason. So patience is spent in slices: a wait
// costs what it took, but never more than the slice that was asked for. However long the machine stands still, that
// costs one slice.
#pragma once

#include <algorithm>
#include <chrono>

namespace omig {

class Patience {
 public:
  using Clock = std::chrono::steady_clock;

  explicit Patience(std::chrono::milliseconds whole)
      : slice_(std::clamp(whole / 8, std::chrono::milliseconds(1), kLongestSlice)), left_(whole) {}

  bool over() const { return left_ <= Clock::duration::zero(); }
  // Nobody can lengthen it, but news may make it shorter.
  void shorten(std::chrono::milliseconds to) { left_ = std::min<Clock::duration>(left_, to); }

  // Calls `wait` with at most a slice, once (and with nothing when it is over: a look). Returns what it returns.
  template <typename Wait>
  auto spend(Wait&& wait) {
    const auto slice =
        std::clamp(std::chrono::ceil<std::chrono::milliseconds>(left_), std::chrono::milliseconds(0), slice_);
    const Charge charge(left_, slice);
    return wait(slice);
  }

  // Calls `wait` slice by slice until it returns true or the patience is over.
  template <typename Wait>
  bool until(Wait&& wait) {
    for (;;) {
      if (spend(wait)) return true;
      if (over()) return false;
    }
  }

 private:
  static constexpr std::chrono::milliseconds kLongestSlice{250};

  class Charge {
   public:
    Charge(Clock::duration& account, Clock::duration most) : account_(account), most_(most) {}
    ~Charge() { account_ -= std::min(Clock::now() - since_, most_); }

   private:
    Clock::duration& account_;
    Clock::duration most_;
    Clock::time_point since_ = Clock::now();
  };

  std::chrono::milliseconds slice_;
  Clock::duration left_;
};

}  // namespace omig
