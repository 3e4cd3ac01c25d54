/* SPDX-License-Identifier: Apache-2.0
 * The engine's table of contents and what cannot be said in C++: entries with a foreign stack, the abortable system call,
 * clone with a new stack, sigreturn.
 *
 * Offsets of struct members are checked by static_asserts in call.cpp and batch.cpp. */
#define ABORT_SEQ 56          /* SlotBlock::abort_seq */
#define THREAD_STACK 8        /* ThreadStart::stack */
#define THREAD_RET 16         /* ThreadStart::ret */
#define NR_clone 56
#define NR_rt_sigreturn 15
#define NR_clone3 435
/* CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM */
#define THREAD_FLAGS 0x50f00

  .section .omig_head, "a"
  .balign 8
  .quad 0x000a656847494d4f    /* kEngineHeadMagic: wire::kVersion and the mark */
  .quad omig_gadget
  .quad omig_depart_entry
  .quad omig_batch_entry
  .quad omig_clone_thread
  .quad omig_image_end
  .quad omig_finish_write
  .quad omig_wait_first
  .quad omig_home_gadget

  .text
/* A tracer points rip here and steps with PTRACE_SYSCALL: an injected call. */
omig_gadget:
  syscall
park:
  int3
  jmp park

/* The image started as a program: a tracer takes it over at the exec stop. Without one it ends by SIGTRAP. */
  .globl omig_start
omig_start:
  int3
  jmp omig_start

omig_depart_entry:            /* rdi = slot, rsp = that slot's stack top - 8 */
  cld
  jmp omig_depart

omig_batch_entry:             /* rdi = BatchOp*, rsi = count, rsp 16-aligned */
  cld
  call omig_batch
  jmp park

omig_clone_thread:            /* rdi = ThreadStart*, rsp 16-aligned */
  cld
  mov %rdi, %rbx
  sub $88, %rsp
  xor %eax, %eax
  mov %rax, 8(%rsp)           /* pidfd */
  mov %rax, 16(%rsp)          /* child_tid */
  mov %rax, 24(%rsp)          /* parent_tid */
  mov %rax, 32(%rsp)          /* exit_signal */
  mov %rax, 56(%rsp)          /* tls */
  mov %rax, 64(%rsp)          /* set_tid */
  mov %rax, 72(%rsp)          /* set_tid_size */
  mov %rax, 80(%rsp)          /* cgroup */
  movq $THREAD_FLAGS, (%rsp)
  mov THREAD_STACK(%rbx), %rax
  sub $16, %rax
  mov %rax, 40(%rsp)          /* stack: its lowest byte ... */
  movq $16, 48(%rsp)          /* ... and size: the thread starts at their sum */
  cmpl $0, (%rbx)             /* ThreadStart::tid; 0: any */
  je 1f
  mov %rbx, 64(%rsp)
  movq $1, 72(%rsp)
1:
  mov $NR_clone3, %eax
  mov %rsp, %rdi
  mov $88, %esi
  syscall
  test %rax, %rax
  jz park                     /* the new thread */
  mov %rax, THREAD_RET(%rbx)
  add $88, %rsp
  jmp park

/* long omig_call(SlotBlock* b, const u64* args, long nr, u64 seq, u32* not_run)
 * One forwarded call, abortable without a race (SIGNALS.md R5): an abort that came before the syscall instruction is seen
 * by the comparison, or the handler moves rip from [begin, syscall] to notrun. An abort after it makes the kernel give
 * EINTR. */
  .section .omig_call, "ax"
  .globl omig_call, omig_call_begin, omig_call_syscall, omig_call_notrun
omig_call:
  push %rbx
  push %rbp
  push %r12
  mov %rdi, %rbp
  mov %rcx, %rbx
  mov %r8, %r12
  mov %rdx, %rax
  mov %rsi, %r11
  mov (%r11), %rdi
  mov 8(%r11), %rsi
  mov 16(%r11), %rdx
  mov 24(%r11), %r10
  mov 32(%r11), %r8
  mov 40(%r11), %r9
  .org 0x3a, 0x90             /* the syscall lies where head.h says */
omig_call_begin:
  cmp %rbx, ABORT_SEQ(%rbp)
  je omig_call_notrun
omig_call_syscall:
  syscall
  pop %r12
  pop %rbp
  pop %rbx
  ret
omig_call_notrun:
  movl $1, (%r12)
  mov $-4, %rax               /* -EINTR, meaningless */
  pop %r12
  pop %rbp
  pop %rbx
  ret

  .text
/* long omig_clone(flags, stack_top, parent_tid, child_tid, entry, argument): the child runs entry(argument), which never
 * returns, on its own stack. */
  .globl omig_clone
omig_clone:
  mov %rcx, %r10              /* child_tid */
  mov %r8, %rax
  mov %rax, -8(%rsi)
  mov %r9, -16(%rsi)
  sub $16, %rsi               /* the kernel gives the child this rsp: entry and argument lie on its stack */
  xor %r8d, %r8d              /* tls: inherited, never used */
  mov $NR_clone, %eax
  syscall
  test %rax, %rax
  jz 1f
  ret
1:
  xor %ebp, %ebp
  pop %rdi
  pop %rax
  call *%rax
  jmp park

  .globl omig_sigreturn
omig_sigreturn:               /* rdi = SignalFrame*: rsp is just behind its return address */
  lea 8(%rdi), %rsp
  jmp omig_restorer
/* A mover points rip here, and rsp just behind the return address of a signal frame: an injected call that finds back to
 * the program by itself should the mover die. */
omig_home_gadget:
  syscall
  .globl omig_restorer
omig_restorer:
  mov $NR_rt_sigreturn, %eax
  syscall
  jmp park

/* The rest of a write, with the program's own number and descriptor; rsp = FinishFrame*. rcx is lost as in any call. */
  .globl omig_finish_write
omig_finish_write:
  syscall
  test %rax, %rax
  js 2f
  add (%rsp), %rax
1:
  mov 8(%rsp), %rcx
  mov 16(%rsp), %rsi
  mov 24(%rsp), %rdx
  mov 32(%rsp), %rsp
  jmp *%rcx
2:
  mov (%rsp), %rax            /* after the first byte an error shows in the next call only */
  jmp 1b

/* A ppoll before a socket call that may not wait longer; rsp = WaitFrame*. */
  .globl omig_wait_first
omig_wait_first:
  syscall
  mov (%rsp), %rcx
  mov 16(%rsp), %rdi
  mov 24(%rsp), %rsi
  mov 32(%rsp), %rdx
  mov 40(%rsp), %r10
  mov 48(%rsp), %r8
  cmp $-4, %rax               /* EINTR: so has the call ended */
  je 2f
  test %rax, %rax
  jz 1f
  mov 8(%rsp), %rax           /* ready, or never waited: the call itself */
  mov 56(%rsp), %rsp
  jmp *%rcx
1:
  mov 64(%rsp), %rax
2:
  add $2, %rcx
  mov 56(%rsp), %rsp
  jmp *%rcx

  .section .note.GNU-stack, "", @progbits
