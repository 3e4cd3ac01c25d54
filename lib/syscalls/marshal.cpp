// SPDX-License-Identifier: Apache-2.0
// The generic shapes. What a row says in its shapes is done here; what it says in code is in special_*.cpp.
#include "lib/syscalls/marshal.h"

#include <asm/unistd.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>

#include "lib/syscalls/plan.h"

namespace omig::syscalls {
namespace {

// The kernel cuts a transfer to this (MAX_RW_COUNT). Sockets do it before they judge the buffer's range, files after.
constexpr u64 kMaxRwCount = 0x7ffff000;
u64 judged_bytes(u32 nr, u64 count) {
  return nr == __NR_sendto || nr == __NR_recvfrom ? std::min(count, kMaxRwCount) : count;
}

void gather_in_len(Plan& plan, u32 index, const Shape& shape, bool* come_home) {
  const u64 count = plan.arg(shape.len_arg);
  const u64 pointer = plan.arg(index);
  const Slot slot = argument(index);
  if (shape.size != 0) {
    if (count <= shape.size) {
      plan.input(slot, pointer, count);
    } else if (!plan.passed(slot, pointer, 1)) {
      plan.set_arg(index, kUnmapped);  // refused by its size before the bytes are looked at
    }
    return;
  }
  if (plan.passed(slot, pointer, judged_bytes(plan.nr(), count))) return;
  if (count > kMaxTransfer) {
    *come_home = true;
  } else {
    plan.input(slot, pointer, count);
  }
}

void gather_out_len(Plan& plan, u32 index, const Shape& shape) {
  u64 count = plan.arg(shape.len_arg);
  const Slot slot = argument(index);
  if (shape.size != 0) {
    plan.out(slot, plan.arg(index), std::min<u64>(count, shape.size), 1);
    return;
  }
  if (plan.passed(slot, plan.arg(index), judged_bytes(plan.nr(), count))) return;
  if (count > kMaxTransfer) {
    count = kMaxTransfer;
    plan.set_arg(shape.len_arg, count);
  }
  plan.out(slot, plan.arg(index), count, 1);
}

void gather_array(Plan& plan, u32 index, const Shape& shape) {
  const auto count = static_cast<i32>(plan.arg(shape.len_arg));
  const u32 most = static_cast<u32>(kMaxTransfer / shape.size);
  const u32 used = count < 0 ? 0 : std::min(static_cast<u32>(count), most);
  const Slot slot = argument(index);
  if (shape.kind == ShapeKind::array_out) {
    // Calls with such arrays may always answer with fewer elements (epoll_wait), or never have as many (getgroups).
    if (count > 0) plan.set_arg(shape.len_arg, used);
    plan.out(slot, plan.arg(index), u64{used} * shape.size, shape.size);
  } else if (count >= 0 && static_cast<u32>(count) > most) {
    if (!plan.passed(slot, plan.arg(index), 1)) plan.set_arg(index, kUnmapped);  // refused by its count
  } else if (shape.kind == ShapeKind::array_in) {
    plan.input(slot, plan.arg(index), u64{used} * shape.size);
  } else {
    plan.in_out(slot, plan.arg(index), u64{used} * shape.size);
  }
}

// The whole of a structure that says its size by an argument: what the kernel does not write comes back as it was.
void gather_out_cap(Plan& plan, u32 index, const Shape& shape) {
  const u64 bytes = std::min<u64>(plan.arg(shape.len_arg), shape.size);
  Ref at;
  const u64 pointer = plan.arg(index);
  const u64 readable = plan.fetch_prefix(argument(index), pointer, bytes, &at);
  if (readable == 0) return;
  plan.add_piece(plan.add_out(at, bytes, 0, true), 0, pointer, readable);
}

Gathered gather_shape(Plan& plan, u32 index, const Shape& shape) {
  const Slot slot = argument(index);
  const u64 value = plan.arg(index);
  switch (shape.kind) {
    case ShapeKind::value:
    case ShapeKind::fd:
    case ShapeKind::length_io: break;
    case ShapeKind::path: plan.string(slot, value, 4096); break;
    case ShapeKind::string: plan.string(slot, value, shape.size); break;
    case ShapeKind::in: plan.input(slot, value, shape.size); break;
    case ShapeKind::out: plan.out(slot, value, shape.size); break;
    case ShapeKind::out_if_positive: plan.out(slot, value, shape.size, shape.size); break;
    case ShapeKind::in_out: plan.in_out(slot, value, shape.size); break;
    case ShapeKind::in_out_always: plan.in_out(slot, value, shape.size, true); break;
    case ShapeKind::in_len: {
      bool come_home = false;
      gather_in_len(plan, index, shape, &come_home);
      if (come_home) return Gathered::come_home;
      break;
    }
    case ShapeKind::out_len: gather_out_len(plan, index, shape); break;
    case ShapeKind::out_cap: gather_out_cap(plan, index, shape); break;
    case ShapeKind::array_in:
    case ShapeKind::array_out:
    case ShapeKind::array_in_out: gather_array(plan, index, shape); break;
    case ShapeKind::iov_in: return plan.iovecs(slot, value, plan.arg(shape.len_arg), nullptr);
    case ShapeKind::iov_out: {
      const Plan::DataOut data;
      return plan.iovecs(slot, value, plan.arg(shape.len_arg), &data);
    }
    case ShapeKind::msghdr_in: return gather_message(plan, index, false);
    case ShapeKind::msghdr_out: return gather_message(plan, index, true);
    case ShapeKind::mmsghdr_in: return gather_messages(plan, index, shape.len_arg, false);
    case ShapeKind::mmsghdr_out: return gather_messages(plan, index, shape.len_arg, true);
    case ShapeKind::sockaddr_in: gather_address_in(plan, index, plan.arg(shape.len_arg)); break;
    case ShapeKind::sockaddr_out: gather_address_out(plan, index, shape.len_arg); break;
    case ShapeKind::special: break;  // whole rows: gather_special()
  }
  return Gathered::ready;
}

u32 effect_flags(const Row& row, const u64 args[6]) {
  switch (row.effect) {
    case Effect::some: break;
    case Effect::none: return wire::kCallHarmless;
    case Effect::reads: return wire::kCallReads;
    case Effect::closes: return wire::kCallCloses;
    case Effect::opens: {
      constexpr u64 kMayWrite = O_ACCMODE | O_CREAT | O_TRUNC;
      return (args[row.nr == __NR_open ? 1 : 2] & kMayWrite) == O_RDONLY ? wire::kCallOpens : 0;
    }
  }
  const bool asks = (row.nr == __NR_fcntl && (args[1] == F_GETFD || args[1] == F_GETFL)) ||
                    (row.nr == __NR_ioctl && (args[1] == TCGETS || args[1] == TIOCGWINSZ || args[1] == FIONREAD));
  return asks || (row.nr == __NR_prlimit64 && args[2] == 0) ? wire::kCallHarmless : 0;
}

u32 call_flags(u32 nr, const u64 args[6]) {
  switch (nr) {
    case __NR_read:
    case __NR_readv: return wire::kCallProbeOnNotRun | wire::kCallTimesIn;
    case __NR_recvfrom:
    case __NR_recvmsg:
    case __NR_recvmmsg:
    case __NR_accept:
    case __NR_accept4: return wire::kCallTimesIn;
    case __NR_connect: return wire::kCallTimesOut;
    case __NR_write:
    case __NR_writev:
      return wire::kCallProbeOnNotRun | wire::kCallWantsSigpipe | wire::kCallMindsBackground | wire::kCallTimesOut;
    case __NR_ioctl: return changes_terminal(args[1]) ? wire::kCallMindsBackground : 0;
    case __NR_pwritev2:
    case __NR_sendfile:
    case __NR_splice:
    case __NR_tee: return wire::kCallWantsSigpipe;
    case __NR_sendto:
    case __NR_sendmmsg: return wire::kCallTimesOut | ((args[3] & MSG_NOSIGNAL) != 0 ? 0 : wire::kCallWantsSigpipe);
    case __NR_sendmsg: return wire::kCallTimesOut | ((args[2] & MSG_NOSIGNAL) != 0 ? 0 : wire::kCallWantsSigpipe);
    default: return 0;
  }
}

// Writes what differs from what was sent, from the first to the last byte that does: home's kernel wrote no more than
// that, and another thread may be using the rest.
bool write_changed(Memory& memory, GuestAddr to, const u8* now, const u8* before, u64 bytes) {
  u64 begin = 0;
  if (before != nullptr) {
    while (begin < bytes && now[begin] == before[begin]) ++begin;
    while (bytes > begin && now[bytes - 1] == before[bytes - 1]) --bytes;
  }
  return begin == bytes || memory.write(to + begin, now + begin, bytes - begin);
}

}  // namespace

long Memory::read_string(GuestAddr from, std::string* out, u64 max_bytes) {
  out->clear();
  char buffer[256];
  while (out->size() < max_bytes) {
    const GuestAddr at = from + out->size();
    const u64 to_page_end = page_down(at.value) + kPageSize - at.value;
    const u64 step = std::min({max_bytes - out->size(), to_page_end, u64{sizeof(buffer)}});
    if (at.value >= kUserTop || !read(at, buffer, step)) return -EFAULT;
    const void* nul = memchr(buffer, 0, step);
    if (nul != nullptr) {
      out->append(buffer, static_cast<std::size_t>(static_cast<const char*>(nul) - buffer));
      return 0;
    }
    out->append(buffer, step);
  }
  return -ENAMETOOLONG;
}

namespace {

// MSG_ZEROCOPY: the kernel sends from the caller's pages after the call, and a deputy's scratch is used again by then.
bool sends_own_pages(u32 nr, const u64 args[6]) {
  const bool flags_third = nr == __NR_sendmsg;
  if (!flags_third && nr != __NR_sendto && nr != __NR_sendmmsg) return false;
  return (args[flags_third ? 2 : 3] & MSG_ZEROCOPY) != 0;
}

}  // namespace

Gathered gather(const Row& row, const u64 args[6], Memory& memory, Prepared* out) {
  // One per worker thread; its buffers keep their capacity.
  static thread_local Plan plan;
  plan.begin(row, args, memory, out);
  if (row.route == Route::absent) return plan.fail(-ENOSYS);
  if (row.route == Route::come_home || row.route == Route::local || row.route == Route::traced)
    return Gathered::come_home;
  if (sends_own_pages(row.nr, args)) return Gathered::come_home;
  plan.set_flags(call_flags(row.nr, args) | effect_flags(row, args));
  if (std::ranges::find(row.args, ShapeKind::special, &Shape::kind) != row.args.end()) {
    const Gathered result = gather_special(row, plan);
    return result == Gathered::ready ? plan.finish() : result;
  }
  // Data last: the engine zeroes the scratch up to the last output whose size the result does not tell.
  for (const bool data : {false, true}) {
    for (u32 i = 0; i < row.args.size(); ++i) {
      const ShapeKind kind = row.args[i].kind;
      if ((kind == ShapeKind::out_len || kind == ShapeKind::iov_out || kind == ShapeKind::array_out) != data) continue;
      const Gathered result = gather_shape(plan, i, row.args[i]);
      if (result != Gathered::ready) return result;
    }
  }
  return plan.finish();
}

long scatter(const Prepared& call, const wire::Reply& reply, Stream& stream, Memory& memory) {
  const bool failed = reply.ret < 0 && reply.ret >= -4095;
  if ((reply.flags & wire::kReplyNotRun) != 0 || (failed && reply.out_bytes == 0)) return reply.ret;
  const u8* at = call.message.data() + sizeof(wire::Frame);
  wire::Call sent;
  memcpy(&sent, at, sizeof(sent));
  const u8* outs = at + sizeof(sent) + sent.relocs * sizeof(wire::Reloc);
  const u8* input = outs + sent.outs * sizeof(wire::Out);

  bool all_written = true;
  auto piece = call.pieces.begin();
  for (u32 index = 0; index < sent.outs; ++index) {
    // A stream that is shorter than it says comes from a broken deputy; what is missing counts as not writable.
    const u8* length_bytes = stream.take(sizeof(u32));
    if (length_bytes == nullptr) return call.pieces.empty() ? reply.ret : -EFAULT;
    u32 length;
    memcpy(&length, length_bytes, sizeof(length));
    wire::Out out;
    memcpy(&out, outs + index * sizeof(out), sizeof(out));
    const auto end = std::find_if(piece, call.pieces.end(), [index](const auto& p) { return p.out != index; });
    for (u64 begin = 0; begin < length;) {
      const u64 count = std::min(length - begin, Stream::kMostAtOnce);
      const u8* bytes = stream.take(count);
      if (bytes == nullptr) return -EFAULT;
      for (auto p = piece; p != end; ++p) {
        const u64 piece_end = std::min<u64>(p->offset + p->target.bytes, length);
        const u64 from = std::max<u64>(p->offset, begin), to = std::min(piece_end, begin + count);
        if (reply.ret < p->min_ret || from >= to) continue;
        const bool was_sent = !p->whole && out.offset + piece_end <= sent.in_bytes;
        const bool written = write_changed(memory, p->target.to + (from - p->offset), bytes + (from - begin),
                                           was_sent ? input + out.offset + from : nullptr, to - from);
        all_written &= written || p->optional;
      }
      begin += count;
    }
    piece = end;
  }
  return all_written ? reply.ret : -EFAULT;
}

bool replace_input(Prepared* prepared, u32 argument, std::span<const u8> bytes) {
  u8* const body = prepared->message.data() + sizeof(wire::Frame);
  wire::Call call;
  memcpy(&call, body, sizeof(call));
  const u8* const relocs = body + sizeof(call);
  const u8* const outs = relocs + call.relocs * sizeof(wire::Reloc);
  for (u32 i = 0; i < call.relocs; ++i) {
    wire::Reloc reloc;
    memcpy(&reloc, relocs + i * sizeof(reloc), sizeof(reloc));
    if (reloc.where != argument || u64{reloc.target} + bytes.size() > call.in_bytes) continue;
    memcpy(body + sizeof(call) + call.relocs * sizeof(reloc) + call.outs * sizeof(wire::Out) + reloc.target,
           bytes.data(), bytes.size());
    for (Prepared::Piece& piece : prepared->pieces) {
      wire::Out out;
      memcpy(&out, outs + piece.out * sizeof(out), sizeof(out));
      if (out.offset < reloc.target + bytes.size() && reloc.target < out.offset + out.bytes) piece.whole = true;
    }
    return true;
  }
  return false;
}

long scatter(const Prepared& call, const wire::Reply& reply, std::span<const u8> bytes, Memory& memory) {
  struct Whole final : Stream {
    explicit Whole(std::span<const u8> all) : rest(all) {}
    const u8* take(u64 count) override {
      if (count > rest.size()) return nullptr;
      const u8* taken = rest.data();
      rest = rest.subspan(count);
      return taken;
    }
    std::span<const u8> rest;
  } whole(bytes);
  wire::Reply here = reply;
  here.out_bytes = static_cast<u32>(bytes.size());
  return scatter(call, here, whole, memory);
}

void build_call(u32 nr, const u64 args[6], std::span<const u8> input, std::span<const wire::Reloc> relocs,
                std::span<const wire::Out> outs, u32 scratch_bytes, Prepared* out) {
  const std::size_t tables = sizeof(wire::Frame) + sizeof(wire::Call) + relocs.size_bytes() + outs.size_bytes();
  out->message.resize(tables + input.size());
  out->pieces.clear();
  out->error = 0;
  out->restart = Restart::never;
  wire::Frame frame{wire::Type::call, static_cast<u32>(out->message.size() - sizeof(wire::Frame)), 0};
  const Row* const row = find(nr);
  wire::Call call{.nr = nr,
                  .flags = row != nullptr ? effect_flags(*row, args) : 0,
                  .relocs = static_cast<u32>(relocs.size()),
                  .outs = static_cast<u32>(outs.size()),
                  .in_bytes = static_cast<u32>(input.size()),
                  .scratch_bytes = std::max(scratch_bytes, static_cast<u32>(input.size()))};
  std::copy_n(args, 6, call.args);
  u8* to = out->message.data();
  auto append = [&to](const void* from, std::size_t count) {
    if (count != 0) memcpy(to, from, count);
    to += count;
  };
  append(&frame, sizeof(frame));
  append(&call, sizeof(call));
  append(relocs.data(), relocs.size_bytes());
  append(outs.data(), outs.size_bytes());
  append(input.data(), input.size());
}

}  // namespace omig::syscalls
