// SPDX-License-Identifier: Apache-2.0
#include "homed/host/pages.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sysinfo.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <optional>

#include "homed/host/proc.h"
#include "lib/abi/pagemap_scan.h"
#include "lib/abi/userfaultfd.h"
#include "lib/image/anchor.h"

namespace omig::host {
namespace {

constexpr size_t kChunkBytes = 128 * 1024;  // fastest block here for reading another process (KERNEL.md 6)
constexpr u64 kThere = abi::kPageIsPresent | abi::kPageIsSwapped;

Fd open_of(pid_t pid, const char* name) {
  return Fd(open(fmt::format("/proc/{}/{}", pid, name).c_str(), O_RDONLY | O_CLOEXEC));
}

// Calls visit(range, categories) for the pages of a range that `scan` selects, until it is false. False: it was, or the
// kernel refused.
template <typename Visit>
bool walk(const Fd& pagemap, Range range, abi::PmScanArg scan, const Visit& visit) {
  abi::PageRegion regions[512];
  scan.size = sizeof scan;
  scan.end = range.upper();
  scan.vec = reinterpret_cast<u64>(regions);
  scan.vec_len = std::size(regions);
  for (scan.start = range.lower(); scan.start < scan.end; scan.start = scan.walk_end) {
    const int count = ioctl(pagemap.get(), abi::kPagemapScan, &scan);
    if (count < 0) return false;
    for (int i = 0; i < count; ++i) {
      if (!visit(Range(regions[i].start, regions[i].end), regions[i].categories)) return false;
    }
  }
  return true;
}

class PageSender {
 public:
  PageSender(pid_t pid, const PageSink& sink, PageStatistics* statistics)
      : pid_(pid),
        sink_(sink),
        statistics_(statistics),
        buffer_(kPageHeadroom + kChunkBytes),
        mem_(open_of(pid, "mem")),
        pagemap_(open_of(pid, "pagemap")) {}

  const Fd& pagemap() const { return pagemap_; }

  bool send_range(Range range, bool readable, bool keep_zeros) {
    for (u64 from = range.lower(); from < range.upper();) {
      const u64 got = read_pages(from, std::min<u64>(range.upper() - from, kChunkBytes), readable);
      if (got == 0) {  // beyond the end of the file: natively a SIGBUS, there an empty page
        from += kPageSize;
        continue;
      }
      if (!send_nonzero(from, got, keep_zeros)) return false;
      from += got;
    }
    return true;
  }

 private:
  u64 read_pages(u64 from, u64 bytes, bool readable) {
    ssize_t got = -1;
    if (readable) {
      iovec local{data(), bytes}, remote{reinterpret_cast<void*>(from), bytes};
      got = process_vm_readv(pid_, &local, 1, &remote, 1, 0);
    }
    // Whatever its protection says; it may have changed in a process that runs.
    if (got <= 0) got = pread(mem_.get(), data(), bytes, static_cast<off_t>(from));
    return got <= 0 ? 0 : page_down(static_cast<u64>(got));
  }

  bool send_nonzero(u64 address, u64 bytes, bool keep_zeros) {
    u64 run = 0;  // start of the current run of pages to send
    bool open = false;
    for (u64 at = 0; at < bytes; at += kPageSize) {
      const bool zero = !keep_zeros && is_zero(data() + at);
      if (zero) statistics_->zero_bytes += kPageSize;
      if (zero && open) {
        if (!emit(address, run, at)) return false;
        open = false;
      } else if (!zero && !open) {
        run = at;
        open = true;
      }
    }
    return !open || emit(address, run, bytes);
  }

  bool emit(u64 address, u64 from, u64 to) {
    statistics_->bytes += to - from;
    return sink_(address + from, std::span<u8>(data() + from, to - from));
  }

  static bool is_zero(const u8* page) {
    return page[0] == 0 && page[kPageSize - 1] == 0 && memcmp(page, page + 8, kPageSize - 8) == 0 &&
           memcmp(page, "\0\0\0\0\0\0\0\0", 8) == 0;
  }

  u8* data() { return buffer_.data() + kPageHeadroom; }

