/* SPDX-License-Identifier: Apache-2.0
 * void spin_registers(const u64* pattern, u64* result, const u8* vectors, u8* vectors_out)
 * Loads every register, waits until omig_flag is not 0, and stores every register.
 * pattern, result: rax rbx rcx rdx rsi rdi rbp r8..r15 (15 words) and rflags. vectors: 16 times 32 bytes, then mxcsr and
 * the x87 control word. */
  .bss
  .globl omig_flag
  .balign 8
omig_flag: .skip 8
saved_rsp: .skip 8
saved_result: .skip 8
saved_vectors: .skip 8
fp_words: .skip 16
  .text
  .globl spin_registers, spin_loop
spin_registers:
  push %rbx
  push %rbp
  push %r12
  push %r13
  push %r14
  push %r15
  mov %rsp, saved_rsp(%rip)
  mov %rsi, saved_result(%rip)
  mov %rcx, saved_vectors(%rip)
  .set i, 0
  .rept 16
  .altmacro
  .macro load_ymm n
  vmovdqu \n*32(%rdx), %ymm\n
  .endm
  load_ymm %i
  .purgem load_ymm
  .set i, i+1
  .endr
  ldmxcsr 512(%rdx)
  fninit
  fldcw 516(%rdx)
  fldpi
  fld1
  mov %rdi, %rax
  mov 8(%rax), %rbx
  mov 16(%rax), %rcx
  mov 24(%rax), %rdx
  mov 32(%rax), %rsi
  mov 40(%rax), %rdi
  mov 48(%rax), %rbp
  mov 56(%rax), %r8
  mov 64(%rax), %r9
  mov 72(%rax), %r10
  mov 80(%rax), %r11
  mov 88(%rax), %r12
  mov 96(%rax), %r13
  mov 104(%rax), %r14
  mov 112(%rax), %r15
  mov (%rax), %rax
spin_loop:
  cmpq $0, omig_flag(%rip)
  je spin_loop
  pushfq
  push %rax
  mov saved_result(%rip), %rax
  mov %rbx, 8(%rax)
  mov %rcx, 16(%rax)
  mov %rdx, 24(%rax)
  mov %rsi, 32(%rax)
  mov %rdi, 40(%rax)
  mov %rbp, 48(%rax)
  mov %r8, 56(%rax)
  mov %r9, 64(%rax)
  mov %r10, 72(%rax)
  mov %r11, 80(%rax)
  mov %r12, 88(%rax)
  mov %r13, 96(%rax)
  mov %r14, 104(%rax)
  mov %r15, 112(%rax)
  pop %rbx
  mov %rbx, (%rax)
  pop %rbx
  mov saved_vectors(%rip), %rdx
  .set i, 0
  .rept 16
  .macro store_ymm n
  vmovdqu %ymm\n, \n*32(%rdx)
  .endm
  store_ymm %i
  .purgem store_ymm
  .set i, i+1
  .endr
  stmxcsr 512(%rdx)
  fnstcw 516(%rdx)
  fstpl 520(%rdx)
  fstpl 528(%rdx)
  movl $0x1f80, fp_words(%rip)
  ldmxcsr fp_words(%rip)
  fninit
  vzeroupper
  mov saved_rsp(%rip), %rsp
  pop %r15
  pop %r14
  pop %r13
  pop %r12
  pop %rbp
  pop %rbx
  ret

/* A thread that exists only after a move: writes one line and ends. No libc, no TLS. */
  .globl spare_thread
spare_thread:
  mov $1, %eax
  mov $1, %edi
  lea spare_text(%rip), %rsi
  mov $11, %edx
  syscall
  mov $60, %eax
  xor %edi, %edi
  syscall
  hlt
  .section .rodata
spare_text: .ascii "spare runs\n"
  .section .note.GNU-stack, "", @progbits
