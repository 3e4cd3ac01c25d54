// SPDX-License-Identifier: Apache-2.0
// How politely a thread asks for CPU time: nice value and policy, which both belong to a thread (sched(7)). A guest is
// scheduled as its deputy is: what was started with nice, renice or chrt at home disturbs the owner of the node it
// visits as little as it would at home. Hosted code only.
#pragma once

#include <sched.h>
#include <sys/resource.h>
#include <sys/types.h>

#include <algorithm>

namespace omig {

struct Scheduling {
  int nice = 0;
  int policy = SCHED_OTHER;
  bool operator==(const Scheduling&) const = default;
};

// Of a thread that is gone: an ordinary one's.
inline Scheduling scheduling_of(pid_t tid) {
  Scheduling s;
  s.nice = getpriority(PRIO_PROCESS, static_cast<id_t>(tid));
  s.policy = std::max(sched_getscheduler(tid) & ~SCHED_RESET_ON_FORK, SCHED_OTHER);
  return s;
}

// Never better than the caller itself is scheduled: a visitor has no priority over the owner's programs. A real-time
// policy is an ordinary one here (whoever asks for one while away comes home). What the kernel refuses stays as it is.
inline void schedule_as(pid_t tid, const Scheduling& s) {
  constexpr sched_param kNone{};
  const int policy = s.policy == SCHED_BATCH || s.policy == SCHED_IDLE ? s.policy : SCHED_OTHER;
  const int nice = std::max(s.nice, getpriority(PRIO_PROCESS, 0));
  if (policy != scheduling_of(tid).policy) sched_setscheduler(tid, policy, &kNone);
  setpriority(PRIO_PROCESS, static_cast<id_t>(tid), nice);
}

}  // namespace omig
