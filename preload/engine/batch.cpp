// SPDX-License-Identifier: Apache-2.0
// Raw system calls one after the other, for a tracer that would otherwise need two stops for each.
#include <cstddef>

#include "preload/engine/state.h"

static_assert(offsetof(omig::ThreadStart, tid) == 0);
static_assert(offsetof(omig::ThreadStart, stack) == 8);
static_assert(offsetof(omig::ThreadStart, ret) == 16);
static_assert(offsetof(omig::WaitFrame, rsp) == 56 && offsetof(omig::WaitFrame, over) == 64);  // as in start.S
static_assert(omig::kEngineHeadMagic == 0x000a656847494d4f);                                   // as in start.S
static_assert(sizeof(omig::EngineHead) == 9 * 8);

extern "C" [[gnu::visibility("hidden")]] void omig_batch(omig::BatchOp* ops, omig::u64 count);

void omig_batch(omig::BatchOp* ops, omig::u64 count) {
  for (omig::u64 i = 0; i < count; ++i) {
    omig::BatchOp& op = ops[i];
    op.ret = omig::engine::sys(op.nr, op.args[0], op.args[1], op.args[2], op.args[3], op.args[4], op.args[5]);
    if (omig::engine::failed(op.ret) && !op.may_fail) return;
  }
}
