// SPDX-License-Identifier: Apache-2.0
// Socket messages: headers that point to a name, to iovecs and to control data, singly and in arrays; socket addresses
// and options.
#include <errno.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>

#include "lib/syscalls/plan.h"

namespace omig::syscalls {
namespace {

// struct msghdr and mmsghdr as the kernel sees them.
constexpr u32 kName = 0, kNameBytes = 8, kIov = 16, kIovCount = 24, kControl = 32, kControlBytes = 40, kFlags = 48;
constexpr u32 kHeaderBytes = 56;
constexpr u32 kMessageBytes = 56;  // mmsghdr.msg_len
constexpr u32 kArrayEntryBytes = 64;
static_assert(sizeof(msghdr) == kHeaderBytes && sizeof(mmsghdr) == kArrayEntryBytes);

constexpr u32 kMaxAddressBytes = 128;      // sizeof(struct sockaddr_storage)
constexpr u64 kMaxControlBytes = 1 << 20;  // far above net.core.optmem_max, the kernel's own limit
constexpr u32 kMaxMessages = 1024;         // UIO_MAXIOV: more are cut by the kernel
constexpr u64 kMaxOptionBytes = 1 << 20;

// An output whose unit is so large that any positive result covers it: the length in scratch alone decides, and the
// engine need not zero it, as it must with unit 0.
constexpr u32 kIfAny = static_cast<u32>(kMaxTransfer);

// `slot` gets a pointer that makes no difference, because the kernel refuses the size first.
void refuse_by_size(Plan& plan, Slot slot, u64 pointer) {
  if (!plan.passed(slot, pointer, 1)) plan.set_word(slot, kUnmapped);
}

// The parts of a header that is staged at `at`. Of the header itself the caller takes care.
Gathered gather_parts(Plan& plan, Ref at, const Plan::DataOut* data, u64* total) {
  const bool is_output = data != nullptr;
  const i64 min_ret = is_output ? data->min_ret : INT64_MIN;
  // recvmsg may answer 0 and still have a name (an empty datagram); recvmmsg answers how many messages there are.
  const u32 unit = is_output && data->unit == kIfAny ? kIfAny : 0;
  const u64 name = plan.get<u64>(at + kName);
  const auto name_bytes = plan.get<i32>(at + kNameBytes);
  if (name_bytes < 0) {
    refuse_by_size(plan, word(at + kName), name);
  } else {
    const u32 bytes = std::min(static_cast<u32>(name_bytes), kMaxAddressBytes);
    Ref ref;
    if (!is_output) {
      plan.input(word(at + kName), name, bytes);
    } else if (plan.room(word(at + kName), name, bytes, &ref)) {
      plan.add_piece(plan.add_out(ref, bytes, unit, false, at + kNameBytes), 0, name, bytes, min_ret);
    }
  }
  const u64 control = plan.get<u64>(at + kControl);
  const u64 control_bytes = plan.get<u64>(at + kControlBytes);
  if (control_bytes > kMaxControlBytes) {
    if (is_output && control_bytes <= INT32_MAX) return Gathered::come_home;
    refuse_by_size(plan, word(at + kControl), control);
  } else {
    Ref ref;
    if (!is_output) {
      plan.input(word(at + kControl), control, control_bytes);
    } else if (plan.room(word(at + kControl), control, control_bytes, &ref)) {
      const u32 out = plan.add_out(ref, control_bytes, unit, false, at + kControlBytes);
      plan.add_piece(out, 0, control, control_bytes, min_ret);
    }
  }
  return plan.iovecs(word(at + kIov), plan.get<u64>(at + kIov), plan.get<u64>(at + kIovCount), data, total);
}

// The fields that recvmsg writes back, as pieces of the header's own output.
void header_pieces(Plan& plan, u32 out, u32 offset, u64 header, i64 min_ret) {
  plan.add_piece(out, offset + kNameBytes, header + kNameBytes, 4, min_ret);
  plan.add_piece(out, offset + kControlBytes, header + kControlBytes, 8, min_ret);
  plan.add_piece(out, offset + kFlags, header + kFlags, 4, min_ret);
}

}  // namespace

Gathered gather_message(Plan& plan, u32 index, bool is_output) {
  const u64 header = plan.arg(index);
  Ref at;
  if (!plan.fetch(argument(index), header, kHeaderBytes, &at)) return Gathered::ready;
  const Plan::DataOut data;
  const Gathered result = gather_parts(plan, at, is_output ? &data : nullptr, nullptr);
  if (is_output) header_pieces(plan, plan.add_out(at, kHeaderBytes), 0, header, INT64_MIN);
  return result;
}

Gathered gather_messages(Plan& plan, u32 index, u32 count_index, bool is_output) {
  const u64 array = plan.arg(index);
  u32 count = std::min(static_cast<u32>(plan.arg(count_index)), kMaxMessages);
  plan.set_arg(count_index, count);
  Ref at;
  if (!plan.fetch(argument(index), array, u64{count} * kArrayEntryBytes, &at)) return Gathered::ready;
  u64 total = 0;
  for (u32 i = 0; i < count; ++i) {
    const Ref entry = at + i * kArrayEntryBytes;
    if (is_output) plan.put(entry + kMessageBytes, u32{0});  // a message that does not come has no data
    const Plan::DataOut data{.unit = kIfAny, .length_at = entry + kMessageBytes, .min_ret = i64{i} + 1};
    const Gathered result = gather_parts(plan, entry, is_output ? &data : nullptr, &total);
    if (result != Gathered::ready) return result;
    if (total >= kMaxTransfer && i + 1 < count) {
      // Fewer messages than asked for are a legal answer.
      count = i + 1;
      plan.set_arg(count_index, count);
    }
  }
  if (count == 0) return Gathered::ready;
  const u32 out = plan.add_out(at, u64{count} * kArrayEntryBytes, kArrayEntryBytes);
  for (u32 i = 0; i < count; ++i) {
    const u64 header = array + u64{i} * kArrayEntryBytes;
    if (is_output) header_pieces(plan, out, i * kArrayEntryBytes, header, i64{i} + 1);
    plan.add_piece(out, i * kArrayEntryBytes + kMessageBytes, header + kMessageBytes, 4, i64{i} + 1, true);
  }
  return Gathered::ready;
}

void gather_address_in(Plan& plan, u32 index, u64 bytes) {
  const auto count = static_cast<i32>(bytes);
  if (count < 0 || count > static_cast<i32>(kMaxAddressBytes)) {
    refuse_by_size(plan, argument(index), plan.arg(index));
  } else {
    plan.input(argument(index), plan.arg(index), static_cast<u32>(count));
  }
}

void gather_address_out(Plan& plan, u32 index, u32 length_index) {
  const u64 pointer = plan.arg(index);
  const u64 length_pointer = plan.arg(length_index);
  // Without an address accept and recvfrom do not look at the length, getsockname does: it travels in any case.
  Ref length;
  if (!plan.fetch(argument(length_index), length_pointer, 4, &length)) {
    refuse_by_size(plan, argument(index), pointer);
    return;
  }
  const auto given = plan.get<i32>(length);
  const u32 bytes = given < 0 ? 0 : std::min(static_cast<u32>(given), kMaxAddressBytes);
  Ref at;
  if (plan.room(argument(index), pointer, bytes, &at)) plan.output(at, pointer, bytes, 0, false, length);
  plan.output(length, length_pointer, 4);
}

// getsockopt(fd, level, name, value, length): many options read the value's first bytes as well, so it travels both
// ways.
Gathered gather_get_option(Plan& plan) {
  if (static_cast<i32>(plan.arg(1)) == IPPROTO_TCP && static_cast<i32>(plan.arg(2)) == TCP_ZEROCOPY_RECEIVE) {
    return Gathered::come_home;
  }
  const u64 value = plan.arg(3);
  const u64 length_pointer = plan.arg(4);
  Ref length;
  if (!plan.fetch(argument(4), length_pointer, 4, &length)) {
    refuse_by_size(plan, argument(3), value);
    return Gathered::ready;
  }
  const auto given = plan.get<i32>(length);
  if (given > static_cast<i32>(kMaxOptionBytes)) plan.put(length, static_cast<u32>(kMaxOptionBytes));
  const u64 bytes = given < 0 ? 0 : std::min(u64{static_cast<u32>(given)}, kMaxOptionBytes);
  Ref at;
  const u64 readable = plan.fetch_prefix(argument(3), value, bytes, &at);
  if (readable != 0) plan.add_piece(plan.add_out(at, bytes, 0, false, length), 0, value, readable);
  plan.add_piece(plan.add_out(length, 4), 0, length_pointer, 4, INT64_MIN, true);
  return Gathered::ready;
}

Gathered gather_set_option(Plan& plan) {
  const auto level = static_cast<i32>(plan.arg(1));
  const auto name = static_cast<i32>(plan.arg(2));
  const u64 value = plan.arg(3);
  const auto bytes = static_cast<i32>(plan.arg(4));
  const bool is_filter = level == SOL_SOCKET && (name == SO_ATTACH_FILTER || name == SO_ATTACH_REUSEPORT_CBPF);
  if (is_filter && bytes == sizeof(sock_fprog)) {
    Ref at;
    if (plan.fetch(argument(3), value, sizeof(sock_fprog), &at)) {
      const u64 count = plan.get<u16>(at);
      plan.input(word(at + 8), plan.get<u64>(at + 8), count * sizeof(sock_filter));
    }
    return Gathered::ready;
  }
  // Netfilter's tables come with pointers to counters.
  const bool is_netfilter = (level == IPPROTO_IP || level == IPPROTO_IPV6) && name >= 64 && name < 128;
  if (is_netfilter || bytes > static_cast<i32>(kMaxOptionBytes)) return Gathered::come_home;
  if (bytes < 0) {
    refuse_by_size(plan, argument(3), value);
  } else {
    plan.input(argument(3), value, static_cast<u32>(bytes));
  }
  return Gathered::ready;
}

}  // namespace omig::syscalls
