// SPDX-License-Identifier: Apache-2.0
// Rows written as code: files, names, and waiting for descriptors.
#include <asm/unistd.h>
#include <errno.h>
#include <fcntl.h>

#include <algorithm>

#include "lib/syscalls/plan.h"

namespace omig::syscalls {
namespace {

constexpr u32 kMaxDescriptors = 1 << 20;  // fs.nr_open's default: a process has no more
constexpr u32 kFlockBytes = 32;
constexpr u32 kHandleHeaderBytes = 8;
constexpr u32 kMaxHandleBytes = 128;  // MAX_HANDLE_SZ
// Commands newer than the system's headers.
constexpr int kDupfdQuery = 1027, kCreatedQuery = 1028, kCancelLock = 1029;
constexpr u32 kHandleMountIdUnique = 1;  // AT_HANDLE_MNT_ID_UNIQUE: the mount id has 8 bytes

// fcntl(fd, command, argument)
Gathered gather_fcntl(Plan& plan) {
  const Slot slot = argument(2);
  const u64 value = plan.arg(2);
  const auto command = static_cast<int>(plan.arg(1));
  plan.set_restart(command == F_SETLKW || command == F_OFD_SETLKW ? Restart::restartable : Restart::never);
  switch (command) {
    case F_DUPFD:
    case F_GETFD:
    case F_SETFD:
    case F_GETFL:
    case F_SETFL:
    case F_SETOWN:
    case F_GETOWN:
    case F_SETSIG:
    case F_GETSIG:
    case F_SETLEASE:
    case F_GETLEASE:
    case F_NOTIFY:
    case F_DUPFD_CLOEXEC:
    case F_SETPIPE_SZ:
    case F_GETPIPE_SZ:
    case F_ADD_SEALS:
    case F_GET_SEALS:
    case kDupfdQuery:
    case kCreatedQuery:
    case kCancelLock: break;
    case F_GETLK:
    case F_OFD_GETLK: plan.in_out(slot, value, kFlockBytes); break;
    case F_SETLK:
    case F_SETLKW:
    case F_OFD_SETLK:
    case F_OFD_SETLKW: plan.input(slot, value, kFlockBytes); break;
    case F_GETOWN_EX: plan.out(slot, value, 8); break;
    case F_SETOWN_EX: plan.input(slot, value, 8); break;
    case 17 /* F_GETOWNER_UIDS */: plan.out(slot, value, 8); break;
    case F_GET_RW_HINT:
    case F_GET_FILE_RW_HINT: plan.out(slot, value, 8); break;
    case F_SET_RW_HINT:
    case F_SET_FILE_RW_HINT: plan.input(slot, value, 8); break;
    default: return Gathered::come_home;
  }
  return Gathered::ready;
}

// poll and ppoll. The kernel writes only `revents`, and another thread may change the rest meanwhile.
void gather_pollfds(Plan& plan) {
  constexpr u32 kEntry = 8, kRevents = 6;
  const u64 pointer = plan.arg(0);
  const auto count = static_cast<u32>(plan.arg(1));
  if (count > kMaxDescriptors) {
    if (!plan.passed(argument(0), pointer, 1)) plan.set_arg(0, kUnmapped);  // refused by its count
    return;
  }
  Ref at;
  if (count == 0 || !plan.fetch(argument(0), pointer, u64{count} * kEntry, &at)) {
    if (count == 0) plan.input(argument(0), pointer, 0);
    return;
  }
  const u32 out = plan.add_out(at, u64{count} * kEntry);
  for (u32 i = 0; i < count; ++i) {
    plan.add_piece(out, u64{i} * kEntry + kRevents, pointer + u64{i} * kEntry + kRevents, 2);
  }
}

// The temporary signal mask is the host's to apply: home waits without one. Judged here as the kernel would.
Gathered gather_mask(Plan& plan, u32 index, u64 pointer, u64 bytes) {
  u64 mask;
  plan.set_arg(index, 0);
  if (pointer == 0) return Gathered::ready;
  if (bytes != sizeof(mask)) return plan.fail(-EINVAL);
  return plan.memory().read(GuestAddr{pointer}, &mask, sizeof(mask)) ? Gathered::ready : plan.fail(-EFAULT);
}

// The time left is written also when a signal ended the call: a restart goes on with it. Where it cannot be written the
// call has succeeded all the same (poll_select_finish).
void gather_time_left(Plan& plan, u32 index) {
  constexpr u64 kTimeBytes = 16;
  const u64 pointer = plan.arg(index);
  Ref at;
  if (!plan.input(argument(index), pointer, kTimeBytes, &at)) return;
  plan.output(at, pointer, kTimeBytes, 0, true);
  plan.last_piece_is_optional();
}

// select's five arguments. The kernel looks at no more of the sets than the process has descriptors, so sets that are
// shorter than `n` promises are legal: the unreadable rest counts as empty.
void gather_sets(Plan& plan) {
  auto n = static_cast<i32>(plan.arg(0));
  if (n > static_cast<i32>(kMaxDescriptors)) {
    n = kMaxDescriptors;
    plan.set_arg(0, kMaxDescriptors);
  }
  const u64 bytes = n < 0 ? 0 : (static_cast<u64>(n) + 63) / 64 * 8;
  for (u32 i = 1; i <= 3; ++i) {
    const u64 pointer = plan.arg(i);
    Ref at;
    if (bytes == 0) {
      plan.input(argument(i), pointer, 0);
      continue;
    }
    const u64 readable = plan.fetch_prefix(argument(i), pointer, bytes, &at);
    if (readable != 0) plan.add_piece(plan.add_out(at, bytes), 0, pointer, readable);
  }
  gather_time_left(plan, 4);
}

Gathered gather_pselect(Plan& plan) {
  struct {
    u64 mask, bytes;
  } pack{};
  const u64 pointer = plan.arg(5);
  if (pointer != 0 && !plan.memory().read(GuestAddr{pointer}, &pack, sizeof(pack))) return plan.fail(-EFAULT);
  gather_sets(plan);
  return gather_mask(plan, 5, pack.mask, pack.bytes);
}

Gathered gather_ppoll(Plan& plan) {
  gather_pollfds(plan);
  gather_time_left(plan, 2);
  return gather_mask(plan, 3, plan.arg(3), plan.arg(4));
}

// epoll_pwait and epoll_pwait2.
Gathered gather_epoll(Plan& plan, bool has_timespec) {
  constexpr u32 kEvent = 12;
  constexpr i32 kMost = static_cast<i32>(kMaxTransfer / kEvent);
  const auto count = std::min(static_cast<i32>(plan.arg(2)), kMost);
  if (count > 0) {
    plan.set_arg(2, static_cast<u64>(count));
    plan.out(argument(1), plan.arg(1), static_cast<u64>(count) * kEvent, kEvent);
  } else {
    plan.input(argument(1), plan.arg(1), 0);
  }
  if (has_timespec) plan.input(argument(3), plan.arg(3), 16);
  return gather_mask(plan, 4, plan.arg(4), plan.arg(5));
}

// struct file_handle { u32 bytes; i32 type; u8 handle[bytes]; } at argument `index`.
void gather_handle(Plan& plan, u32 index, bool written) {
  const u64 pointer = plan.arg(index);
  u32 bytes = 0;
  if (plan.passed(argument(index), pointer, kHandleHeaderBytes)) return;
  if (!plan.memory().read(GuestAddr{pointer}, &bytes, sizeof(bytes))) {
    plan.set_arg(index, kUnmapped);
    return;
  }
  const u64 all = kHandleHeaderBytes + (bytes > kMaxHandleBytes ? 0 : bytes);
  Ref at;
  const u64 readable = plan.fetch_prefix(argument(index), pointer, all, &at);
  if (readable == 0) return;
  plan.put(at, bytes);
  // The size needed is written also when it fails with EOVERFLOW.
  if (written) plan.add_piece(plan.add_out(at, all, 0, true), 0, pointer, readable);
}

Gathered gather_name_to_handle(Plan& plan) {
  plan.string(argument(1), plan.arg(1), 4096);
  gather_handle(plan, 2, true);
  plan.in_out(argument(3), plan.arg(3), (plan.arg(4) & kHandleMountIdUnique) != 0 ? 8 : 4, true);
  return Gathered::ready;
}

// setxattrat and getxattrat: struct xattr_args { u64 value; u32 bytes; u32 flags; }, and its size in argument 5.
Gathered gather_xattr_args(Plan& plan, bool is_output) {
  constexpr u32 kArgsBytes = 16, kMost = 65536;
  plan.string(argument(1), plan.arg(1), 4096);
  plan.string(argument(3), plan.arg(3), 256);
  const u64 pointer = plan.arg(4);
  const u64 size = plan.arg(5);
  Ref at;
  if (size < kArgsBytes || size > kPageSize) {
    if (!plan.passed(argument(4), pointer, 1)) plan.set_arg(4, kUnmapped);  // refused by its size
  } else if (plan.fetch(argument(4), pointer, size, &at)) {
    const u64 value = plan.get<u64>(at);
    const u32 bytes = plan.get<u32>(at + 8);
    if (is_output) {
      plan.out(word(at), value, std::min(bytes, kMost), 1);
    } else if (bytes <= kMost) {
      plan.input(word(at), value, bytes);
    } else if (!plan.passed(word(at), value, 1)) {
      plan.set_word(word(at), kUnmapped);
    }
  }
  return Gathered::ready;
}

// statmount and listmount: struct mnt_id_req, which begins with its size.
bool gather_mount_request(Plan& plan) {
  const u64 pointer = plan.arg(0);
  u32 bytes = 0;
  if (plan.passed(argument(0), pointer, 4)) return true;
  if (!plan.memory().read(GuestAddr{pointer}, &bytes, sizeof(bytes))) {
    plan.set_arg(0, kUnmapped);
    return true;
  }
  if (bytes > kPageSize) return false;
  Ref at;
  if (plan.fetch_prefix(argument(0), pointer, std::max(bytes, 4u), &at) != 0) plan.put(at, bytes);
  return true;
}

Gathered gather_statmount(Plan& plan) {
  if (!gather_mount_request(plan)) return Gathered::come_home;
  const u64 pointer = plan.arg(1);
  const u64 bytes = plan.arg(2);
  if (bytes > kMaxTransfer) return Gathered::come_home;
  Ref at;
  // struct statmount begins with how much of it was written.
  if (plan.room(argument(1), pointer, bytes, &at))
    plan.output(at, pointer, bytes, 0, false, bytes >= 4 ? at : Ref{kNoLength});
  return Gathered::ready;
}

Gathered gather_listmount(Plan& plan) {
  if (!gather_mount_request(plan)) return Gathered::come_home;
  const u64 count = plan.arg(2);
  if (count > kMaxTransfer / 8) return Gathered::come_home;
  plan.out(argument(1), plan.arg(1), count * 8, 8);
  return Gathered::ready;
}

}  // namespace

Gathered gather_files(u32 nr, Plan& plan) {
  switch (nr) {
    case __NR_ioctl: return gather_ioctl(plan.arg(1), plan) ? Gathered::ready : Gathered::come_home;
    case __NR_fcntl: return gather_fcntl(plan);
    case __NR_poll: gather_pollfds(plan); return Gathered::ready;
    case __NR_ppoll: return gather_ppoll(plan);
    case __NR_select: gather_sets(plan); return Gathered::ready;
    case __NR_pselect6: return gather_pselect(plan);
    case __NR_epoll_pwait: return gather_epoll(plan, false);
    case __NR_epoll_pwait2: return gather_epoll(plan, true);
    case __NR_name_to_handle_at: return gather_name_to_handle(plan);
    case __NR_open_by_handle_at: gather_handle(plan, 1, false); return Gathered::ready;
    case 457 /* statmount */: return gather_statmount(plan);
    case 458 /* listmount */: return gather_listmount(plan);
    case 463 /* setxattrat */: return gather_xattr_args(plan, false);
    case 464 /* getxattrat */: return gather_xattr_args(plan, true);
    default: return Gathered::come_home;
  }
}

}  // namespace omig::syscalls
