// SPDX-License-Identifier: Apache-2.0
// What comes of a new image is staged: kept in a file in memory, and carried out when all of it is here. So a host that
// is lost while it sends leaves the older image as it was, and one that has sent all of it has left a new one.
//
// A stage is a sequence of frames as a deputy serves them otherwise, each behind a wire::Staged. All come on the link
// of one thread, and that thread carries them out.
#include "preload/engine/state.h"

namespace omig::engine {
namespace {

long open_stage() {
  constexpr u64 kCloseOnExec = 1;
  lock();
  long fd = sys(__NR_memfd_create, addr("omig-image"), kCloseOnExec);
  if (fd >= 0) fd = move_high(static_cast<int>(fd));
  if (fd >= 0) __atomic_store_n(&state().stage_fd, static_cast<i32>(fd + 1), __ATOMIC_SEQ_CST);
  unlock();
  return fd < 0 ? fd : 0;
}

// To anywhere: the kernel writes, and says so if it cannot.
long read_to(u64 address, u64 count) {
  Private& st = state();
  while (count > 0) {
    const long got = sys(__NR_pread64, st.stage_fd - 1, address, count, st.stage_at);
    if (got <= 0) return got == 0 ? -EPROTO : got;
    st.stage_at += static_cast<u64>(got);
    address += static_cast<u64>(got);
    count -= static_cast<u64>(got);
  }
  return 0;
}

long read_stage(SlotBlock&, void* bytes, u64 count) { return read_to(addr(bytes), count); }

long carry_out_write(const wire::Frame& frame) {
  u64 address;
  if (frame.bytes < sizeof address) return -EPROTO;
  const long ret = read_to(addr(&address), sizeof address);
  return ret != 0 ? ret : read_to(address, frame.bytes - sizeof address);
}

long carry_out(SlotBlock& b, u32 slot, const wire::Frame& frame) {
  switch (frame.type) {
    case wire::Type::call: return carry_out_call(b, frame, read_stage);
    case wire::Type::write_memory: return carry_out_write(frame);
    case wire::Type::resume_state:
      if (slot >= anchor().slots_used || load(&block(slot).in_use) == 0) return -ESRCH;
      return take_resume_state(block(slot), frame, read_stage);
    default: return -EPROTO;
  }
}

}  // namespace

bool has_stage() { return state().stage_fd != 0; }

void drop_stage() {
  Private& st = state();
  close_fd(&st.stage_fd);
  st.stage_error = 0;
  st.stage_bytes = st.stage_at = 0;
}

long serve_stage(SlotBlock& b, const wire::Frame& frame) {
  Private& st = state();
  if (frame.bytes == 0) {
    drop_stage();
    return 0;
  }
  if (!has_stage() && st.stage_error == 0) st.stage_error = static_cast<i32>(open_stage());
  // The program's own limit for its files holds for this one as well, and whoever goes beyond it gets SIGXFSZ. The
  // process does nothing else meanwhile: its guest stands still.
  constexpr u64 kFileSize = 1;  // RLIMIT_FSIZE
  const RaisedLimit file_size(kFileSize, st.stage_bytes + frame.bytes);
  if (!file_size.enough() && st.stage_error == 0) st.stage_error = -EFBIG;
  if (st.stage_error != 0) return drain(b, frame.bytes);
  const long ret = recv_into_file(b, st.stage_fd - 1, st.stage_bytes, frame.bytes, &st.stage_error);
  st.stage_bytes += frame.bytes;
  return ret;
}

long carry_out_stage(SlotBlock& b) {
  Private& st = state();
  long ret = 0;
  store_and_wake(&st.carrying_out, 1u);
  while (ret == 0 && st.stage_at < st.stage_bytes) {
    struct {
      wire::Staged staged;
      wire::Frame frame;
    } head;
    ret = read_to(addr(&head), sizeof head);
    if (ret != 0) break;
    const u64 end = st.stage_at + head.frame.bytes;
    const long result = carry_out(b, head.staged.slot, head.frame);
    if (failed(result) && head.staged.may_fail == 0) ret = result;
    st.stage_at = end;
  }
  store_and_wake(&st.carrying_out, 0u);
  trim_scratch(b, 0);
  drop_stage();
  return ret;
}

}  // namespace omig::engine
