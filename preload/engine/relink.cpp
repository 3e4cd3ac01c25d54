// SPDX-License-Identifier: Apache-2.0
// The guest moves on to another node: every deputy thread links to the new host while it keeps the old link. The new
// host's word to the leader, or the end of that link, decides for all of them.
//
// A thread may come to its relink frame after the leader has decided: so the decision carries a generation number. All
// deputy threads take part in every relink, so their own counts agree.
#include "preload/engine/state.h"

namespace omig::engine {
namespace {

void shut_down(i32 holder) {
  if (holder > 0) sys(__NR_shutdown, static_cast<u64>(holder - 1), 2);
}

// The leader waits on its new link; end it for it.
void fail_leader(u32 generation) {
  Private& st = state();
  __atomic_store_n(&st.relink_failed, generation, __ATOMIC_SEQ_CST);
  shut_down(__atomic_load_n(&st.relink_fd, __ATOMIC_SEQ_CST));
}

u32 wait_for_result(u32 generation) {
  Private& st = state();
  for (;;) {
    const u32 result = load(&st.relink_result);
    if ((result >> 2) == generation) return result & 3;
    futex_wait(&st.relink_result, result);
  }
}

void decide(u32 generation, u32 result) { store_and_wake(&state().relink_result, generation << 2 | result); }

long open_ear_link(const Peer& peer) {
  Private& st = state();
  wire::ProcessExtra actions;
  fill_extra(&actions);
  actions.actions[wire::kAbortSignal - 1] = st.abort_action;
  // Kept apart until the decision: the ear takes what stands in ear_next_fd at once.
  i32 holder = 0;
  const i32 tid = static_cast<i32>(load(&st.ear_tid));
  const long ret = open_link({&holder, seals_of(block(kEarSlot), 1)}, peer,
                             {wire::Role::ear, kEarSlot, tid, &actions, sizeof actions});
  return ret != 0 ? ret : holder;
}

void note_new_host(const wire::Relink& relink, const wire::Running& running) {
  Anchor& a = anchor();
  memcpy(a.host_address, relink.address, sizeof a.host_address);
  a.host_port = relink.port;
  memcpy(a.token, relink.token, sizeof a.token);
  memcpy(a.node, running.node[0] != 0 ? running.node : relink.node, sizeof a.node);
  a.node[sizeof a.node - 1] = 0;
  a.moves++;
}

// The leader's part. Returns the sequence number of `running` in *seq when the guest moved.
u32 lead(SlotBlock& b, const wire::Relink& relink, u32 generation, u64* seq) {
  Private& st = state();
  const Peer peer{relink.address, relink.port, relink.token};
  __atomic_store_n(&st.relink_fd, b.next_link_fd, __ATOMIC_SEQ_CST);
  long ear = -ECONNABORTED;
  struct {
    wire::Frame frame;
    wire::Running running;
  } word;
  bool moved = false;
  if (b.next_link_fd > 0 && load(&st.relink_failed) != generation) ear = open_ear_link(peer);
  if (ear > 0)
    moved = recv_one(next_link(b), &word, sizeof word) == 0 && word.frame.type == wire::Type::running &&
            word.frame.bytes == sizeof word.running && load(&st.relink_failed) != generation;
  __atomic_store_n(&st.relink_fd, 0, __ATOMIC_SEQ_CST);
  if (moved) {
    *seq = word.frame.seq;
    note_new_host(relink, word.running);
    __atomic_store_n(&st.ear_next_fd, static_cast<i32>(ear), __ATOMIC_SEQ_CST);
    wake_ear();
  } else if (ear > 0) {
    i32 holder = static_cast<i32>(ear);
    close_fd(&holder);
  }
  decide(generation, moved ? kRelinkMoved : kRelinkStays);
  __atomic_store_n(&st.relinking, 0, __ATOMIC_SEQ_CST);
  return moved ? kRelinkMoved : kRelinkStays;
}

}  // namespace

long serve_relink(SlotBlock& b, const wire::Frame& frame) {
  wire::Relink relink;
  if (frame.bytes != sizeof relink) return -EPROTO;
  Private& st = state();
  if (const long ret = recv_exact(b, &relink, sizeof relink); ret != 0) return ret;
  // From here on the ear does not take the end of its old link for the end of the guest.
  if (relink.leader) __atomic_store_n(&st.relinking, 1, __ATOMIC_SEQ_CST);
  const u32 generation = ++b.relinks;
  const wire::ThreadExtra extra;
  const Peer peer{relink.address, relink.port, relink.token};
  follow_signals(b);
  const long linked = open_link(next_link(b), peer, {wire::Role::thread, b.slot, b.tid, &extra, sizeof extra});
  u64 running_seq = 0;
  u32 result;
  if (relink.leader) {
    result = lead(b, relink, generation, &running_seq);
  } else {
    if (linked != 0) fail_leader(generation);
    result = wait_for_result(generation);
  }
  if (result != kRelinkMoved) {
    close_fd(&b.next_link_fd);
    return send_reply(b, frame.seq, -ECONNRESET);
  }
  lock();  // a fork by a thread that is further may not copy the descriptor while nobody has noted it
  close_fd(&b.link_fd);
  b.link_fd = __atomic_exchange_n(&b.next_link_fd, 0, __ATOMIC_SEQ_CST);
  unlock();
  seals_of(b) = seals_of(b, 1);
  forget_input(b);
  return relink.leader ? send_reply(b, running_seq, 0) : 0;
}

}  // namespace omig::engine
