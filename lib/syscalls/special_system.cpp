// SPDX-License-Identifier: Apache-2.0
// Rows written as code: processes, credentials, timers and System V objects.
#include <asm/unistd.h>
#include <errno.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <linux/mempolicy.h>
#include <sched.h>
#include <signal.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/sem.h>
#include <sys/time.h>
#include <time.h>

#include <algorithm>

#include "lib/syscalls/plan.h"

namespace omig::syscalls {
namespace {

constexpr u32 kSigeventBytes = 64;
constexpr u32 kRusageBytes = 144;
constexpr u32 kWaitidInfoBytes = 28;  // of siginfo, waitid writes no more
constexpr u32 kMaxMessageBytes = 1 << 24;
constexpr u32 kMaxSemaphores = 32000;  // SEMMSL

// `bytes` of a structure that may be shorter in the guest, both ways.
void gather_soft(Plan& plan, u32 index, u64 bytes, bool always = false) {
  const u64 pointer = plan.arg(index);
  Ref at;
  const u64 readable = plan.fetch_prefix(argument(index), pointer, bytes, &at);
  if (readable != 0) plan.add_piece(plan.add_out(at, bytes, 0, always), 0, pointer, readable);
}

// waitid(type, id, info, options, rusage): `info` is written also when there was no child, and on errors.
Gathered gather_waitid(Plan& plan) {
  plan.in_out(argument(2), plan.arg(2), kWaitidInfoBytes, true);
  plan.in_out(argument(4), plan.arg(4), kRusageBytes);
  return Gathered::ready;
}

bool is_real_time(u32 policy) {
  constexpr u32 kDeadline = 6;
  policy &= ~static_cast<u32>(SCHED_RESET_ON_FORK);
  return policy == SCHED_FIFO || policy == SCHED_RR || policy == kDeadline;
}

// A policy or priority of real time binds the process to its own node's scheduler.
Gathered gather_sched_param(Plan& plan, u32 index) {
  Ref at;
  if (!plan.fetch(argument(index), plan.arg(index), 4, &at)) return Gathered::ready;
  return plan.get<i32>(at) > 0 ? Gathered::come_home : Gathered::ready;
}

Gathered gather_sched_setscheduler(Plan& plan) {
  if (is_real_time(static_cast<u32>(plan.arg(1)))) return Gathered::come_home;
  plan.input(argument(2), plan.arg(2), 4);
  return Gathered::ready;
}

Gathered gather_sched_setattr(Plan& plan) {
  constexpr u32 kFirstSize = 48;  // SCHED_ATTR_SIZE_VER0, what a size of 0 means
  const u64 pointer = plan.arg(1);
  struct {
    u32 size, policy;
  } head{};
  if (plan.passed(argument(1), pointer, sizeof(head))) return Gathered::ready;
  if (!plan.memory().read(GuestAddr{pointer}, &head, sizeof(head))) {
    plan.set_arg(1, kUnmapped);
    return Gathered::ready;
  }
  if (is_real_time(head.policy)) return Gathered::come_home;
  const u32 bytes = head.size == 0 ? kFirstSize : std::clamp<u32>(head.size, sizeof(head), kPageSize);
  Ref at;
  const u64 readable = plan.fetch_prefix(argument(1), pointer, bytes, &at);
  if (readable == 0) return Gathered::ready;
  __builtin_memcpy(plan.staged(at), &head, sizeof(head));
  // The size the kernel knows is written back when it refuses a larger one.
  plan.add_piece(plan.add_out(at, 4, 0, true), 0, pointer, 4);
  return Gathered::ready;
}

// The kernel reads no more of the mask than it has processors for, however long it is said to be.
Gathered gather_setaffinity(Plan& plan) {
  const u64 bytes = std::min<u64>(static_cast<u32>(plan.arg(1)), kPageSize);
  Ref at;
  plan.fetch_prefix(argument(2), plan.arg(2), bytes, &at);
  return Gathered::ready;
}

// timer_create(clock, event, id)
Gathered gather_timer_create(Plan& plan) {
  const auto clock = static_cast<clockid_t>(plan.arg(0));
  // Negative numbers are clocks of CPU time (or of a descriptor: rare enough to go home as well).
  if (clock < 0 || clock == CLOCK_PROCESS_CPUTIME_ID || clock == CLOCK_THREAD_CPUTIME_ID) return Gathered::come_home;
  Ref at;
  if (plan.fetch(argument(1), plan.arg(1), kSigeventBytes, &at)) {
    const auto notify = plan.get<i32>(at + 12);
    if (notify != SIGEV_SIGNAL && notify != SIGEV_NONE) return Gathered::come_home;
  }
  plan.in_out(argument(2), plan.arg(2), 4);
  return Gathered::ready;
}

Gathered gather_itimer(Plan& plan, bool sets) {
  if (static_cast<i32>(plan.arg(0)) != ITIMER_REAL) return Gathered::come_home;
  if (sets) {
    plan.input(argument(1), plan.arg(1), 32);
    plan.out(argument(2), plan.arg(2), 32);
  } else {
    plan.out(argument(1), plan.arg(1), 32);
  }
  return Gathered::ready;
}

Gathered gather_mq_notify(Plan& plan) {
  Ref at;
  if (!plan.fetch(argument(1), plan.arg(1), kSigeventBytes, &at)) return Gathered::ready;
  return plan.get<i32>(at + 12) == SIGEV_THREAD ? Gathered::come_home : Gathered::ready;
}

// A version the kernel does not know is answered with its own, in the header.
Gathered gather_capabilities(Plan& plan, bool sets) {
  u32 version = 0;
  const u64 header = plan.arg(0);
  if (plan.passed(argument(0), header, 8)) return Gathered::ready;
  if (!plan.memory().read(GuestAddr{header}, &version, sizeof(version))) {
    plan.set_arg(0, kUnmapped);
    return Gathered::ready;
  }
  Ref at;
  if (plan.fetch(argument(0), header, 8, &at)) {
    plan.put(at, version);
    plan.output(at, header, 8, 0, true);
  }
  const u32 bytes = 12 * (version == _LINUX_CAPABILITY_VERSION_1 ? 1 : 2);
  if (sets) {
    plan.input(argument(1), plan.arg(1), bytes);
  } else {
    gather_soft(plan, 1, bytes);
  }
  return Gathered::ready;
}

Gathered gather_semctl(Plan& plan) {
  const Slot slot = argument(3);
  const u64 value = plan.arg(3);
  Ref at;
  switch (static_cast<int>(plan.arg(2))) {
    case IPC_RMID:
    case GETPID:
    case GETVAL:
    case GETNCNT:
    case GETZCNT:
    case SETVAL: break;
    case IPC_STAT:
    case SEM_STAT:
    case SEM_STAT_ANY: plan.out(slot, value, sizeof(semid_ds)); break;
    case IPC_SET: plan.input(slot, value, sizeof(semid_ds)); break;
    case IPC_INFO:
    case SEM_INFO: plan.out(slot, value, sizeof(seminfo)); break;
    // How many there are is known at home only: the most is sent, what home's kernel changes comes back.
    case GETALL: gather_soft(plan, 3, kMaxSemaphores * 2); break;
    case SETALL: plan.fetch_prefix(slot, value, kMaxSemaphores * 2, &at); break;
    default: return Gathered::come_home;
  }
  return Gathered::ready;
}

Gathered gather_msgctl(Plan& plan) {
  const Slot slot = argument(2);
  const u64 value = plan.arg(2);
  switch (static_cast<int>(plan.arg(1))) {
    case IPC_RMID: break;
    case IPC_STAT:
    case MSG_STAT:
    case MSG_STAT_ANY: plan.out(slot, value, sizeof(msqid_ds)); break;
    case IPC_SET: plan.input(slot, value, sizeof(msqid_ds)); break;
    case IPC_INFO:
    case MSG_INFO: plan.out(slot, value, sizeof(msginfo)); break;
    default: return Gathered::come_home;
  }
  return Gathered::ready;
}

// A message is a long (its type) and then its text, whose size alone is counted.
Gathered gather_msgsnd(Plan& plan) {
  const u64 bytes = plan.arg(2);
  // Far more than kernel.msgmax is refused by its size, after a look at the type.
  plan.input(argument(1), plan.arg(1), bytes > kMaxMessageBytes ? 8 : 8 + bytes);
  return Gathered::ready;
}

Gathered gather_msgrcv(Plan& plan) {
  const u64 pointer = plan.arg(1);
  u64 bytes = plan.arg(2);
  if (bytes > kMaxMessageBytes && static_cast<i64>(bytes) > 0) {
    bytes = kMaxMessageBytes;
    plan.set_arg(2, bytes);
  }
  if (static_cast<i64>(bytes) < 0) bytes = 0;
  Ref at;
  if (plan.room(argument(1), pointer, 8 + bytes, &at)) {
    plan.output(at, pointer, 8);
    plan.output(at + 8, pointer + 8, bytes, 1);
  }
  return Gathered::ready;
}

Gathered gather_syslog(Plan& plan) {
  const auto action = static_cast<int>(plan.arg(0));
  const auto bytes = static_cast<i32>(plan.arg(2));
  if (action < 2 || action > 4 || bytes < 0) {
    if (!plan.passed(argument(1), plan.arg(1), 1)) plan.set_arg(1, kUnmapped);
    return Gathered::ready;
  }
  plan.out(argument(1), plan.arg(1), static_cast<u32>(bytes), 1);
  return Gathered::ready;
}

Gathered gather_keyctl(Plan& plan) {
  constexpr u32 kMost = 1 << 20;
  auto soft_by = [&plan](u32 index, u32 length_index) {
    gather_soft(plan, index, std::min<u64>(plan.arg(length_index), kMost));
  };
  switch (static_cast<int>(plan.arg(0))) {
    case KEYCTL_GET_KEYRING_ID:
    case KEYCTL_REVOKE:
    case KEYCTL_CHOWN:
    case KEYCTL_SETPERM:
    case KEYCTL_CLEAR:
    case KEYCTL_LINK:
    case KEYCTL_UNLINK:
    case KEYCTL_NEGATE:
    case KEYCTL_SET_REQKEY_KEYRING:
    case KEYCTL_SET_TIMEOUT:
    case KEYCTL_ASSUME_AUTHORITY:
    case KEYCTL_SESSION_TO_PARENT:
    case KEYCTL_REJECT:
    case KEYCTL_INVALIDATE:
    case KEYCTL_GET_PERSISTENT:
    case 30 /* KEYCTL_MOVE */: break;
    case KEYCTL_JOIN_SESSION_KEYRING: plan.string(argument(1), plan.arg(1), 4096); break;
    case KEYCTL_UPDATE:
    case KEYCTL_INSTANTIATE:
      if (plan.arg(3) > kMost) return Gathered::come_home;
      plan.input(argument(2), plan.arg(2), plan.arg(3));
      break;
    case KEYCTL_SEARCH:
      plan.string(argument(2), plan.arg(2), 32);
      plan.string(argument(3), plan.arg(3), 4096);
      break;
    // The result is the size there is, which may be more than was written.
    case KEYCTL_DESCRIBE:
    case KEYCTL_READ:
    case KEYCTL_GET_SECURITY: soft_by(2, 3); break;
    case 31 /* KEYCTL_CAPABILITIES */: soft_by(1, 2); break;
    default: return Gathered::come_home;
  }
  return Gathered::ready;
}

// get_mempolicy(mode, mask, bits, address, flags)
Gathered gather_get_mempolicy(Plan& plan) {
  if ((plan.arg(4) & MPOL_F_ADDR) != 0 || plan.arg(2) > 1 << 20) return Gathered::come_home;
  const u64 bits = plan.arg(2);
  plan.out(argument(0), plan.arg(0), 4);
  gather_soft(plan, 1, bits <= 1 ? 0 : (bits - 1 + 63) / 64 * 8);
  if (plan.arg(3) != 0) plan.set_arg(3, kUnmapped);  // without MPOL_F_ADDR any address is refused
  return Gathered::ready;
}

// lsm_get_self_attr(attr, list, bytes, flags) and lsm_list_modules(ids, bytes, flags): the u32 of `bytes` goes both
// ways, also when the kernel says E2BIG.
Gathered gather_lsm(Plan& plan, u32 list, u32 length_index) {
  constexpr u32 kMost = 1 << 16;
  const u64 pointer = plan.arg(list);
  const u64 length_pointer = plan.arg(length_index);
  Ref length;
  if (!plan.fetch(argument(length_index), length_pointer, 4, &length)) {
    if (!plan.passed(argument(list), pointer, 1)) plan.set_arg(list, kUnmapped);
    return Gathered::ready;
  }
  const u32 bytes = std::min(plan.get<u32>(length), kMost);
  plan.put(length, bytes);
  Ref at;
  const u64 readable = plan.fetch_prefix(argument(list), pointer, bytes, &at);
  if (readable != 0) plan.add_piece(plan.add_out(at, bytes), 0, pointer, readable);
  plan.add_piece(plan.add_out(length, 4, 0, true), 0, length_pointer, 4, INT64_MIN, true);
  return Gathered::ready;
}

Gathered gather_landlock_rule(Plan& plan) {
  constexpr u32 kPathBeneath = 1, kNetPort = 2;
  const auto type = static_cast<u32>(plan.arg(1));
  if (type != kPathBeneath && type != kNetPort) return Gathered::come_home;
  plan.input(argument(2), plan.arg(2), type == kPathBeneath ? 12 : 16);
  return Gathered::ready;
}

// prctl by option, for the host to take over what concerns the guest. Options about memory and the processor come home.
Gathered gather_prctl(Plan& plan) {
  constexpr u32 kNameBytes = 16;
  const Slot slot = argument(1);
  const u64 value = plan.arg(1);
  switch (static_cast<int>(plan.arg(0))) {
    case PR_SET_PDEATHSIG:
    case PR_GET_DUMPABLE:
    case PR_SET_DUMPABLE:
    case PR_GET_KEEPCAPS:
    case PR_SET_KEEPCAPS:
    case PR_GET_TIMING:
    case PR_SET_TIMING:
    case PR_CAPBSET_READ:
    case PR_CAPBSET_DROP:
    case PR_GET_SECUREBITS:
    case PR_SET_SECUREBITS:
    case PR_SET_TIMERSLACK:
    case PR_GET_TIMERSLACK:
    case PR_SET_CHILD_SUBREAPER:
    case PR_SET_NO_NEW_PRIVS:
    case PR_GET_NO_NEW_PRIVS:
    case PR_GET_THP_DISABLE:
    case PR_SET_THP_DISABLE:
    case PR_CAP_AMBIENT:
    case PR_MCE_KILL:
    case PR_MCE_KILL_GET:
    case PR_SET_PTRACER:
    case PR_GET_IO_FLUSHER:
    case PR_SET_IO_FLUSHER:
    case PR_GET_SECCOMP: break;
    case PR_GET_PDEATHSIG:
    case PR_GET_CHILD_SUBREAPER: plan.out(slot, value, 4); break;
    case PR_SET_NAME: plan.string(slot, value, kNameBytes); break;
    case PR_GET_NAME: plan.out(slot, value, kNameBytes); break;
    default: return Gathered::come_home;
  }
  return Gathered::ready;
}

}  // namespace

Gathered gather_system(u32 nr, Plan& plan) {
  switch (nr) {
    case __NR_waitid: return gather_waitid(plan);
    case __NR_personality: return static_cast<u32>(plan.arg(0)) == 0xffffffff ? Gathered::ready : Gathered::come_home;
    case __NR_sched_setparam: return gather_sched_param(plan, 1);
    case __NR_sched_setscheduler: return gather_sched_setscheduler(plan);
    case __NR_sched_setattr: return gather_sched_setattr(plan);
    case __NR_sched_setaffinity: return gather_setaffinity(plan);
    case __NR_timer_create: return gather_timer_create(plan);
    case __NR_setitimer: return gather_itimer(plan, true);
    case __NR_getitimer: return gather_itimer(plan, false);
    case __NR_mq_notify: return gather_mq_notify(plan);
    case __NR_capget: return gather_capabilities(plan, false);
    case __NR_capset: return gather_capabilities(plan, true);
    case __NR_semctl: return gather_semctl(plan);
    case __NR_msgctl: return gather_msgctl(plan);
    case __NR_msgsnd: return gather_msgsnd(plan);
    case __NR_msgrcv: return gather_msgrcv(plan);
    case __NR_syslog: return gather_syslog(plan);
    case __NR_keyctl: return gather_keyctl(plan);
    case __NR_get_mempolicy: return gather_get_mempolicy(plan);
    case __NR_landlock_add_rule: return gather_landlock_rule(plan);
    case __NR_prctl: return gather_prctl(plan);
    case 459 /* lsm_get_self_attr */: return gather_lsm(plan, 1, 2);
    case 461 /* lsm_list_modules */: return gather_lsm(plan, 0, 1);
    default: return Gathered::come_home;
  }
}

Gathered gather_special(const Row& row, Plan& plan) {
  switch (row.nr) {
    case __NR_getsockopt: return gather_get_option(plan);
    case __NR_setsockopt: return gather_set_option(plan);
    // Arrays of pointers into the guest's memory: the host sends them as an Exec frame of its own.
    case __NR_execve:
    case __NR_execveat: return Gathered::come_home;
    default: break;
  }
  const Gathered result = gather_files(row.nr, plan);
  return result == Gathered::come_home ? gather_system(row.nr, plan) : result;
}

}  // namespace omig::syscalls