  pid_t pid_;
  const PageSink& sink_;
  PageStatistics* statistics_;
  std::vector<u8> buffer_;
  Fd mem_, pagemap_;
};

// The same pages as `range`, those the receiver already has something of apart from the others.
template <typename Each>
bool split(const Ranges& ahead, Range range, const Each& each) {
  Ranges theirs, rest;
  boost::icl::add_intersection(theirs, ahead, range);
  rest += range;
  rest -= theirs;
  return std::all_of(theirs.begin(), theirs.end(), [&](Range r) { return each(r, true); }) &&
         std::all_of(rest.begin(), rest.end(), [&](Range r) { return each(r, false); });
}

// Which mappings can be made ready before the program's layout is final, and can keep what was put there.
bool plain(const image::Vma& v) {
  return v.kind == image::VmaKind::anonymous && (v.flags & ~image::kAdvice) == 0 && v.prot == (PROT_READ | PROT_WRITE);
}

// Does the kernel tell of guard regions? Asked of that process: our own page map is closed to us (walls.h).
bool tells_guards(const Fd& pagemap, u64 address) {
  static std::atomic<bool> known = false;
  abi::PmScanArg scan{};
  scan.category_anyof_mask = scan.return_mask = abi::kPageIsGuard;
  if (!known) known = walk(pagemap, {address, address + kPageSize}, scan, [](Range, u64) { return true; });
  return known;
}

}  // namespace

u64 reservation_of(u64 bytes) {
  static const u64 small = [] {
    struct sysinfo info {};
    return sysinfo(&info) == 0 ? info.totalram * info.mem_unit / 4 : 0;
  }();
  return bytes < small ? 0 : MAP_NORESERVE;
}

std::vector<Preparation> preparations(pid_t pid, std::span<const image::Vma> vmas) {
  constexpr u64 kWorthwhileBytes = 4 << 20, kHugePage = 2 << 20;
  constexpr size_t kMost = 256;
  std::vector<Preparation> list;
  const Fd pagemap = open_of(pid, "pagemap");
  for (const image::Vma& v : vmas) {
    if (!plain(v) || v.bytes() < kWorthwhileBytes || list.size() == kMost) continue;
    u64 there = 0;
    std::optional<Range> first_run;  // of used pages: a heap that fills up
    abi::PmScanArg scan{};
    scan.category_anyof_mask = scan.return_mask = kThere;
    walk(pagemap, {v.start, v.end}, scan, [&](Range range, u64) {
      there += range.upper() - range.lower();
      if (!first_run) {
        first_run = range;
      } else if (range.lower() - first_run->upper() < kHugePage) {
        first_run = Range(first_run->lower(), range.upper());
      }
      return true;
    });
    if (there < kWorthwhileBytes) continue;
    // Huge pages for all of a mapping or none of it (half of one would be two mappings, which mremap does not take as
    // one): where most is in use, and so would be most of each huge page.
    const bool dense = 2 * (first_run->upper() - first_run->lower()) >= v.bytes();
    list.push_back({v.start, v.end, first_run->lower(), dense ? first_run->upper() : first_run->lower()});
  }
  return list;
}

nlohmann::json preparations_to_json(std::span<const Preparation> list) {
  nlohmann::json json = nlohmann::json::array();
  for (const Preparation& p : list) json.push_back({p.start, p.end, p.used_start, p.used_end});
  return json;
}

std::vector<Preparation> preparations_from_json(const nlohmann::json& json) {
  std::vector<Preparation> list;
  for (const auto& item : json) {
    const auto is_number = [](const nlohmann::json& n) { return n.is_number_unsigned(); };
    if (!item.is_array() || item.size() != 4 || !std::ranges::all_of(item, is_number)) return {};
    const Preparation p{item[0].get<u64>(), item[1].get<u64>(), item[2].get<u64>(), item[3].get<u64>()};
    const bool sane = (p.start | p.end | p.used_start | p.used_end) % kPageSize == 0 && p.start < p.end &&
                      p.end <= (1ull << 47) && p.start <= p.used_start && p.used_start <= p.used_end &&
                      p.used_end <= p.end && !(p.start < kEngineEnd && p.end > kEngineBase);
    if (sane) list.push_back(p);
  }
  return list;
}

Ranges areas_of(std::span<const Preparation> prepared) {
  Ranges areas;
  for (const Preparation& p : prepared) areas += Range(p.start, p.end);
  return areas;
}

Ranges notable(std::span<const image::Vma> vmas) {
  constexpr u64 kWorthwhileBytes = 256 << 10;
  Ranges result;
  for (const image::Vma& v : vmas) {
    if (plain(v) && v.bytes() >= kWorthwhileBytes) result += Range(v.start, v.end);
  }
  return result;
}

Ranges kept(std::span<const Preparation> prepared, std::span<const image::Vma> vmas) {
  const Ranges areas = areas_of(prepared);
  Ranges result;
  for (const image::Vma& v : vmas) {
    if (plain(v)) boost::icl::add_intersection(result, areas, Range(v.start, v.end));
  }
  return result;
}

bool send_pages(pid_t pid, const PageRequest& request, const PageSink& sink, PageStatistics* statistics, Ranges* guards,
                Ranges* gone) {
  static const Ranges kNothing;
  const Ranges& ahead = request.ahead != nullptr ? *request.ahead : kNothing;
  Ranges there;
  PageSender sender(pid, sink, statistics);
  const std::vector<MapsLine> lines = read_maps(pid);
  for (const image::Vma& vma : request.vmas) {
    if (vma.kind != image::VmaKind::anonymous && vma.kind != image::VmaKind::file) continue;
    if ((vma.flags & image::kSegment) != 0) continue;  // segments.h
    const bool readable = (vma.prot & PROT_READ) != 0;
    const bool keep = vma.start < request.keep_zeros.upper() && vma.end > request.keep_zeros.lower();
    const bool file_there = vma.file >= 0 && static_cast<size_t>(vma.file) < request.files_there.size() &&
                            request.files_there[static_cast<size_t>(vma.file)];
    const auto line = std::upper_bound(lines.begin(), lines.end(), vma.start,
                                       [](u64 address, const MapsLine& l) { return address < l.end; });
    const bool from_file = line != lines.end() && line->start <= vma.start && line->inode != 0;
    // A file the receiver does not have, or that only this node can name: its untouched pages are not in the page
    // table, but they are the program's.
    const bool is_file = vma.kind == image::VmaKind::file;
    if (is_file ? !file_there : vma.file == -1 && from_file) {
      if (!sender.send_range({vma.start, vma.end}, readable, keep)) return false;
      continue;
    }
    abi::PmScanArg scan{};
    scan.category_anyof_mask = kThere;
    scan.return_mask = kThere | abi::kPageIsFile | abi::kPageIsPfnzero;
    if (tells_guards(sender.pagemap(), vma.start)) scan.return_mask |= abi::kPageIsGuard;
    if (request.ahead != nullptr) scan.return_mask |= abi::kPageIsWpAllowed | abi::kPageIsWritten;
    const bool sent = walk(sender.pagemap(), {vma.start, vma.end}, scan, [&](Range range, u64 categories) {
      if ((categories & abi::kPageIsGuard) != 0) {
        *guards += range;
        return true;
      }
      if (is_file && (categories & abi::kPageIsFile) != 0) return true;
      const bool unwritten = (categories & (abi::kPageIsWpAllowed | abi::kPageIsWritten)) == abi::kPageIsWpAllowed;
      return split(ahead, range, [&](Range part, bool theirs) {
        if (theirs) there += part;
        if (theirs && unwritten) return true;
        if (!theirs && !keep && (categories & abi::kPageIsPfnzero) != 0) return true;
        return sender.send_range(part, readable, keep || theirs);  // zeros, too, where they have something else
      });
    });
    if (!sent) return false;
  }
  if (gone != nullptr) *gone = ahead - there;
  return true;
}

void WriteTracker::start(pid_t pid, const Ranges& wanted) {
  abi::UffdApi api{abi::kUffdApi, abi::kUffdWpAsync, 0};
  areas.clear();
  if (!open_ && (!userfaultfd || ioctl(userfaultfd.get(), abi::kUffdioApi, &api) != 0)) return;
  open_ = true;
  for (const MapsLine& line : read_maps(pid)) {
    Ranges here;
    boost::icl::add_intersection(here, wanted, Range(line.start, line.end));
    abi::UffdRegister whole{line.start, line.end - line.start, abi::kUffdRegisterWriteProtect, 0};
    if (here.empty() || line.inode != 0 || ioctl(userfaultfd.get(), abi::kUffdioRegister, &whole) != 0) continue;
    areas += here;
  }
}

bool WriteTracker::mark(pid_t pid, Ranges* there) const {
  const Fd pagemap = open_of(pid, "pagemap");
  abi::PmScanArg scan{};
  scan.flags = abi::kPmScanWpMatching;
  scan.category_anyof_mask = scan.return_mask = kThere;
  const auto note = [&](Range range, u64) {
    *there += range;
    return true;
  };
  return std::ranges::all_of(areas, [&](const Range& area) { return walk(pagemap, area, scan, note); });
}

bool PreCopy::send(const PageSink& sink, PageStatistics* statistics) {
  constexpr int kMostRounds = 3;
  constexpr u64 kNotWorthARound = 1 << 20, kStep = 32 << 20;
  PageSender sender(pid_, sink, statistics);
  bool connected = true;
  u64 last_round = ~0ull;
  for (int round = 0; round < kMostRounds; ++round) {
    const u64 before = statistics->bytes;
    for (const Range& area : tracker_.areas) {
      // In steps: what is marked too early is written again before it is sent.
      for (u64 at = area.lower(); at < area.upper(); at += kStep) {
        abi::PmScanArg scan{};  // passes over mappings that came since: they bear no marks
        scan.flags = abi::kPmScanWpMatching;
        scan.category_mask = abi::kPageIsWritten;
        scan.category_anyof_mask = kThere;
        scan.return_mask = abi::kPageIsPfnzero;
        const bool walked =
            walk(sender.pagemap(), {at, std::min(at + kStep, area.upper())}, scan, [&](Range range, u64 categories) {
              connected = connected && split(sent_, range, [&](Range part, bool theirs) {
                            const bool nothing = !theirs && (categories & abi::kPageIsPfnzero) != 0;
                            return nothing || sender.send_range(part, true, theirs);
                          });
              sent_ += range;
              return connected;
            });
        if (!connected) return false;
        if (!walked)
          tracker_.userfaultfd.reset();  // it may have marked pages without naming them: no mark counts any more
      }
    }
    const u64 this_round = statistics->bytes - before;
    if (this_round < kNotWorthARound || this_round > last_round / 2) break;
    last_round = this_round;
  }
  return true;
}

}  // namespace omig::host
