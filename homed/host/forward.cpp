// SPDX-License-Identifier: Apache-2.0
// The front door: a notified call of a guest, carried to its deputy and back.
//
// One worker serves one notification from beginning to end, blocking as long as the call blocks at home; there is
// always another worker waiting for the next notification (a starved pool would make signals look as if they came
// before the call, SIGNALS.md "weak spots"). The wait in NOTIF_RECV itself is the fastest there is (KERNEL.md 1).
#include <errno.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cstring>

#include "homed/host/proc.h"
#include "homed/host/visit.h"

namespace omig::host {
namespace {

constexpr int kMaxIdleWorkers = 8;

// Whether `signal`, SIGTTIN or SIGTTOU, has its default effect on the guest.
bool stops_in_background(const GuestThread& t, int signal) {
  const auto masks = read_masks(t.status.get());
  return masks && ((masks->blocked | masks->ignored | masks->caught) & (1ull << (signal - 1))) == 0;
}

// Which argument of a call is a signal mask that holds while it waits; -1: none.
int mask_argument(u32 nr) {
  switch (nr) {
    case SYS_ppoll: return 3;
    case SYS_pselect6: return 5;
    case SYS_epoll_pwait:
    case 441 /* epoll_pwait2 */: return 4;
    default: return -1;
  }
}

// Leaves the bytes of the one output that a call of ours asked for. False: not what its result promises. Nobody here
// believes a deputy's numbers: its links are descriptors at home, which the guest can write to, and the bytes may end
// up in the guest.
bool keep_output(i64 ret, const wire::Out& out, std::vector<u8>* output) {
  if (ret < 0) {
    output->clear();
    return true;
  }
  u32 length = 0;
  const u64 promised = out.unit == 0 ? out.bytes : static_cast<u64>(ret);  // a byte each
  if (output->size() < sizeof length) return false;
  memcpy(&length, output->data(), sizeof length);
  if (promised > out.bytes || length != promised || output->size() - sizeof length != promised) return false;
  output->erase(output->begin(), output->begin() + sizeof length);
  return true;
}

// The engine's descriptors at home do not exist for the program.
bool touches_engine_descriptors(const Guest& guest, u32 nr, const u64 args[6]) {
  if (nr != SYS_close && nr != SYS_dup2 && nr != SYS_dup3) return false;
  const u32 fd = static_cast<u32>(nr == SYS_close ? args[0] : args[1]);
  return fd >= guest.guard_first && fd <= guest.guard_last;
}

}  // namespace

void Visit::start_worker() {
  ++idle_workers_;
  std::thread([this] { worker(); }).detach();
}

void Visit::worker() {
  WorkerBuffers buffers;
  for (;;) {
    seccomp_notif n{};
    if (ioctl(listener_.get(), SECCOMP_IOCTL_NOTIF_RECV, &n) != 0) {
      if (errno == EINTR) continue;
      pollfd hangup{listener_.get(), POLLIN, 0};
      if (errno == ENOENT && poll(&hangup, 1, 0) >= 0 && (hangup.revents & POLLHUP) == 0) continue;
      return;  // the last guest is gone
    }
    if (--idle_workers_ == 0) start_worker();
    serve(n, buffers);
    if (++idle_workers_ > kMaxIdleWorkers) {
      --idle_workers_;
      return;
    }
  }
}

void Visit::answer(u64 notification, i64 value) {
  seccomp_notif_resp response{};
  response.id = notification;
  if (value < 0 && value > -4096) {
    response.error = static_cast<i32>(value);
  } else {
    response.val = value;
  }
  ioctl(listener_.get(), SECCOMP_IOCTL_NOTIF_SEND, &response);  // ENOENT: it was killed meanwhile
}

void Visit::answer_continue(u64 notification) {
  seccomp_notif_resp response{};
  response.id = notification;
  response.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
  ioctl(listener_.get(), SECCOMP_IOCTL_NOTIF_SEND, &response);
}

// The deputy's links have ended: it is dead, or another program since an exec, or at home. Its guest must not outlive
// it.
void Visit::deputy_gone(Guest& guest) {
  const std::lock_guard lock(mutex_);
  if (!guest.ending && !guest.coming_home) {
    guest.ending = guest.parted = true;
    kill(guest.pid, SIGKILL);
    // If only one link was out of step the deputy lives: it must not wait for a guest that is gone.
    guest.ear.end();
    for (auto& [tid, t] : guest.threads) t->link.end();
  }
}

bool Visit::begin_call(GuestThread& t, bool abortable) {
  const std::lock_guard lock(mutex_);
  if (t.guest->freezing && abortable) return false;
  t.in_call = true;
  t.abortable = abortable;
  t.aborting = false;
  t.call_seq = ++t.seq;
  t.call_since = SteadyClock::now();
  return true;
}

bool Visit::cut_by_freeze(const GuestThread& t) {
  const std::lock_guard lock(mutex_);
  return t.aborting && t.guest->freezing;
}

void Visit::end_call(GuestThread& t) {
  const std::lock_guard lock(mutex_);
  t.in_call = false;
  t.aborting = false;
}

// The thread that waits for an answer to a new call, and what a move had cut short of the one before.
std::shared_ptr<GuestThread> Visit::begin_serving(pid_t tid, CutCall* before) {
  const std::lock_guard lock(mutex_);
  const auto it = threads_.find(tid);
  if (it == threads_.end()) return nullptr;
  GuestThread& t = *it->second;
  *before = std::exchange(t.cut, CutCall{});
  t.eintr_ok = false;
  t.temporary_mask.reset();
  return it->second;
}

void Visit::serve(const seccomp_notif& n, WorkerBuffers& buffers) {
  take_over();
  CutCall before;
  const auto t = begin_serving(static_cast<pid_t>(n.pid), &before);
  if (!t) {
    answer(n.id, -ENOSYS);
    return;
  }
  ++t->guest->calls;
  const u32 nr = static_cast<u32>(n.data.nr);
  u64 args[6];
  for (int i = 0; i < 6; ++i) args[i] = n.data.args[i];
  const syscalls::Row* row = syscalls::find(nr);
  if (row == nullptr || row->route == syscalls::Route::come_home) {
    request_home(t, n.id,
                 fmt::format("needs {}", row == nullptr ? fmt::format("syscall {}", nr) : std::string(row->name)));
    return;
  }
  if (row->route == syscalls::Route::absent) {
    answer(n.id, -ENOSYS);
    return;
  }
  if (row->route ==
      syscalls::Route::local) {  // only some of its arguments are local: nothing here says so, let it pass
    answer_continue(n.id);
    return;
  }
  if (touches_engine_descriptors(*t->guest, nr, args)) {
    answer(n.id, -EBADF);
    return;
  }
  if (const char* reason = needs_segments_home(*t->guest, *row, args); reason != nullptr) {
    request_home(t, n.id, reason);
    return;
  }
  if (row->route == syscalls::Route::special && special(t, n, *row, args, buffers)) return;
  forward(t, n, *row, args, before, buffers);
}

void Visit::forward(const std::shared_ptr<GuestThread>& t, const seccomp_notif& n, const syscalls::Row& row,
                    const u64 args[6], CutCall before, WorkerBuffers& buffers) {
  GuestMemory memory(t->guest->pid);
  u64 own_args[6];
  memcpy(own_args, args, sizeof own_args);
  const bool all = transfers_all(row.nr, own_args);
  if (all) own_args[1] += before.done_bytes, own_args[2] -= before.done_bytes;
  if (const int at = mask_argument(row.nr); at >= 0 && args[at] != 0) {
    u64 mask_address = args[at], mask = 0;
    // pselect6 has one more indirection: {pointer, size}.
    if (row.nr == SYS_pselect6 && !memory.read(GuestAddr{args[at]}, &mask_address, sizeof mask_address))
      mask_address = 0;
    if (mask_address != 0 && memory.read(GuestAddr{mask_address}, &mask, sizeof mask)) {
      t->temporary_mask = mask;
      t->temporary_mask_address = mask_address;
    }
  }
  switch (syscalls::gather(row, own_args, memory, &buffers.call)) {
    case syscalls::Gathered::error: answer(n.id, buffers.call.error); return;
    case syscalls::Gathered::come_home: request_home(t, n.id, fmt::format("needs {}", row.name)); return;
    case syscalls::Gathered::ready: break;
  }
  buffers.time_over_ns = wait_the_rest(*t, n, buffers.call);
  wire::Reply reply;
  if (!exchange(t, n.id, row, before, buffers, &reply)) return;
  // The deputy blocks SIGTTIN and SIGTTOU, with which the kernel stops background jobs: once more, as natively.
  const bool in_background = (reply.flags & wire::kReplyInBackground) != 0;
  if (in_background || (reply.ret == -EIO && row.nr == SYS_read && stops_in_background(*t, SIGTTIN))) {
    if (!buffers.reply.finish()) return deputy_gone(*t->guest);
    end_call(*t);
    wire::Call call;
    u8* body = buffers.call.message.data() + sizeof(wire::Frame);
    memcpy(&call, body, sizeof call);
    call.flags &= ~wire::kCallMindsBackground;
    if (!in_background || stops_in_background(*t, SIGTTOU)) call.flags |= wire::kCallStopsInBackground;
    memcpy(body, &call, sizeof call);
    if (!exchange(t, n.id, row, before, buffers, &reply)) return;
  }
  const bool cut_short = (reply.flags & (wire::kReplyNotRun | wire::kReplyAborted)) != 0;
  // Before anything is written: the time left may go to where the time wanted is read again (sleep(3) passes one
  // address).
  if (cut_short) remember_wait(*t, n, reply);
  const bool is_sleep = row.nr == SYS_nanosleep || row.nr == SYS_clock_nanosleep;
  const bool program_sees_it = (reply.flags & wire::kReplyAborted) != 0 && !t->guest->freezing;
  i64 value = cut_short && is_sleep && !program_sees_it ? reply.ret
                                                        : syscalls::scatter(buffers.call, reply, buffers.reply, memory);
  if (!buffers.reply.finish()) return deputy_gone(*t->guest);
  if (cut_short && buffers.timed_out) {
    t->sleep_deadline_ns = 0;
    const i64 over = before.done_bytes != 0 ? static_cast<i64>(before.done_bytes) : answer_of_time_over(*t, n);
    end_call(*t);
    answer(n.id, over);
    return;
  }
  // A blocking write ends with the count so far when it is interrupted; what only a freeze has cut goes on.
  if (all && value > 0 && static_cast<u64>(value) < own_args[2] && cut_by_freeze(*t) &&
      (row.nr != SYS_recvfrom || is_stream(*t, own_args[0]))) {
    t->cut = {wire::CutShort::restart, before.done_bytes + static_cast<u64>(value)};
    interrupted(t, n.id, false);
    return;
  }
  if (before.done_bytes != 0 && (!cut_short || program_sees_it)) {
    end_call(*t);
    answer(n.id, static_cast<i64>(before.done_bytes) + std::max<i64>(value, 0));
    return;
  }
  if (cut_short) {
    const bool aborted = (reply.flags & wire::kReplyAborted) != 0;
    t->restart = row.restart;
    if ((reply.flags & wire::kReplyTimesOut) != 0) t->restart = syscalls::Restart::always_eintr;
    t->cut = before;
    if (aborted)
      t->cut.how = t->restart == syscalls::Restart::restartable ? wire::CutShort::restart : wire::CutShort::eintr;
    interrupted(t, n.id, aborted);
    return;
  }
  if (t->restart_at_home) {
    const std::lock_guard lock(mutex_);  // a freeze looks at threads that run
    t->restart_at_home = false;
  }
  t->sleep_deadline_ns = 0;
  if (row.nr == SYS_getdents64) value = hide_engine_entries(*t, args, value);
  complete_usage(*t, row.nr, args, value);
  note_opened(*t, row.nr, value);
  if ((reply.flags & (wire::kReplySigpipe | wire::kReplySigxfsz)) != 0) {
    siginfo_t info{};
    info.si_signo = (reply.flags & wire::kReplySigpipe) != 0 ? SIGPIPE : SIGXFSZ;
    info.si_code = SI_USER;
    info.si_pid = t->guest->home_pid;
    info.si_uid = t->guest->home_uid;
    end_call(*t);
    deliver_thread(*t, info);
  }
  end_call(*t);
  if (row.nr == SYS_signalfd || row.nr == SYS_signalfd4) after_signalfd(*t, n, value);
  answer(n.id, value);
}

bool Visit::exchange(const std::shared_ptr<GuestThread>& t, u64 notification, const syscalls::Row& row, CutCall before,
                     WorkerBuffers& buffers, wire::Reply* reply) {
  if (!begin_call(*t, row.restart != syscalls::Restart::never)) {
    t->restart = row.restart;
    t->cut = before;
    interrupted(t, notification, false);
    return false;
  }
  buffers.call.frame().seq = t->call_seq;
  buffers.timed_out = false;
  if (!t->link.send(buffers.call.message.data(), buffers.call.message.size()) ||
      (buffers.time_over_ns != 0 && !end_in_time(*t, buffers)) || !buffers.reply.begin(t->link, t->call_seq, reply)) {
    deputy_gone(*t->guest);  // the notification dies with the guest
    return false;
  }
  if ((reply->flags & wire::kReplyPastImage) != 0) note_effect(*t->guest, buffers.call, reply->ret);
  await_signals(*t->guest, reply->signals);
  return true;
}

long Visit::home_call(GuestThread& t, u32 nr, std::initializer_list<u64> args, std::span<const u8> input,
                      std::span<const wire::Reloc> relocs, std::span<const wire::Out> outs, std::vector<u8>* output) {
  u64 six[6] = {};
  std::copy(args.begin(), args.end(), six);
  u32 scratch = static_cast<u32>(input.size());
  for (const wire::Out& out : outs) scratch = std::max(scratch, out.offset + out.bytes);
  syscalls::Prepared call;
  syscalls::build_call(nr, six, input, relocs, outs, scratch, &call);
  wire::Reply reply;
  std::vector<u8> ignored;
  std::vector<u8>* to = output != nullptr ? output : &ignored;
  for (;;) {
    const u64 seq = ++t.seq;  // a new one each time: an abort names the one it means
    call.frame().seq = seq;
    if (!t.link.send(call.message.data(), call.message.size()) || !receive_reply(t.link, seq, &reply, to)) {
      deputy_gone(*t.guest);
      return -EPIPE;
    }
    await_signals(*t.guest, reply.signals);
    if ((reply.flags & (wire::kReplyNotRun | wire::kReplyAborted)) != 0) continue;
    if (output == nullptr || keep_output(reply.ret, outs.front(), output)) return reply.ret;
    fmt::print(stderr, "omig-host: {}: its deputy's answer to call {} is not what its result promises\n",
               t.guest->home_pid, nr);
    deputy_gone(*t.guest);
    return -EPIPE;
  }
}

// Waits for the reply until the socket's time-out is over, and cuts the call then. False: the link has ended.
bool Visit::end_in_time(GuestThread& t, WorkerBuffers& buffers) {
  if (t.link.has_input()) return true;
  pollfd link{t.link.get(), POLLIN, 0};
  timespec left = time_left(buffers.time_over_ns);
  constexpr long kShortest_ns = 1'000'000;  // the call must have begun: it may find what has come meanwhile
  if (left.tv_sec == 0) left.tv_nsec = std::max(left.tv_nsec, kShortest_ns);
  int ready;
  while ((ready = ppoll(&link, 1, &left, nullptr)) < 0 && errno == EINTR) left = time_left(buffers.time_over_ns);
  if (ready != 0) return ready > 0;
  const std::lock_guard lock(mutex_);
  buffers.timed_out = !t.aborting;
  kick(t);
  return true;
}

bool Visit::is_stream(GuestThread& t, u64 fd) {
  const i32 input[2] = {0, sizeof(i32)};  // value, length
  i32 type = 0;
  const wire::Reloc relocs[] = {{3, 0}, {4, sizeof type}};
  const wire::Out outs[] = {{0, sizeof type, 0, 0, ~0u}};
  std::vector<u8> output;
  if (home_call(t, SYS_getsockopt, {fd, SOL_SOCKET, SO_TYPE, 0, 0}, {reinterpret_cast<const u8*>(input), sizeof input},
                relocs, outs, &output) != 0) {
    return false;
  }
  memcpy(&type, output.data(), sizeof type);
  return type == SOCK_STREAM;
}

}  // namespace omig::host
