// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <map>
#include <random>
#include <set>
#include <sstream>
#include <string>

#include "lib/syscalls/doc.h"
#include "lib/syscalls/marshal.h"
#include "lib/syscalls/table.h"

namespace omig::syscalls {
namespace {

TEST(SyscallTable, SortedAndUnique) {
  std::set<std::string_view> names;
  for (std::size_t i = 0; i < rows().size(); ++i) {
    if (i > 0) {
      EXPECT_LT(rows()[i - 1].nr, rows()[i].nr);
    }
    EXPECT_TRUE(names.insert(rows()[i].name).second) << rows()[i].name;
    EXPECT_EQ(find(rows()[i].nr), &rows()[i]);
  }
  EXPECT_EQ(find(470), nullptr);
  EXPECT_EQ(find(~0u), nullptr);
}

// Numbers and names are those of the system's headers, each of which has a row.
TEST(SyscallTable, AgreesWithTheHeaders) {
  std::ifstream header("/usr/include/x86_64-linux-gnu/asm/unistd_64.h");
  ASSERT_TRUE(header) << "install the kernel's headers (linux-libc-dev)";
  std::string line;
  int seen = 0;
  while (std::getline(header, line)) {
    std::istringstream words(line);
    std::string define, name;
    u32 nr;
    if (!(words >> define >> name >> nr) || define != "#define" || !name.starts_with("__NR_")) continue;
    const Row* row = find(nr);
    ASSERT_NE(row, nullptr) << name;
    EXPECT_EQ(row->name, name.substr(5));
    ++seen;
  }
  EXPECT_GE(seen, 360);
}

// What is newer than the headers of Debian 12: the numbers of Linux 6.18's table.
TEST(SyscallTable, CarriesNewerCalls) {
  const std::map<u32, std::string_view> newer = {
      {335, "uretprobe"},        {336, "uprobe"},        {451, "cachestat"},         {452, "fchmodat2"},
      {453, "map_shadow_stack"}, {454, "futex_wake"},    {455, "futex_wait"},        {456, "futex_requeue"},
      {457, "statmount"},        {458, "listmount"},     {459, "lsm_get_self_attr"}, {460, "lsm_set_self_attr"},
      {461, "lsm_list_modules"}, {462, "mseal"},         {463, "setxattrat"},        {464, "getxattrat"},
      {465, "listxattrat"},      {466, "removexattrat"}, {467, "open_tree_attr"},    {468, "file_getattr"},
      {469, "file_setattr"}};
  for (const auto& [nr, name] : newer) {
    ASSERT_NE(find(nr), nullptr) << name;
    EXPECT_EQ(find(nr)->name, name);
  }
}

TEST(SyscallTable, ShapesMakeSense) {
  for (const Row& row : rows()) {
    for (const Shape& shape : row.args) {
      EXPECT_LT(shape.len_arg, 6) << row.name;
      const bool served = row.route == Route::home || row.route == Route::special;
      if (!served) {
        EXPECT_EQ(shape.kind, ShapeKind::value) << row.name;
      }
      const bool sized = shape.kind == ShapeKind::in || shape.kind == ShapeKind::out ||
                         shape.kind == ShapeKind::in_out || shape.kind == ShapeKind::array_in ||
                         shape.kind == ShapeKind::array_out || shape.kind == ShapeKind::string ||
                         shape.kind == ShapeKind::out_cap;
      if (sized) {
        EXPECT_NE(shape.size, 0u) << row.name;
      }
    }
    if (row.route == Route::special || row.route == Route::come_home || row.route == Route::absent) {
      EXPECT_FALSE(row.note.empty()) << row.name << " needs a sentence that says why";
    }
    EXPECT_EQ(row.note.find('|'), std::string_view::npos) << row.name << " would break the page's table";
  }
}

// gather() has an answer for every row, with any arguments: it never crashes, and it never lets a guest's address
// through as an argument of the deputy's.
TEST(SyscallTable, EveryRowGathersHostileArguments) {
  struct Nothing : Memory {
    bool read(GuestAddr, void*, u64) override { return false; }
    bool write(GuestAddr, const void*, u64) override { return false; }
  } nothing;
  // Looks like a small number in its lower half, and like a pointer as a whole.
  constexpr u64 kPointer = 0x7f0000000001;
  Prepared prepared;
  for (const Row& row : rows()) {
    for (const u64 value :
         {u64{0}, u64{1}, u64{64}, kPointer, u64{0x7fffffff}, u64{0xffffffff}, ~u64{0}, u64{1} << 63}) {
      const u64 args[6] = {value, value, value, value, value, value};
      if (gather(row, args, nothing, &prepared) != Gathered::ready) continue;
      wire::Call call;
      memcpy(&call, prepared.message.data() + sizeof(wire::Frame), sizeof(call));
      if (value != kPointer) continue;
      for (u32 i = 0; i < 6; ++i) {
        const ShapeKind kind = row.args[i].kind;
        if (kind == ShapeKind::value || kind == ShapeKind::fd || kind == ShapeKind::special) continue;
        bool relocated = false;
        for (u32 r = 0; r < call.relocs; ++r) {
          wire::Reloc reloc;
          memcpy(&reloc, prepared.message.data() + sizeof(wire::Frame) + sizeof(call) + r * sizeof(reloc),
                 sizeof(reloc));
          relocated |= reloc.where == i;
        }
        EXPECT_TRUE(relocated || call.args[i] != kPointer) << row.name << " argument " << i;
      }
    }
  }
}

// A guest whose memory says something else each time it is read: whatever gather() makes of it, the message describes
// only its own scratch, as the engine will check.
TEST(SyscallTable, EveryRowSurvivesChangingMemory) {
  struct Random : Memory {
    bool read(GuestAddr, void* to, u64 bytes) override {
      for (u64 i = 0; i < bytes && i < 4096; ++i) {
        // Mostly small numbers, so that sizes and counts are believed.
        static_cast<u8*>(to)[i] = source() % 4 == 0 ? static_cast<u8>(source()) : 0;
      }
      return source() % 8 != 0;
    }
    bool write(GuestAddr, const void*, u64) override { return source() % 8 != 0; }
    std::minstd_rand source{4711};
  } memory;
  Prepared prepared;
  int served = 0;
  for (int round = 0; round < 20; ++round) {
    for (const Row& row : rows()) {
      u64 args[6];
      for (u64& arg : args) {
        const u64 choices[] = {memory.source() % 64, 0x7f0000000000 + memory.source() % 8192, ~u64{memory.source()}, 0};
        arg = choices[memory.source() % 4];
      }
      if (gather(row, args, memory, &prepared) != Gathered::ready) continue;
      ++served;
      wire::Call call;
      const u8* at = prepared.message.data() + sizeof(wire::Frame);
      memcpy(&call, at, sizeof(call));
      at += sizeof(call);
      ASSERT_EQ(prepared.message.size(), sizeof(wire::Frame) + sizeof(call) + call.relocs * sizeof(wire::Reloc) +
                                             call.outs * sizeof(wire::Out) + call.in_bytes);
      ASSERT_LE(call.in_bytes, call.scratch_bytes) << row.name;
      for (u32 i = 0; i < call.relocs; ++i, at += sizeof(wire::Reloc)) {
        wire::Reloc reloc;
        memcpy(&reloc, at, sizeof(reloc));
        ASSERT_LE(reloc.target, call.scratch_bytes) << row.name;
        const u64 where = reloc.where & ~wire::kRelocScratch;
        ASSERT_TRUE((reloc.where & wire::kRelocScratch) != 0 ? where + 8 <= call.scratch_bytes : where < 6) << row.name;
      }
      std::vector<u8> stream;
      for (u32 i = 0; i < call.outs; ++i, at += sizeof(wire::Out)) {
        wire::Out out;
        memcpy(&out, at, sizeof(out));
        ASSERT_LE(u64{out.offset} + out.bytes, call.scratch_bytes) << row.name;
        ASSERT_TRUE(out.length_at == ~0u || u64{out.length_at} + 4 <= call.scratch_bytes) << row.name;
        const u32 length = static_cast<u32>(memory.source() % 300);
        const auto* raw = reinterpret_cast<const u8*>(&length);
        stream.insert(stream.end(), raw, raw + 4);
        stream.resize(stream.size() + length, 0x5a);
      }
      scatter(prepared, {.ret = static_cast<i64>(memory.source() % 100)}, stream, memory);
      scatter(prepared, {.ret = 1}, std::span(stream).first(memory.source() % (stream.size() + 1)), memory);
    }
  }
  EXPECT_GT(served, 2000);
}

TEST(SyscallTable, CommittedPageIsTheGeneratedOne) {
  std::ifstream file(OMIG_SOURCE_ROOT "/docs/SYSCALLS.md");
  const std::string committed{std::istreambuf_iterator<char>(file), {}};
  EXPECT_TRUE(committed == syscall_page())
      << "run: build/lib/syscalls/omig-syscall-doc > docs/SYSCALLS.md, and commit it with the table";
}

}  // namespace
}  // namespace omig::syscalls
