// SPDX-License-Identifier: Apache-2.0
// The deputy's life while the guest is away: read a frame, do it, answer. One such loop per thread of the guest, each
// on its own link, so a blocked call blocks only its own caller, as it would natively.
#include "preload/engine/state.h"

namespace omig::engine {
namespace {

// Returns 0, or why the link cannot be used any more. An unknown frame is such a reason: nothing is guessed.
long handle(SlotBlock& b, const wire::Frame& frame) {
  switch (frame.type) {
    case wire::Type::call: return serve_call(b, frame);
    case wire::Type::write_memory: return serve_write_memory(b, frame);
    case wire::Type::fork: return serve_fork(b, frame);
    case wire::Type::new_thread: return serve_new_thread(b, frame);
    case wire::Type::exec: return serve_exec(b, frame);
    case wire::Type::exit_thread:
    case wire::Type::exit_group: return serve_exit(b, frame);
    case wire::Type::relink: return serve_relink(b, frame);
    case wire::Type::account: return serve_account(b, frame);
    case wire::Type::resume_state: return serve_resume_state(b, frame);
    case wire::Type::go: return serve_go(b, frame);
    case wire::Type::image: return serve_image(b, frame);
    case wire::Type::stage: return serve_stage(b, frame);
    default: return -EPROTO;
  }
}

}  // namespace

u64 append(char* line, u64 at, u64 limit, const char* text) {
  while (*text != 0 && at < limit) line[at++] = *text++;
  return at;
}

u64 append_number(char* line, u64 at, u64 number) {
  char digits[20];
  u64 count = 0;
  do digits[count++] = static_cast<char>('0' + number % 10);
  while ((number /= 10) != 0);
  while (count > 0) line[at++] = digits[--count];
  return at;
}

void serve(SlotBlock& b) {
  set_mask(~bit(wire::kAbortSignal));
  for (;;) {
    wire::Frame frame;
    if (recv_exact(b, &frame, sizeof frame) != 0 || frame.bytes > wire::kMaxFrame) lost(b);
    if (handle(b, frame) != 0) lost(b);
  }
}

// One write, so that lines of several processes do not mix. Whoever holds the other end of fd 2 may not read: then the
// line is dropped after a second, the process must not hang on it.
void say(const char* a, const char* b, u64 number, const char* c) {
  char line[256];
  constexpr u64 kLimit = sizeof line - 24;
  u64 at = append(line, 0, kLimit, a);
  at = append(line, at, kLimit, b);
  at = append(line, at, kLimit, " that process ");
  at = append_number(line, at, number);
  at = append(line, at, sizeof line, c);
  Pollfd poll{2, kPollOut, 0};
  if (sys(__NR_poll, addr(&poll), 1, 1000) == 1 && (poll.revents & kPollOut)) sys(__NR_write, 2, addr(line), at);
}

// Unless home has an image to go on from, there is no way to continue: the only copy of the guest went with its node.
// SIGKILL because nothing of the program is left here that could run a handler.
void lost(SlotBlock& b) {
  restart(b);
  const u64 pid = static_cast<u64>(sys(__NR_getpid));
  u32 nobody = 0;
  if (__atomic_compare_exchange_n(&state().lost_announced, &nobody, 1, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
    const bool was_protected = state().image_ms != 0;
    say("omig: the node ", anchor().node, pid,
        was_protected ? " was visiting is gone; the process ends (status 137): since its last image it has done what "
                        "must not be done twice\n"
                      : " was visiting is gone; the process ends (status 137)\n");
    for (;;) sys(__NR_kill, pid, 9);
  }
  for (;;) sys(__NR_pause);
}

bool try_lock() {
  u32 seen = 0;
  return __atomic_compare_exchange_n(&state().lock, &seen, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

void lock() {
  u32* word = &state().lock;
  if (try_lock()) return;
  while (__atomic_exchange_n(word, 2, __ATOMIC_ACQUIRE) != 0) futex_wait(word, 2);
}

void unlock() {
  if (__atomic_exchange_n(&state().lock, 0, __ATOMIC_RELEASE) == 2) futex_wake_all(&state().lock);
}

}  // namespace omig::engine
