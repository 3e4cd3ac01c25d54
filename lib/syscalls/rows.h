// SPDX-License-Identifier: Apache-2.0
// The vocabulary in which the table's rows are written, and where the rows are: one file per area of the kernel, so
// that a reader finds a call by what it is about. table.cpp merges them.
#pragma once

#include "lib/syscalls/table.h"

namespace omig::syscalls {

// The rows of each area, in any order.
std::span<const Row> file_rows();
std::span<const Row> name_rows();
std::span<const Row> event_rows();
std::span<const Row> network_rows();
std::span<const Row> process_rows();
std::span<const Row> identity_rows();
std::span<const Row> memory_rows();
std::span<const Row> signal_rows();
std::span<const Row> time_rows();
std::span<const Row> system_rows();

namespace dsl {

using Shapes = std::array<Shape, 6>;

// Numbers.
inline constexpr Shape num{};
inline constexpr Shape fd{ShapeKind::fd};
// Strings. A name longer than the kernel's limit is sent cut there, without its NUL, so that home's kernel refuses it
// as the visited one would.
inline constexpr Shape path{ShapeKind::path};
constexpr Shape str(u32 most) { return {ShapeKind::string, 0, most}; }
// Structures of a fixed size.
constexpr Shape in(u32 bytes) { return {ShapeKind::in, 0, bytes}; }
constexpr Shape out(u32 bytes) { return {ShapeKind::out, 0, bytes}; }
constexpr Shape both(u32 bytes) { return {ShapeKind::in_out, 0, bytes}; }
constexpr Shape both_always(u32 bytes) { return {ShapeKind::in_out_always, 0, bytes}; }
constexpr Shape out_if_positive(u32 bytes) { return {ShapeKind::out_if_positive, 0, bytes}; }
// Buffers whose size is another argument.
constexpr Shape in_by(u8 arg, u32 most = 0) { return {ShapeKind::in_len, arg, most}; }
constexpr Shape out_by(u8 arg, u32 most = 0) { return {ShapeKind::out_len, arg, most}; }
constexpr Shape cap_by(u8 arg, u32 most) { return {ShapeKind::out_cap, arg, most}; }
constexpr Shape array_in(u8 arg, u32 bytes) { return {ShapeKind::array_in, arg, bytes}; }
constexpr Shape array_out(u8 arg, u32 bytes) { return {ShapeKind::array_out, arg, bytes}; }
constexpr Shape iov_in(u8 arg) { return {ShapeKind::iov_in, arg, 0}; }
constexpr Shape iov_out(u8 arg) { return {ShapeKind::iov_out, arg, 0}; }
// Sockets.
inline constexpr Shape msg_in{ShapeKind::msghdr_in};
inline constexpr Shape msg_out{ShapeKind::msghdr_out};
constexpr Shape msgs_in(u8 arg) { return {ShapeKind::mmsghdr_in, arg, 0}; }
constexpr Shape msgs_out(u8 arg) { return {ShapeKind::mmsghdr_out, arg, 0}; }
constexpr Shape addr_in(u8 arg) { return {ShapeKind::sockaddr_in, arg, 0}; }
constexpr Shape addr_out(u8 arg) { return {ShapeKind::sockaddr_out, arg, 0}; }
inline constexpr Shape length{ShapeKind::length_io};
// By code (special_*.cpp): the whole row is then that code's.
inline constexpr Shape code{ShapeKind::special};

inline constexpr Restart never = Restart::never;
inline constexpr Restart restartable = Restart::restartable;
inline constexpr Restart no_hand = Restart::no_hand;
inline constexpr Restart always_eintr = Restart::always_eintr;
inline constexpr Restart block = Restart::block;

constexpr Row home(u32 nr, std::string_view name, Restart restart, Shapes args = {}, std::string_view note = {}) {
  return {nr, name, Route::home, restart, args, note};
}
constexpr Row special(u32 nr, std::string_view name, Restart restart, Shapes args, std::string_view note) {
  return {nr, name, Route::special, restart, args, note};
}
constexpr Row traced(u32 nr, std::string_view name, Restart restart, Shapes args, std::string_view note) {
  return {nr, name, Route::traced, restart, args, note};
}
// What the visited node's kernel does by itself; its restart class is the kernel's own business, kept as documentation.
constexpr Row local(u32 nr, std::string_view name, Restart restart = Restart::never, std::string_view note = {}) {
  return {nr, name, Route::local, restart, {}, note};
}
constexpr Row come_home(u32 nr, std::string_view name, std::string_view note) {
  return {nr, name, Route::come_home, Restart::never, {}, note};
}
constexpr Row absent(u32 nr, std::string_view name, std::string_view note) {
  return {nr, name, Route::absent, Restart::never, {}, note};
}

// What it does to others and to the process.
constexpr Row with(Row row, Effect effect) {
  row.effect = effect;
  return row;
}
constexpr Row harmless(Row row) { return with(row, Effect::none); }
constexpr Row reads(Row row) { return with(row, Effect::reads); }
constexpr Row opens(Row row) { return with(row, Effect::opens); }
constexpr Row closes(Row row) { return with(row, Effect::closes); }

}  // namespace dsl
}  // namespace omig::syscalls
