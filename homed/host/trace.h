// SPDX-License-Identifier: Apache-2.0
// ptrace primitives: what can be learned from and done to one stopped thread. Every function here must be called by
// the thread that attached (ptrace binds tracer threads, not processes).
#pragma once

#include <csignal>
#include <functional>
#include <optional>
#include <span>
#include <string>

#include "lib/image/image.h"
#include "preload/engine/head.h"

namespace omig::host {

// Fills regs, xsave, sigmask, rseq, robust list and name; registers are as at the stop. false: the thread is gone.
bool capture_thread(pid_t tid, image::Thread* thread);

// Turns the registers of a stop into ones that continue the program elsewhere: an interrupted syscall is re-issued
// (KERNEL.md 2). `signal_pending`: an unblocked signal waits, so an -EINTR may be the program's own and stays.
void normalise_restart(pid_t pid, image::Thread* thread, bool signal_pending);
// Before it, at home, with no signal pending: a blocking write (or a recv with MSG_WAITALL) that the freeze ended with
// the count so far counts as interrupted, and done_bytes says how far it was; also in the engine's finish_write, which
// disappears from the registers.
void cut_write(pid_t pid, u64 finish_write, image::Thread* thread);
// And for a thread that is let go again: `here` writes the rest in finish_write. False: its stack has no room for that,
// and the program sees the count so far.
bool finish_write_here(pid_t pid, u64 finish_write, const image::Thread& thread, user_regs_struct* here);
// The engine's own code is running in it: a moment after coming home its frame is still in use.
bool in_engine(const user_regs_struct& regs);

bool set_registers(pid_t tid, const user_regs_struct& regs);
bool get_registers(pid_t tid, user_regs_struct* regs);
bool set_xsave(pid_t tid, const image::Thread& thread);
bool set_mask(pid_t tid, u64 mask);
bool get_mask(pid_t tid, u64* mask);

// Calls that transfer all of args[2] bytes at args[1] unless they are interrupted: write, send, recv with MSG_WAITALL.
// The last one only on a stream; that is the caller's to ask, if such a call ended early.
bool transfers_all(u64 nr, const u64 args[6]);

// Executes one syscall in a stopped thread through the engine's gadget, by two syscall stops; nothing is left of it but
// its effect and `regs` must be put back by the caller. Needs PTRACE_O_TRACESYSGOOD and all signals blocked. -ESRCH:
// the thread died.
long inject_syscall(pid_t tid, u64 gadget, long nr, std::span<const u64> args);
// Its two halves: the registers of the call (rsp 0: as it is), and the two stops; the call's result is a negative errno
// or not, -ESRCH when the thread has died.
bool prepare_injection(pid_t tid, u64 gadget, long nr, std::span<const u64> args, u64 rsp);
long run_injection(pid_t tid);

// Where the guest's tracer works inside the guest: mapped at kAnchorAddress there.
inline constexpr u64 kWorkBytes = 0x40000;
inline constexpr u64 kWorkOps = kAnchorAddress + 0x1000;
inline constexpr u64 kWorkOpsMax = 800;
inline constexpr u64 kWorkData = kAnchorAddress + 0x10000;
inline constexpr u64 kWorkDataBytes = 0x10000;
inline constexpr u64 kWorkStackTop = kAnchorAddress + kWorkBytes;

// Runs syscalls in a stopped guest thread by the engine's batch entry. The thread's registers and mask are changed and
// not put back. 0, the first failing op's negative errno (`failed` says which), or -ESRCH when the thread died.
// `while_running` is polled until the batch ends: the tracer answers notifications of injected calls there.
long run_batch(pid_t tid, const EngineHead& head, std::span<BatchOp> ops, size_t* failed = nullptr,
               const std::function<void()>& while_running = {});

// Resumes with entry(rdi) and waits for the int3 that ends it. false: died.
bool run_until_trap(pid_t tid, u64 entry, u64 rdi, u64 rsi, const std::function<void()>& while_running = {});

// A batch's int3 takes an ignored SIGTRAP's action away (force_sig): sets it again, without another int3. The thread's
// registers and mask must be put back afterwards.
void ignore_sigtrap_again(pid_t tid, const EngineHead& head, const wire::KernelSigaction& action);

bool read_memory(pid_t pid, u64 from, void* to, u64 bytes);
bool write_memory(pid_t pid, u64 to, const void* from, u64 bytes);

// The engine's head, read from its file (the same image everywhere).
EngineHead load_engine_head(const std::string& engine_path);

// Signals that wait for one stopped thread (home_tid names it) or, `shared`, for its process.
std::vector<image::Pending> peek_pending(pid_t tid, i32 home_tid, bool shared);

// The XSAVE image and registers of a thread as a frame for rt_sigreturn, to be placed at `at`.
std::vector<u8> make_signal_frame(const image::Thread& thread, u64 at);

}  // namespace omig::host
