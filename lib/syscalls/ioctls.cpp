// SPDX-License-Identifier: Apache-2.0
// ioctl by request. Old requests are plain numbers, so their layouts are listed; newer ones encode direction and size
// (_IOC), but may hide pointers inside the structure, so only families known to be plain are served by their encoding.
// Everything else comes home.
//
// The sizes of old requests are the kernel's, not glibc's (its struct termios is larger). Where an encoded size lies
// (FS_IOC_GETFLAGS says long and means int), the request is in the list as well: the list is asked first.
#include <asm/ioctls.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <linux/if.h>
#include <linux/kd.h>
#include <linux/sockios.h>
#include <linux/vt.h>

#include <algorithm>

#include "lib/syscalls/plan.h"

namespace omig::syscalls {
namespace {

enum class Way : u8 { number, in, out, both };

struct Request {
  u32 code;
  Way way;
  u32 bytes;
};

constexpr u32 kTermios = 36, kTermios2 = 44, kTermio = 18, kWinsize = 8, kSerial = 72, kIcounter = 80;
constexpr u32 kIfreq = 40, kArpreq = 68;
static_assert(sizeof(ifreq) == kIfreq);

constexpr u32 kTcgets2 = 0x802c542a, kTcsets2 = 0x402c542b, kTcsetsw2 = 0x402c542c, kTcsetsf2 = 0x402c542d;

constexpr Request kTerminal[] = {
    {TCGETS, Way::out, kTermios},
    {TCSETS, Way::in, kTermios},
    {TCSETSW, Way::in, kTermios},
    {TCSETSF, Way::in, kTermios},
    {TCGETA, Way::out, kTermio},
    {TCSETA, Way::in, kTermio},
    {TCSETAW, Way::in, kTermio},
    {TCSETAF, Way::in, kTermio},
    {kTcgets2, Way::out, kTermios2},
    {kTcsets2, Way::in, kTermios2},
    {kTcsetsw2, Way::in, kTermios2},
    {kTcsetsf2, Way::in, kTermios2},
    {TCSBRK, Way::number, 0},
    {TCXONC, Way::number, 0},
    {TCFLSH, Way::number, 0},
    {TIOCEXCL, Way::number, 0},
    {TIOCNXCL, Way::number, 0},
    {TIOCSCTTY, Way::number, 0},
    {TIOCGPGRP, Way::out, 4},
    {TIOCSPGRP, Way::in, 4},
    {TIOCOUTQ, Way::out, 4},
    {TIOCSTI, Way::in, 1},
    {TIOCGWINSZ, Way::out, kWinsize},
    {TIOCSWINSZ, Way::in, kWinsize},
    {TIOCMGET, Way::out, 4},
    {TIOCMBIS, Way::in, 4},
    {TIOCMBIC, Way::in, 4},
    {TIOCMSET, Way::in, 4},
    {TIOCGSOFTCAR, Way::out, 4},
    {TIOCSSOFTCAR, Way::in, 4},
    {FIONREAD, Way::out, 4},
    {TIOCCONS, Way::number, 0},
    {TIOCGSERIAL, Way::out, kSerial},
    {TIOCSSERIAL, Way::in, kSerial},
    {TIOCPKT, Way::in, 4},
    {FIONBIO, Way::in, 4},
    {TIOCNOTTY, Way::number, 0},
    {TIOCSETD, Way::in, 4},
    {TIOCGETD, Way::out, 4},
    {TCSBRKP, Way::number, 0},
    {TIOCSBRK, Way::number, 0},
    {TIOCCBRK, Way::number, 0},
    {TIOCGSID, Way::out, 4},
    {TIOCVHANGUP, Way::number, 0},
    {FIONCLEX, Way::number, 0},
    {FIOCLEX, Way::number, 0},
    {FIOASYNC, Way::in, 4},
    {TIOCSERGETLSR, Way::out, 4},
    {TIOCMIWAIT, Way::number, 0},
    {TIOCGICOUNT, Way::out, kIcounter},
    {TIOCGPTN, Way::out, 4},
    {TIOCSPTLCK, Way::in, 4},
    {TIOCGPTLCK, Way::out, 4},
    {TIOCGPTPEER, Way::number, 0},
    {TIOCGDEV, Way::out, 4},
    {TIOCSIG, Way::number, 0},
    {TIOCGPKT, Way::out, 4},
    {TIOCGEXCL, Way::out, 4},
    {FIOQSIZE, Way::out, 8},
    // The text console.
    {KDGKBTYPE, Way::out, 1},
    {KDGETMODE, Way::out, 4},
    {KDSETMODE, Way::number, 0},
    {KDGKBMODE, Way::out, 4},
    {KDSKBMODE, Way::number, 0},
    {KDGETLED, Way::out, 1},
    {KDSETLED, Way::number, 0},
    {KDGKBLED, Way::out, 1},
    {KDSKBLED, Way::number, 0},
    {KIOCSOUND, Way::number, 0},
    {KDMKTONE, Way::number, 0},
    {VT_OPENQRY, Way::out, 4},
    {VT_GETMODE, Way::out, 8},
    {VT_SETMODE, Way::in, 8},
    {VT_GETSTATE, Way::out, 6},
    {VT_ACTIVATE, Way::number, 0},
    {VT_WAITACTIVE, Way::number, 0},
    {VT_RELDISP, Way::number, 0},
};

constexpr Request kFiles[] = {
    {FIBMAP, Way::both, 4},           {FIGETBSZ, Way::out, 4},         {FICLONE, Way::number, 0},
    {FICLONERANGE, Way::in, 32},      {FS_IOC_GETFLAGS, Way::out, 4},  {FS_IOC_SETFLAGS, Way::in, 4},
    {FS_IOC_GETVERSION, Way::out, 4}, {FS_IOC_SETVERSION, Way::in, 4}, {BLKROSET, Way::in, 4},
    {BLKROGET, Way::out, 4},          {BLKRRPART, Way::number, 0},     {BLKGETSIZE, Way::out, 8},
    {BLKFLSBUF, Way::number, 0},      {BLKRASET, Way::number, 0},      {BLKRAGET, Way::out, 8},
    {BLKFRASET, Way::number, 0},      {BLKFRAGET, Way::out, 8},        {BLKSECTGET, Way::out, 2},
    {BLKSSZGET, Way::out, 4},         {BLKBSZGET, Way::out, 4},        {BLKBSZSET, Way::in, 4},
    {BLKGETSIZE64, Way::out, 8},      {BLKDISCARD, Way::in, 16},       {BLKSECDISCARD, Way::in, 16},
    {BLKZEROOUT, Way::in, 16},        {BLKDISCARDZEROES, Way::out, 4}, {BLKIOMIN, Way::out, 4},
    {BLKIOOPT, Way::out, 4},          {BLKALIGNOFF, Way::out, 4},      {BLKPBSZGET, Way::out, 4},
    {BLKROTATIONAL, Way::out, 2},
};

constexpr Request kSockets[] = {
    {FIOSETOWN, Way::in, 4},          {SIOCSPGRP, Way::in, 4},          {FIOGETOWN, Way::out, 4},
    {SIOCGPGRP, Way::out, 4},         {SIOCATMARK, Way::out, 4},        {SIOCGSTAMP_OLD, Way::out, 16},
    {SIOCGSTAMPNS_OLD, Way::out, 16}, {SIOCGIFNAME, Way::both, kIfreq}, {SIOCDARP, Way::in, kArpreq},
    {SIOCGARP, Way::both, kArpreq},   {SIOCSARP, Way::in, kArpreq},     {SIOCOUTQNSD, Way::out, 4},
    {SIOCGSKNS, Way::number, 0},
};

// Requests on interfaces that carry a plain ifreq, values inline.
constexpr bool is_plain_ifreq(u32 code) {
  switch (code) {
    case SIOCSIFLINK:
    case SIOCGIFFLAGS:
    case SIOCSIFFLAGS:
    case SIOCGIFADDR:
    case SIOCSIFADDR:
    case SIOCGIFDSTADDR:
    case SIOCSIFDSTADDR:
    case SIOCGIFBRDADDR:
    case SIOCSIFBRDADDR:
    case SIOCGIFNETMASK:
    case SIOCSIFNETMASK:
    case SIOCGIFMETRIC:
    case SIOCSIFMETRIC:
    case SIOCGIFMTU:
    case SIOCSIFMTU:
    case SIOCSIFNAME:
    case SIOCSIFHWADDR:
    case SIOCGIFHWADDR:
    case SIOCGIFINDEX:
    case SIOCGIFPFLAGS:
    case SIOCSIFPFLAGS:
    case SIOCGIFTXQLEN:
    case SIOCSIFTXQLEN:
    case SIOCADDMULTI:
    case SIOCDELMULTI:
    case SIOCSIFHWBROADCAST:
    case SIOCGIFMAP:
    case SIOCSIFMAP:
    case SIOCGMIIPHY:
    case SIOCGMIIREG:
    case SIOCSMIIREG: return true;
    default: return false;
  }
}

// Families whose encoded requests hold no pointers.
constexpr bool is_plain_family(u32 code) {
  const u32 type = _IOC_TYPE(code);
  const u32 nr = _IOC_NR(code);
  switch (type) {
    case 'T': return nr < 200;  // terminals; from 200 on tun devices, whose sizes lie
    case 'f': return nr >= 3 && nr <= 18 && nr != _IOC_NR(FS_IOC_FIEMAP);  // ext4 and friends; later ones have pointers
    case 'v': return nr <= 2;                                              // file versions; from 3 on video devices
    case 'X': return true;                                 // file systems: freeze, trim, fsxattr, labels
    case 0x12: return nr != 112 && nr != 113 && nr < 127;  // block devices, without the ones listed above
    case 0x89: return nr == 6 || nr == 7;                  // SIOCGSTAMP_NEW and SIOCGSTAMPNS_NEW
    case 'p': return nr < 0x20;                            // the clock (RTC)
    case 'E': return nr != 0x92 && nr != 0x93;             // input devices, without the masks
    case 'R': return nr != 2 && nr != 3;                   // random: pool and added entropy are variable
    case 'W': return true;                                 // watchdog
    case 0xb7: return true;                                // namespaces: numbers and small outputs
    case 0xff: return true;                                // pidfds
    default: return false;
  }
}

void gather_plain(Plan& plan, Way way, u32 bytes) {
  const u64 pointer = plan.arg(2);
  switch (way) {
    case Way::number:
      // Requests without an argument are often made with whatever the register held. Should another driver read it as
      // an address, it must not be one of the deputy's. Real numbers have 32 bits.
      if (pointer >> 32 != 0 && !plan.passed(argument(2), pointer, 1)) plan.set_arg(2, kUnmapped);
      break;
    case Way::in: plan.input(argument(2), pointer, bytes); break;
    case Way::out: plan.out(argument(2), pointer, bytes); break;
    case Way::both: plan.in_out(argument(2), pointer, bytes); break;
  }
}

// struct ifconf { int bytes; char* buffer; }
void gather_interfaces(Plan& plan) {
  const u64 pointer = plan.arg(2);
  Ref at;
  if (!plan.fetch(argument(2), pointer, 16, &at)) return;
  const auto given = plan.get<i32>(at);
  const u32 bytes = given < 0 ? 0 : std::min<u32>(static_cast<u32>(given), 1 << 20);
  const u64 buffer = plan.get<u64>(at + 8);
  Ref room;
  if (plan.room(word(at + 8), buffer, bytes, &room)) plan.output(room, buffer, bytes, 0, false, at);
  plan.output(at, pointer, 4);
}

// A header that says how many elements follow it.
bool gather_counted(Plan& plan, u32 header_bytes, u32 count_at, u32 count_bytes, u32 element_bytes) {
  const u64 pointer = plan.arg(2);
  u8 header[64] = {};
  if (plan.passed(argument(2), pointer, header_bytes)) return true;
  if (!plan.memory().read(GuestAddr{pointer}, header, header_bytes)) {
    plan.set_arg(2, kUnmapped);
    return true;
  }
  u32 count = 0;
  __builtin_memcpy(&count, header + count_at, count_bytes);
  const u64 bytes = header_bytes + u64{count} * element_bytes;
  if (bytes > 1 << 20) return false;
  Ref at;
  const u64 readable = plan.fetch_prefix(argument(2), pointer, bytes, &at);
  if (readable < header_bytes) return true;
  // What was read first decided the size; a guest that changes it meanwhile gets the size that was sent.
  __builtin_memcpy(plan.staged(at) + count_at, &count, count_bytes);
  plan.add_piece(plan.add_out(at, bytes), 0, pointer, readable);
  return true;
}

}  // namespace

bool changes_terminal(u64 request) {
  switch (static_cast<u32>(request)) {
    case TCSETS:
    case TCSETSW:
    case TCSETSF:
    case TCSETA:
    case TCSETAW:
    case TCSETAF:
    case kTcsets2:
    case kTcsetsw2:
    case kTcsetsf2:
    case TIOCSPGRP:
    case TIOCSETD:
    case TIOCSBRK:
    case TIOCCBRK:
    case TCSBRK:
    case TCSBRKP:
    case TCXONC:
    case TCFLSH: return true;
    default: return false;
  }
}

bool gather_ioctl(u64 request, Plan& plan) {
  const auto code = static_cast<u32>(request);  // the kernel's own type
  for (std::span<const Request> list :
       {std::span<const Request>(kTerminal), std::span<const Request>(kFiles), std::span<const Request>(kSockets)}) {
    const auto found = std::ranges::find(list, code, &Request::code);
    if (found == list.end()) continue;
    gather_plain(plan, found->way, found->bytes);
    return true;
  }
  if (is_plain_ifreq(code)) {
    gather_plain(plan, Way::both, kIfreq);
    return true;
  }
  switch (code) {
    case SIOCGIFCONF: gather_interfaces(plan); return true;
    case FS_IOC_FIEMAP: return gather_counted(plan, sizeof(fiemap), 24, 4, sizeof(fiemap_extent));
    case FIDEDUPERANGE: return gather_counted(plan, sizeof(file_dedupe_range), 16, 2, sizeof(file_dedupe_range_info));
    default: break;
  }
  if (!is_plain_family(code)) return false;
  const u32 bytes = _IOC_SIZE(code);
  const u32 direction = _IOC_DIR(code);
  if (direction == _IOC_NONE) {
    // Without a size the argument should be a number; where it is an address nevertheless, the request is in a list.
    if (plan.arg(2) >= kPageSize && _IOC_TYPE(code) != 0xb7 && _IOC_TYPE(code) != 0xff) return false;
    gather_plain(plan, Way::number, 0);
  } else if (direction == _IOC_WRITE) {
    gather_plain(plan, Way::in, bytes);
  } else {
    gather_plain(plan, Way::both, bytes);  // a structure may be written in part
  }
  return true;
}

}  // namespace omig::syscalls
