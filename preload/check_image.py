#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Proves that an image lives without a C library, from its ELF headers alone.

check_image.py engine FILE [--stamp OUT]: static, at its fixed address, file offset == memory offset, no writable segment,
no dynamic section, no TLS, no undefined symbol, no relocation.
check_image.py library FILE: at most 256 KiB, needs no library, no undefined symbol but three weak ones, no TLS, exports
nothing but the functions of CPU time.
"""
import struct
import sys

PT_LOAD, PT_DYNAMIC, PT_TLS = 1, 2, 7
SHT_SYMTAB, SHT_RELA, SHT_REL, SHT_DYNSYM = 2, 4, 9, 11
DT_NEEDED = 1
ENGINE_BASE = 0x480000000000
ENGINE_HEAD_MARK = 0x656847494D4F  # the version is above it
LIBRARY_BYTES = 256 * 1024
EXPORTED = {'clock', 'clock_gettime', 'getrusage', 'times', 'wait3', 'wait4'}
WEAK = {'dlsym', '__environ', '__errno_location'}


class Elf:
    def __init__(self, path):
        self.data = open(path, 'rb').read()
        assert self.data[:6] == b'\x7fELF\x02\x01', 'not a 64-bit little-endian ELF file'
        (self.type, _, _, self.entry, phoff, shoff, _, _, phsize, phnum, shsize, shnum, _) = struct.unpack_from(
            '<HHIQQQIHHHHHH', self.data, 16)
        # type, flags, offset, vaddr, paddr, filesz, memsz, align
        self.segments = [struct.unpack_from('<IIQQQQQQ', self.data, phoff + i * phsize) for i in range(phnum)]
        # name, type, flags, addr, offset, size, link, info, align, entsize
        self.sections = [struct.unpack_from('<IIQQQQIIQQ', self.data, shoff + i * shsize) for i in range(shnum)]

    def table(self, kinds, form):
        for section in self.sections:
            if section[1] in kinds:
                yield from struct.iter_unpack(form, self.data[section[4]:section[4] + section[5]])

    def symbols(self):
        """(name, binding, defined) of every symbol."""
        for section in self.sections:
            if section[1] not in (SHT_SYMTAB, SHT_DYNSYM):
                continue
            names = self.sections[section[6]]
            for name, info, _, index, _, _ in struct.iter_unpack('<IBBHQQ', self.data[section[4]:section[4] + section[5]]):
                if name:
                    at = names[4] + name
                    yield self.data[at:self.data.index(0, at)].decode(), info >> 4, index != 0

    def undefined(self):
        return [name for name, binding, defined in self.symbols() if not defined and not (binding == 2 and name in WEAK)]

    def relocations(self):
        return [r[1] & 0xFFFFFFFF for r in self.table((SHT_RELA,), '<QQq')]

    def dynamic(self):
        for segment in self.segments:
            if segment[0] == PT_DYNAMIC:
                return list(struct.iter_unpack('<QQ', self.data[segment[2]:segment[2] + segment[5]]))
        return []


def check_common(elf):
    yield not any(s[0] == PT_TLS for s in elf.segments), 'it has thread-local storage'
    yield not elf.undefined(), 'it has undefined symbols'
    yield not any(s[1] == SHT_REL for s in elf.sections), 'it has REL relocations'
    yield not any(d[0] == DT_NEEDED for d in elf.dynamic()), 'it needs another library'


def check_engine(elf):
    yield from check_common(elf)
    loads = [s for s in elf.segments if s[0] == PT_LOAD]
    yield elf.type == 2, 'it is not a static program at a fixed address'
    yield not elf.dynamic(), 'it has a dynamic section'
    yield not elf.relocations(), 'it has relocations'
    yield len(loads) == 1, 'it does not have exactly one loaded segment'
    _, flags, offset, address, _, file_bytes, memory_bytes, _ = loads[0]
    yield flags == 5, 'its segment is not read-and-execute only'
    yield offset == 0 and address == ENGINE_BASE, 'its file offsets are not its memory offsets'
    yield file_bytes == memory_bytes, 'it has memory that is not in the file'
    head = struct.unpack_from('<8Q', elf.data, 0x1000)
    yield head[0] & (1 << 48) - 1 == ENGINE_HEAD_MARK, 'its head is not at offset 0x1000'
    yield all(address < a <= address + memory_bytes for a in head[1:]), 'its head points out of the image'
    yield elf.data[head[1] - address:head[1] - address + 3] == b'\x0f\x05\xcc', 'its gadget is not syscall; int3'


def check_library(elf):
    yield from check_common(elf)
    yield len(elf.data) <= LIBRARY_BYTES, f'it has {len(elf.data)} bytes, more than {LIBRARY_BYTES}'
    yield elf.type == 3, 'it is not a shared library'
    # Relative ones, and those of the weak symbols and of its own exported functions.
    yield all(r in (6, 7, 8) for r in elf.relocations()), 'it has relocations other than relative ones and of symbols'
    exported = {name for name, _, defined in elf.symbols() if defined}
    yield exported == EXPORTED, f'it exports {sorted(exported)}: nothing else may take the place of the program\'s own'


def main():
    kind, path = sys.argv[1], sys.argv[2]
    elf = Elf(path)
    faults = [text for good, text in {'engine': check_engine, 'library': check_library}[kind](elf) if not good]
    for fault in faults:
        print(f'{path}: {fault}', file=sys.stderr)
    if faults:
        return 1
    if len(sys.argv) == 5 and sys.argv[3] == '--stamp':
        open(sys.argv[4], 'w').write('ok\n')
    return 0


sys.exit(main())
