/* SPDX-License-Identifier: Apache-2.0
 * The engine's ELF file inside of libomig.so: whole pages of the executable segment, so that they can be moved. */
  .section .omig_engine, "ax", @progbits
  .balign 4096
  .globl omig_engine_image, omig_engine_image_end
  .hidden omig_engine_image, omig_engine_image_end
omig_engine_image:
  .incbin OMIG_ENGINE_IMAGE
  .balign 4096, 0xcc
omig_engine_image_end:
  .section .note.GNU-stack, "", @progbits
