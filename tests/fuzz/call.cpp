// SPDX-License-Identifier: Apache-2.0
// A forwarded call as the engine takes it apart: frame, relocations, outs. The engine's own source, with a scratch that
// is exactly as large as it says it needs, and with system calls that do nothing but return what the input says.
#include "tests/fuzz/fuzz.h"
// After fuzz.h: the engine's source has no includes of the C library.
#include "preload/engine/call.cpp"

namespace {

struct Input {
  omig::fuzz::Bytes bytes;
  omig::i64 ret;
};
Input* input;

}  // namespace

namespace omig::engine {

long recv_exact(SlotBlock&, void* to, u64 count) { return input->bytes.take(to, count) ? 0 : kClosed; }
long drain(SlotBlock&, u64) { return 0; }
bool take_directed(SlotBlock&) { return false; }
u32 signals_before(SlotBlock&) { return 0; }
bool begin_effect(const wire::Call&) { return false; }
void end_effect(const wire::Call&, i64, u32) {}
bool is_past_image() { return false; }
long send_reply(SlotBlock&, u64, i64, u32) { return 0; }

// What goes back is read by the kernel: every byte must be there.
long send_all(SlotBlock&, Vector* parts, u64 count) {
  u64 bytes = 0;
  volatile u8 sink = 0;
  for (u64 i = 0; i < count; ++i) {
    for (u64 at = 0; at < parts[i].bytes; ++at) sink = sink ^ static_cast<const u8*>(parts[i].base)[at];
    bytes += parts[i].bytes;
  }
  wire::Frame frame;
  memcpy(&frame, parts[0].base, sizeof frame);
  CLAIM(frame.bytes + sizeof frame == bytes);
  return 0;
}

extern "C" {
const u8 omig_call_begin[1] = {}, omig_call_syscall[1] = {}, omig_call_notrun[1] = {};
void omig_restorer() {}
long omig_call(SlotBlock*, const u64*, long, u64, u32* not_run) {
  *not_run = static_cast<u32>(input->ret) & 1;
  return input->ret;
}
}

}  // namespace omig::engine

int LLVMFuzzerTestOneInput(const omig::u8* data, size_t size) {
  using namespace omig;
  Input in{{data, size}, 0};
  input = &in;
  in.ret = in.bytes.take<i64>();
  wire::Call call;
  fuzz::Bytes ahead = in.bytes;
  if (!ahead.take(&call, sizeof call)) return 0;
  // Kernel calls that the engine makes by itself around this one (probing, SIGTTIN, SIGPIPE) are the kernel's business.
  if (call.flags != 0) return 0;
  const u64 needed = engine::layout_bytes(call);
  if (needed > (1 << 20)) return 0;
  std::vector<u8> scratch(needed);
  static SlotBlock block;
  block = {};
  block.scratch = reinterpret_cast<u64>(scratch.data());
  block.scratch_bytes = needed;
  const u64 rest = 8ull * call.relocs + 20ull * call.outs + call.in_bytes;
  engine::serve_call(block, {wire::Type::call, static_cast<u32>(sizeof call + rest), 1});
  return 0;
}
