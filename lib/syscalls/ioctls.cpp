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
  std::string_view name;
};

constexpr u32 kTermios = 36, kTermios2 = 44, kTermio = 18, kWinsize = 8, kSerial = 72, kIcounter = 80;
constexpr u32 kIfreq = 40, kArpreq = 68;
static_assert(sizeof(ifreq) == kIfreq);

// asm/termbits.h has them, but clashes with glibc's termios.
constexpr u32 kTcgets2 = 0x802c542a, kTcsets2 = 0x402c542b, kTcsetsw2 = 0x402c542c, kTcsetsf2 = 0x402c542d;

#define REQUEST(name, way, bytes) \
  { name, Way::way, bytes, #name }

constexpr Request kTerminal[] = {
    REQUEST(TCGETS, out, kTermios),
    REQUEST(TCSETS, in, kTermios),
    REQUEST(TCSETSW, in, kTermios),
    REQUEST(TCSETSF, in, kTermios),
    REQUEST(TCGETA, out, kTermio),
    REQUEST(TCSETA, in, kTermio),
    REQUEST(TCSETAW, in, kTermio),
    REQUEST(TCSETAF, in, kTermio),
    {kTcgets2, Way::out, kTermios2, "TCGETS2"},
    {kTcsets2, Way::in, kTermios2, "TCSETS2"},
    {kTcsetsw2, Way::in, kTermios2, "TCSETSW2"},
    {kTcsetsf2, Way::in, kTermios2, "TCSETSF2"},
    REQUEST(TCSBRK, number, 0),
    REQUEST(TCXONC, number, 0),
    REQUEST(TCFLSH, number, 0),
    REQUEST(TIOCEXCL, number, 0),
    REQUEST(TIOCNXCL, number, 0),
    REQUEST(TIOCSCTTY, number, 0),
    REQUEST(TIOCGPGRP, out, 4),
    REQUEST(TIOCSPGRP, in, 4),
    REQUEST(TIOCOUTQ, out, 4),
    REQUEST(TIOCSTI, in, 1),
    REQUEST(TIOCGWINSZ, out, kWinsize),
    REQUEST(TIOCSWINSZ, in, kWinsize),
    REQUEST(TIOCMGET, out, 4),
    REQUEST(TIOCMBIS, in, 4),
    REQUEST(TIOCMBIC, in, 4),
    REQUEST(TIOCMSET, in, 4),
    REQUEST(TIOCGSOFTCAR, out, 4),
    REQUEST(TIOCSSOFTCAR, in, 4),
    REQUEST(FIONREAD, out, 4),
    REQUEST(TIOCCONS, number, 0),
    REQUEST(TIOCGSERIAL, out, kSerial),
    REQUEST(TIOCSSERIAL, in, kSerial),
    REQUEST(TIOCPKT, in, 4),
    REQUEST(FIONBIO, in, 4),
    REQUEST(TIOCNOTTY, number, 0),
    REQUEST(TIOCSETD, in, 4),
    REQUEST(TIOCGETD, out, 4),
    REQUEST(TCSBRKP, number, 0),
    REQUEST(TIOCSBRK, number, 0),
    REQUEST(TIOCCBRK, number, 0),
    REQUEST(TIOCGSID, out, 4),
    REQUEST(TIOCVHANGUP, number, 0),
    REQUEST(FIONCLEX, number, 0),
    REQUEST(FIOCLEX, number, 0),
    REQUEST(FIOASYNC, in, 4),
    REQUEST(TIOCSERGETLSR, out, 4),
    REQUEST(TIOCMIWAIT, number, 0),
    REQUEST(TIOCGICOUNT, out, kIcounter),
    REQUEST(TIOCGPTN, out, 4),
    REQUEST(TIOCSPTLCK, in, 4),
    REQUEST(TIOCGPTLCK, out, 4),
    REQUEST(TIOCGPTPEER, number, 0),
    REQUEST(TIOCGDEV, out, 4),
    REQUEST(TIOCSIG, number, 0),
    REQUEST(TIOCGPKT, out, 4),
    REQUEST(TIOCGEXCL, out, 4),
    REQUEST(FIOQSIZE, out, 8),
    // The text console.
    REQUEST(KDGKBTYPE, out, 1),
    REQUEST(KDGETMODE, out, 4),
    REQUEST(KDSETMODE, number, 0),
    REQUEST(KDGKBMODE, out, 4),
    REQUEST(KDSKBMODE, number, 0),
    REQUEST(KDGETLED, out, 1),
    REQUEST(KDSETLED, number, 0),
    REQUEST(KDGKBLED, out, 1),
    REQUEST(KDSKBLED, number, 0),
    REQUEST(KIOCSOUND, number, 0),
    REQUEST(KDMKTONE, number, 0),
    REQUEST(VT_OPENQRY, out, 4),
    REQUEST(VT_GETMODE, out, 8),
    REQUEST(VT_SETMODE, in, 8),
    REQUEST(VT_GETSTATE, out, 6),
    REQUEST(VT_ACTIVATE, number, 0),
    REQUEST(VT_WAITACTIVE, number, 0),
    REQUEST(VT_RELDISP, number, 0),
};

constexpr Request kFiles[] = {
    REQUEST(FIBMAP, both, 4),           REQUEST(FIGETBSZ, out, 4),         REQUEST(FICLONE, number, 0),
    REQUEST(FICLONERANGE, in, 32),      REQUEST(FS_IOC_GETFLAGS, out, 4),  REQUEST(FS_IOC_SETFLAGS, in, 4),
    REQUEST(FS_IOC_GETVERSION, out, 4), REQUEST(FS_IOC_SETVERSION, in, 4), REQUEST(BLKROSET, in, 4),
    REQUEST(BLKROGET, out, 4),          REQUEST(BLKRRPART, number, 0),     REQUEST(BLKGETSIZE, out, 8),
    REQUEST(BLKFLSBUF, number, 0),      REQUEST(BLKRASET, number, 0),      REQUEST(BLKRAGET, out, 8),
    REQUEST(BLKFRASET, number, 0),      REQUEST(BLKFRAGET, out, 8),        REQUEST(BLKSECTGET, out, 2),
    REQUEST(BLKSSZGET, out, 4),         REQUEST(BLKBSZGET, out, 4),        REQUEST(BLKBSZSET, in, 4),
    REQUEST(BLKGETSIZE64, out, 8),      REQUEST(BLKDISCARD, in, 16),       REQUEST(BLKSECDISCARD, in, 16),
    REQUEST(BLKZEROOUT, in, 16),        REQUEST(BLKDISCARDZEROES, out, 4), REQUEST(BLKIOMIN, out, 4),
    REQUEST(BLKIOOPT, out, 4),          REQUEST(BLKALIGNOFF, out, 4),      REQUEST(BLKPBSZGET, out, 4),
    REQUEST(BLKROTATIONAL, out, 2),
};

constexpr Request kSockets[] = {
    REQUEST(FIOSETOWN, in, 4),          REQUEST(SIOCSPGRP, in, 4),          REQUEST(FIOGETOWN, out, 4),
    REQUEST(SIOCGPGRP, out, 4),         REQUEST(SIOCATMARK, out, 4),        REQUEST(SIOCGSTAMP_OLD, out, 16),
    REQUEST(SIOCGSTAMPNS_OLD, out, 16), REQUEST(SIOCGIFNAME, both, kIfreq), REQUEST(SIOCDARP, in, kArpreq),
    REQUEST(SIOCGARP, both, kArpreq),   REQUEST(SIOCSARP, in, kArpreq),     REQUEST(SIOCOUTQNSD, out, 4),
    REQUEST(SIOCGSKNS, number, 0),
};

// Requests on interfaces that carry a plain ifreq, values inline.
constexpr Request kInterfaces[] = {
    REQUEST(SIOCSIFLINK, both, kIfreq),    REQUEST(SIOCGIFFLAGS, both, kIfreq),
    REQUEST(SIOCSIFFLAGS, both, kIfreq),   REQUEST(SIOCGIFADDR, both, kIfreq),
    REQUEST(SIOCSIFADDR, both, kIfreq),    REQUEST(SIOCGIFDSTADDR, both, kIfreq),
    REQUEST(SIOCSIFDSTADDR, both, kIfreq), REQUEST(SIOCGIFBRDADDR, both, kIfreq),
    REQUEST(SIOCSIFBRDADDR, both, kIfreq), REQUEST(SIOCGIFNETMASK, both, kIfreq),
    REQUEST(SIOCSIFNETMASK, both, kIfreq), REQUEST(SIOCGIFMETRIC, both, kIfreq),
    REQUEST(SIOCSIFMETRIC, both, kIfreq),  REQUEST(SIOCGIFMTU, both, kIfreq),
    REQUEST(SIOCSIFMTU, both, kIfreq),     REQUEST(SIOCSIFNAME, both, kIfreq),
    REQUEST(SIOCSIFHWADDR, both, kIfreq),  REQUEST(SIOCGIFHWADDR, both, kIfreq),
    REQUEST(SIOCGIFINDEX, both, kIfreq),   REQUEST(SIOCGIFPFLAGS, both, kIfreq),
    REQUEST(SIOCSIFPFLAGS, both, kIfreq),  REQUEST(SIOCGIFTXQLEN, both, kIfreq),
    REQUEST(SIOCSIFTXQLEN, both, kIfreq),  REQUEST(SIOCADDMULTI, both, kIfreq),
    REQUEST(SIOCDELMULTI, both, kIfreq),   REQUEST(SIOCSIFHWBROADCAST, both, kIfreq),
    REQUEST(SIOCGIFMAP, both, kIfreq),     REQUEST(SIOCSIFMAP, both, kIfreq),
    REQUEST(SIOCGMIIPHY, both, kIfreq),    REQUEST(SIOCGMIIREG, both, kIfreq),
    REQUEST(SIOCSMIIREG, both, kIfreq),
};

#undef REQUEST

struct List {
  std::string_view title;
  std::span<const Request> requests;
};

constexpr List kLists[] = {{"terminals and consoles", kTerminal},
                           {"files and block devices", kFiles},
                           {"sockets", kSockets},
                           {"network interfaces", kInterfaces}};

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

std::vector<IoctlNames> ioctl_names() {
  std::vector<IoctlNames> all;
  for (const List& list : kLists) {
    IoctlNames& names = all.emplace_back(IoctlNames{.title = list.title, .names = {}});
    for (const Request& request : list.requests) names.names.push_back(request.name);
  }
  return all;
}

bool gather_ioctl(u64 request, Plan& plan) {
  const auto code = static_cast<u32>(request);  // the kernel's own type
  for (const List& list : kLists) {
    const auto found = std::ranges::find(list.requests, code, &Request::code);
    if (found == list.requests.end()) continue;
    gather_plain(plan, found->way, found->bytes);
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
