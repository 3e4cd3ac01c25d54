// SPDX-License-Identifier: Apache-2.0
#include "homed/host/source.h"

#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/sha.h>
#include <sys/auxv.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <sstream>

#include "lib/abi/pagemap_scan.h"
#include "lib/image/anchor.h"

namespace omig::host {
namespace {

constexpr size_t kChunkBytes = 128 * 1024;  // fastest block here for reading another process (KERNEL.md 6)
constexpr u32 kMaxVmas = 70000;             // vm.max_map_count is 65530 by default
constexpr u32 kMaxThreads = kMaxSlots;
constexpr u32 kMaxPending = 100000;

bool in_engine(const MapsLine& line) { return line.start >= kEngineBase && line.start < kEngineEnd; }

}  // namespace

Mappings read_mappings(pid_t pid, FileCatalogue* files) {
  Mappings result;
  for (const MapsLine& line : read_maps(pid)) {
    if (in_engine(line) || line.path == "[vsyscall]") continue;
    image::Vma vma;
    vma.start = line.start;
    vma.end = line.end;
    vma.prot = line.prot;
    if (line.path == "[vdso]") {
      vma.kind = image::VmaKind::vdso;
    } else if (line.path == "[vvar]") {
      vma.kind = image::VmaKind::vvar;
    } else if (line.path == "[vvar_vclock]") {
      vma.kind = image::VmaKind::vvar_vclock;
    } else if (line.path == "[stack]") {
      vma.flags |= image::kGrowsDown;
    } else if (line.inode != 0 || line.shared) {
      if (line.shared) {
        if ((line.prot & PROT_WRITE) != 0 || line.inode == 0) {
          result.refusal = fmt::format("shared writable mapping {:x} {}", line.start, line.path);
          return result;
        }
        vma.flags |= image::kSharedReadOnly;
      }
      vma.file = files->index_of(line);
      if (vma.file >= 0) {
        vma.kind = image::VmaKind::file;
        vma.offset = line.offset;
      } else {
        vma.flags &= ~image::kSharedReadOnly;
      }
    }
    result.vmas.push_back(vma);
  }
  return result;
}

namespace {

class PageSender {
 public:
  PageSender(pid_t pid, const PageSink& sink, PageStatistics* statistics)
      : pid_(pid), sink_(sink), statistics_(statistics), buffer_(kChunkBytes) {
    mem_ = Fd(open(fmt::format("/proc/{}/mem", pid).c_str(), O_RDONLY | O_CLOEXEC));
    pagemap_ = Fd(open(fmt::format("/proc/{}/pagemap", pid).c_str(), O_RDONLY | O_CLOEXEC));
  }

  bool send_vma(const image::Vma& vma, bool file_there, bool keep_zeros) {
    if (vma.kind != image::VmaKind::anonymous && vma.kind != image::VmaKind::file) return true;
    // A file the receiver does not have: its untouched pages are not in the page table, but they are the program's.
    if (vma.kind == image::VmaKind::file && !file_there) return send_range(vma, vma.start, vma.end, keep_zeros);
    if (vma.kind == image::VmaKind::anonymous && vma.file == -1 && shipped_file_) {
      return send_range(vma, vma.start, vma.end, keep_zeros);
    }
    u64 at = vma.start;
    while (at < vma.end) {
      abi::PageRegion regions[512];
      abi::PmScanArg scan{};
      scan.size = sizeof scan;
      scan.start = at;
      scan.end = vma.end;
      scan.vec = reinterpret_cast<u64>(regions);
      scan.vec_len = 512;
      scan.category_anyof_mask = abi::kPageIsPresent | abi::kPageIsSwapped;
      scan.return_mask = abi::kPageIsPresent | abi::kPageIsSwapped | abi::kPageIsFile | abi::kPageIsPfnzero;
      const int count = ioctl(pagemap_.get(), abi::kPagemapScan, &scan);
      if (count < 0) return false;
      for (int i = 0; i < count; ++i) {
        if ((regions[i].categories & abi::kPageIsPfnzero) != 0 && !keep_zeros) continue;
        if (vma.kind == image::VmaKind::file && (regions[i].categories & abi::kPageIsFile) != 0) continue;
        if (!send_range(vma, regions[i].start, regions[i].end, keep_zeros)) return false;
      }
      at = scan.walk_end;
    }
    return true;
  }

  // The next anonymous mapping stands for a file only this node knows: every page counts.
  void set_shipped_file(bool value) { shipped_file_ = value; }

