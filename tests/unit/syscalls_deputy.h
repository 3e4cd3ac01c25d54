// SPDX-License-Identifier: Apache-2.0
// A guest and its deputy in one process: the guest's memory is the test's own, seen only through Memory, and the deputy
// is a few lines that do what docs/PROTOCOL.md says the engine does with a `call`. So every shape is tested by a real
// call of the kernel, and its answer can be compared with a native one.
#pragma once

#include <errno.h>
#include <gtest/gtest.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include <optional>
#include <vector>

#include "lib/syscalls/marshal.h"

namespace omig::syscalls {

// This process' memory, with a fault where it would fault.
class OwnMemory : public Memory {
 public:
  bool read(GuestAddr from, void* to, u64 bytes) override {
    iovec local{to, bytes}, remote{reinterpret_cast<void*>(from.value), bytes};
    return process_vm_readv(getpid(), &local, 1, &remote, 1, 0) == static_cast<ssize_t>(bytes);
  }
  bool write(GuestAddr to, const void* from, u64 bytes) override {
    ++writes;
    written_bytes += bytes;
    iovec local{const_cast<void*>(from), bytes}, remote{reinterpret_cast<void*>(to.value), bytes};
    return process_vm_writev(getpid(), &local, 1, &remote, 1, 0) == static_cast<ssize_t>(bytes);
  }
  u64 writes = 0, written_bytes = 0;
};

struct Answer {
  wire::Reply reply;
  std::vector<u8> bytes;
};

// Executes a message as the engine does. The scratch is filled with a pattern first, so that a byte that travels
// although nobody wrote it is seen.
inline Answer deputy(const Bytes& message) {
  wire::Frame frame;
  wire::Call call;
  const u8* at = message.data();
  memcpy(&frame, at, sizeof(frame));
  memcpy(&call, at += sizeof(frame), sizeof(call));
  EXPECT_EQ(frame.bytes + sizeof(frame), message.size());
  EXPECT_EQ(frame.bytes,
            sizeof(call) + call.relocs * sizeof(wire::Reloc) + call.outs * sizeof(wire::Out) + call.in_bytes);
  EXPECT_LE(call.in_bytes, call.scratch_bytes);
  std::vector<wire::Reloc> relocs(call.relocs);
  std::vector<wire::Out> outs(call.outs);
  at += sizeof(call);
  if (call.relocs != 0) memcpy(relocs.data(), at, call.relocs * sizeof(wire::Reloc));
  at += call.relocs * sizeof(wire::Reloc);
  if (call.outs != 0) memcpy(outs.data(), at, call.outs * sizeof(wire::Out));
  at += call.outs * sizeof(wire::Out);

  const std::size_t mapped = page_up(call.scratch_bytes) + kPageSize;
  auto* scratch = static_cast<u8*>(mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  EXPECT_NE(scratch, MAP_FAILED);
  if (mapped <= 1 << 20) memset(scratch, 0xa5, mapped);
  // Beyond its end the scratch is unmapped: a call that goes past what was laid out for it fails.
  munmap(scratch + mapped - kPageSize, kPageSize);
  if (call.in_bytes != 0) memcpy(scratch, at, call.in_bytes);
  u64 zero_to = call.in_bytes;
  for (const wire::Out& out : outs) {
    EXPECT_LE(u64{out.offset} + out.bytes, call.scratch_bytes);
    EXPECT_TRUE(out.length_at == ~0u || out.length_at + 4 <= call.scratch_bytes);
    if (out.unit == 0) zero_to = std::max<u64>(zero_to, out.offset + out.bytes);
  }
  memset(scratch + call.in_bytes, 0, zero_to - call.in_bytes);
  for (const wire::Reloc& reloc : relocs) {
    EXPECT_LE(reloc.target, call.scratch_bytes);
    const u64 address = reinterpret_cast<u64>(scratch + reloc.target);
    const u32 where = reloc.where & ~wire::kRelocScratch;
    if ((reloc.where & wire::kRelocScratch) != 0) {
      EXPECT_LE(where + 8, call.scratch_bytes);
      memcpy(scratch + where, &address, 8);
    } else {
      EXPECT_LT(where, 6u);
      call.args[where] = address;
    }
  }

  Answer answer;
  const long ret = syscall(call.nr, call.args[0], call.args[1], call.args[2], call.args[3], call.args[4], call.args[5]);
  answer.reply.ret = ret == -1 ? -errno : ret;
  for (const wire::Out& out : outs) {
    u64 length = out.bytes;
    if (answer.reply.ret < 0 && out.always == 0) length = 0;
    if (out.unit != 0)
      length = answer.reply.ret <= 0 ? 0 : std::min<u64>(length, static_cast<u64>(answer.reply.ret) * out.unit);
    if (out.length_at != ~0u) {
      u32 said;
      memcpy(&said, scratch + out.length_at, 4);
      length = std::min<u64>(length, said);
    }
    const u32 sent = static_cast<u32>(length);
    const auto* raw = reinterpret_cast<const u8*>(&sent);
    answer.bytes.insert(answer.bytes.end(), raw, raw + 4);
    answer.bytes.insert(answer.bytes.end(), scratch + out.offset, scratch + out.offset + sent);
  }
  answer.reply.out_bytes = static_cast<u32>(answer.bytes.size());
  munmap(scratch, mapped - kPageSize);
  return answer;
}

struct Forward {
  Gathered gathered = Gathered::ready;
  long ret = 0;  // negative errno, as the kernel's own result
};

// A guest's call, forwarded.
class Guest : public ::testing::Test {
 protected:
  template <typename... Args>
  Forward forward(u32 nr, Args... arguments) {
    const u64 args[6] = {to_word(arguments)...};
    const Row* row = find(nr);
    EXPECT_NE(row, nullptr);
    Forward result;
    result.gathered = gather(*row, args, memory, &prepared);
    if (result.gathered == Gathered::error) result.ret = prepared.error;
    if (result.gathered != Gathered::ready) return result;
    const Answer answer = deputy(prepared.message);
    result.ret = scatter(prepared, answer.reply, answer.bytes, memory);
    return result;
  }
  // The same, where nothing but a served call is right.
  template <typename... Args>
  long call(u32 nr, Args... arguments) {
    const Forward result = forward(nr, arguments...);
    EXPECT_NE(result.gathered, Gathered::come_home) << find(nr)->name << " came home";
    return result.ret;
  }
  template <typename... Args>
  static long native(u32 nr, Args... arguments) {
    const long ret = syscall(nr, to_word(arguments)...);
    return ret == -1 ? -errno : ret;
  }
  // Both must say the same; for calls without lasting effect.
  template <typename... Args>
  void expect_as_native(u32 nr, Args... arguments) {
    EXPECT_EQ(call(nr, arguments...), native(nr, arguments...)) << find(nr)->name;
  }
  wire::Call sent() const {
    wire::Call call;
    memcpy(&call, prepared.message.data() + sizeof(wire::Frame), sizeof(call));
    return call;
  }

  template <typename T>
  static u64 to_word(T value) {
    if constexpr (std::is_pointer_v<T>) {
      return reinterpret_cast<u64>(value);
    } else if constexpr (std::is_null_pointer_v<T>) {
      return 0;
    } else {
      return static_cast<u64>(static_cast<i64>(value));
    }
  }

  OwnMemory memory;
  Prepared prepared;
};

// Two pages of which only the first exists.
class Edge {
 public:
  Edge() {
    base_ = static_cast<u8*>(mmap(nullptr, 2 * kPageSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    munmap(base_ + kPageSize, kPageSize);
  }
  ~Edge() { munmap(base_, kPageSize); }
  Edge(const Edge&) = delete;
  Edge& operator=(const Edge&) = delete;
  u8* end() const { return base_ + kPageSize; }  // unmapped from here on
  u8* last(std::size_t bytes) const { return end() - bytes; }

 private:
  u8* base_;
};

inline void* kernel_address() { return reinterpret_cast<void*>(0xffff888000000000); }
inline void* minus_one() { return reinterpret_cast<void*>(~0ull); }

}  // namespace omig::syscalls