 private:
  bool send_range(const image::Vma& vma, u64 from, u64 to, bool keep_zeros) {
    while (from < to) {
      const u64 want = std::min<u64>(to - from, kChunkBytes);
      const u64 got = read_pages(vma, from, want);
      if (got == 0) {  // beyond the end of the file: natively a SIGBUS, there an empty page
        from += kPageSize;
        continue;
      }
      if (!send_nonzero(from, got, keep_zeros)) return false;
      from += got;
    }
    return true;
  }

  u64 read_pages(const image::Vma& vma, u64 from, u64 bytes) {
    if ((vma.prot & PROT_READ) != 0) {
      iovec local{buffer_.data(), bytes}, remote{reinterpret_cast<void*>(from), bytes};
      const ssize_t got = process_vm_readv(pid_, &local, 1, &remote, 1, 0);
      return got <= 0 ? 0 : page_down(static_cast<u64>(got));
    }
    const ssize_t got = pread(mem_.get(), buffer_.data(), bytes, static_cast<off_t>(from));
    return got <= 0 ? 0 : page_down(static_cast<u64>(got));
  }

  bool send_nonzero(u64 address, u64 bytes, bool keep_zeros) {
    u64 run = 0;  // start of the current run of pages to send
    bool open = false;
    for (u64 at = 0; at < bytes; at += kPageSize) {
      const bool zero = !keep_zeros && is_zero(buffer_.data() + at);
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
    return sink_(address + from, std::span<const u8>(buffer_.data() + from, to - from));
  }

  static bool is_zero(const u8* page) {
    return page[0] == 0 && page[kPageSize - 1] == 0 && memcmp(page, page + 8, kPageSize - 8) == 0 &&
           memcmp(page, "\0\0\0\0\0\0\0\0", 8) == 0;
  }

  pid_t pid_;
  const PageSink& sink_;
  PageStatistics* statistics_;
  std::vector<u8> buffer_;
  Fd mem_, pagemap_;
  bool shipped_file_ = false;
};

}  // namespace

bool send_pages(pid_t pid, std::span<const image::Vma> vmas, const std::vector<bool>& files_there, const PageSink& sink,
                PageStatistics* statistics, u64 keep_zeros_from, u64 keep_zeros_to) {
  // Private file mappings whose file could not be named count as anonymous, but their untouched pages must be read too.
  std::vector<MapsLine> lines = read_maps(pid);
  std::vector<u64> file_starts;
  for (const MapsLine& line : lines) {
    if (line.inode != 0) file_starts.push_back(line.start);
  }
  PageSender sender(pid, sink, statistics);
  for (const image::Vma& vma : vmas) {
    const bool there = vma.file >= 0 && static_cast<size_t>(vma.file) < files_there.size() &&
                       files_there[static_cast<size_t>(vma.file)];
    const bool keep = vma.start < keep_zeros_to && vma.end > keep_zeros_from;
    const auto line = std::upper_bound(lines.begin(), lines.end(), vma.start,
                                       [](u64 address, const MapsLine& l) { return address < l.end; });
    sender.set_shipped_file(line != lines.end() && line->start <= vma.start && line->inode != 0);
    if (!sender.send_vma(vma, there, keep)) return false;
  }
  return true;
}

std::vector<Preparation> preparations(pid_t pid, std::span<const image::Vma> vmas) {
  constexpr u64 kWorthwhileBytes = 4u << 20;
  std::vector<Preparation> list;
  const Fd pagemap(open(fmt::format("/proc/{}/pagemap", pid).c_str(), O_RDONLY | O_CLOEXEC));
  for (const image::Vma& v : vmas) {
    const bool candidate = v.kind == image::VmaKind::anonymous && v.flags == 0 && v.prot == (PROT_READ | PROT_WRITE);
    if (!candidate || v.bytes() < kWorthwhileBytes) continue;
    abi::PageRegion regions[512];
    abi::PmScanArg scan{};
    scan.size = sizeof scan;
    scan.start = v.start;
    scan.end = v.end;
    scan.vec = reinterpret_cast<u64>(regions);
    scan.vec_len = 512;
    scan.category_anyof_mask = scan.return_mask = abi::kPageIsPresent;
    const int count = ioctl(pagemap.get(), abi::kPagemapScan, &scan);
    // One run from the mapping's first used page: a heap that fills up. Scattered pages are not worth whole huge pages.
    if (count <= 0) continue;
    u64 end = regions[0].end;
    for (int i = 1; i < count && regions[i].start - end < (2u << 20); ++i) end = regions[i].end;
    if (end - regions[0].start >= kWorthwhileBytes) list.push_back({v.start, v.end, regions[0].start, end});
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
                      p.end <= (1ull << 47) && p.start <= p.used_start && p.used_start < p.used_end &&
                      p.used_end <= p.end && !(p.start < kEngineEnd && p.end > kEngineBase);
    if (sane) list.push_back(p);
  }
  return list;
}

nlohmann::json files_to_json(std::span<const image::File> files) {
  nlohmann::json list = nlohmann::json::array();
  for (const image::File& f : files) list.push_back({f.path, f.size_bytes, f.sha256_hex});
  return list;
}

bool files_from_json(const nlohmann::json& json, std::vector<image::File>* files) {
  if (!json.is_array() || json.size() > kMaxVmas) return false;
  for (const auto& item : json) {
    if (!item.is_array() || item.size() != 3 || !item[0].is_string() || !item[1].is_number_unsigned() ||
        !item[2].is_string())
      return false;
    files->push_back({item[0].get<std::string>(), item[1].get<u64>(), item[2].get<std::string>()});
  }
  return true;
}

bool send_image(int fd, const image::Image& image) {
  std::vector<u8> bytes;
  const auto append = [&bytes](const void* data, size_t size) {
    const u8* p = static_cast<const u8*>(data);
    bytes.insert(bytes.end(), p, p + size);
  };
  append(&image.header, sizeof image.header);
  append(image.vmas.data(), image.vmas.size() * sizeof(image::Vma));
  append(image.home_vmas.data(), image.home_vmas.size() * sizeof(image::Vma));
  append(image.threads.data(), image.threads.size() * sizeof(image::Thread));
  append(image.pending.data(), image.pending.size() * sizeof(image::Pending));
  return write_all(fd, bytes.data(), bytes.size());
}

namespace {

// Whoever works with the image relies on this: sorted, nothing twice, nothing of the engine's, no file that is not.
bool sane(const std::vector<image::Vma>& vmas, size_t files) {
  u64 last_end = 0;
  for (const image::Vma& v : vmas) {
    const bool aligned = (v.start | v.end | v.offset) % kPageSize == 0;
    const bool ours = v.start < kEngineEnd && v.end > kEngineBase;
    const bool file_ok = v.kind != image::VmaKind::file || (v.file >= 0 && static_cast<size_t>(v.file) < files);
    if (!aligned || v.start < last_end || v.start >= v.end || v.end > (1ull << 47) || ours || !file_ok) return false;
    last_end = v.end;
  }
  return true;
}

}  // namespace

bool receive_image(int fd, image::Image* image) {
  if (!read_exactly(fd, &image->header, sizeof image->header)) return false;
  const image::Header& h = image->header;
  if (h.threads == 0 || h.threads > kMaxThreads || h.vmas > kMaxVmas || h.home_vmas > kMaxVmas ||
      h.pending > kMaxPending || h.auxv_bytes > sizeof h.auxv)
    return false;
  image->vmas.resize(h.vmas);
  image->home_vmas.resize(h.home_vmas);
  image->threads.resize(h.threads);
  image->pending.resize(h.pending);
  if (!read_exactly(fd, image->vmas.data(), h.vmas * sizeof(image::Vma)) ||
      !read_exactly(fd, image->home_vmas.data(), h.home_vmas * sizeof(image::Vma)) ||
      !read_exactly(fd, image->threads.data(), h.threads * sizeof(image::Thread)) ||
      !read_exactly(fd, image->pending.data(), h.pending * sizeof(image::Pending))) {
    return false;
  }
  if (h.home_vmas == 0) image->home_vmas = image->vmas;
  if (!sane(image->vmas, image->files.size()) || !sane(image->home_vmas, image->files.size())) return false;
  for (const image::Thread& t : image->threads) {
    if (t.xsave_bytes < 576 || t.xsave_bytes > image::kXsaveMaxBytes || t.tid <= 0) return false;
  }
  for (const image::Pending& p : image->pending) {
    i32 signal = 0;
    memcpy(&signal, p.siginfo, sizeof signal);
    if (signal < 1 || signal > 64 || p.tid < 0) return false;
  }
  return true;
}

std::string vdso_sha256() {
  for (const MapsLine& line : read_maps(getpid())) {
    if (line.path != "[vdso]") continue;
    u8 digest[SHA256_DIGEST_LENGTH];
    SHA256(reinterpret_cast<const u8*>(line.start), line.end - line.start, digest);
    return hex_encode(digest, sizeof digest);
  }
  return "none";
}

std::vector<std::string> cpu_flags() {
  std::istringstream text(read_file("/proc/cpuinfo", 64 * 1024));
  std::vector<std::string> flags;
  for (std::string line; std::getline(text, line);) {
    if (!line.starts_with("flags")) continue;
    std::istringstream words(line.substr(line.find(':') + 1));
    for (std::string word; words >> word;) flags.push_back(word);
    break;
  }
  std::sort(flags.begin(), flags.end());
  return flags;
}

}  // namespace omig::host
