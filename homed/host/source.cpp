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
#include <set>
#include <sstream>

#include "homed/host/trace.h"
#include "lib/abi/pagemap_scan.h"
#include "lib/image/anchor.h"

namespace omig::host {
namespace {

constexpr u32 kMaxVmas = 70000;  // vm.max_map_count is 65530 by default
constexpr u32 kMaxThreads = kMaxSlots;
constexpr u32 kMaxPending = 100000;

bool in_engine(const MapsLine& line) { return line.start >= kEngineBase && line.start < kEngineEnd; }

// The engine's range is large, and programs may map memory anywhere: what of it the engine has taken.
u64 end_of_engines(pid_t pid) {
  Anchor anchor;
  const bool left_once = read_memory(pid, kAnchorAddress, &anchor, sizeof anchor) && anchor.magic == kAnchorMagic;
  const u64 slots = std::max<u64>(left_once ? anchor.slots_used : 0, read_tasks(pid).size());
  return kSlotsAddress + std::min<u64>(slots, kMaxSlots) * kSlotWindow;
}

// How much of a file's mapping can be read: what lies beyond the file's end cannot.
u64 readable_bytes(int mem, const MapsLine& line) {
  const auto readable = [&](u64 page) {
    u8 byte;
    return pread(mem, &byte, 1, static_cast<off_t>(line.start + page * kPageSize)) == 1;
  };
  u64 good = 0, bad = (line.end - line.start) / kPageSize;
  if (readable(bad - 1)) return line.end - line.start;
  while (good < bad) {
    const u64 middle = (good + bad) / 2;
    if (readable(middle)) {
      good = middle + 1;
    } else {
      bad = middle;
    }
  }
  return good * kPageSize;
}

u32 flags_of(const AdvisedRange& a) {
  return (a.dont_fork ? image::kDontFork : 0) | (a.wipe_on_fork ? image::kWipeOnFork : 0) |
         (a.dont_dump ? image::kDontDump : 0) | (a.grows_down ? image::kGrowsDown : 0);
}

// Whether the line is a view of a segment, and which.
bool segment_view(pid_t pid, const MapsLine& line, int mem, FileCatalogue* files, std::span<const SharedMapping> shared,
                  image::Vma* vma) {
  const image::File* known = files->find({line.device, line.inode});
  const auto at_home = std::ranges::find(shared, line.start, &SharedMapping::start);
  vma->flags |= image::kSegment;
  vma->kind = image::VmaKind::file;
  vma->offset = line.offset;
  if (at_home != shared.end()) {
    const auto segment = segment_of(pid, *at_home);
    if (!segment) return false;
    vma->file = files->segment(line, line.offset + readable_bytes(mem, line), *segment);
    if (!at_home->writable) vma->flags |= image::kSharedReadOnly;
    return true;
  }
  if (known != nullptr && known->segment != image::File::Segment::no) {
    vma->file = files->nameless(line, 0);
    return true;
  }
  vma->flags &= ~image::kSegment;
  vma->kind = image::VmaKind::anonymous;
  vma->offset = 0;
  return false;
}

}  // namespace

Mappings read_mappings(pid_t pid, FileCatalogue* files, const MemoryFacts& facts) {
  Mappings result;
  std::set<FileId> nameless;
  Fd mem;
  const u64 engines_end = end_of_engines(pid), ear_at = kSlotsAddress + kMaxSlots * kSlotWindow;
  auto advised = facts.advised.begin();
  for (const MapsLine& line : read_maps(pid)) {
    if (in_engine(line) && line.start >= engines_end && (line.start < ear_at || line.start >= kPinsAddress)) {
      result.refusal = fmt::format("it has mapped memory where the engine works, at {:x}", line.start);
      return result;
    }
    if (in_engine(line) || line.path == "[vsyscall]") continue;
    image::Vma vma;
    vma.start = line.start;
    vma.end = line.end;
    vma.prot = line.prot;
    while (advised != facts.advised.end() && advised->end <= line.start) ++advised;
    if (advised != facts.advised.end() && advised->start <= line.start) vma.flags |= flags_of(*advised);
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
        if (!mem) mem = Fd(open(fmt::format("/proc/{}/mem", pid).c_str(), O_RDONLY | O_CLOEXEC));
        if (segment_view(pid, line, mem.get(), files, facts.shared, &vma)) {
          result.vmas.push_back(vma);
          continue;
        }
        if ((line.prot & PROT_WRITE) != 0 || line.inode == 0) {
          // Memory that was shared when we asked is in the list.
          result.refusal = "busy: it has just mapped shared memory, try again";
          return result;
        }
        vma.flags |= image::kSharedReadOnly;
      }
      vma.file = nameless.contains({line.device, line.inode}) ? -1 : files->index_of(line);
      if (vma.file < 0 && line.inode != 0) {
        if (!mem) mem = Fd(open(fmt::format("/proc/{}/mem", pid).c_str(), O_RDONLY | O_CLOEXEC));
        nameless.insert({line.device, line.inode});
        vma.file = files->nameless(line, line.offset + readable_bytes(mem.get(), line));
      }
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

nlohmann::json files_to_json(std::span<const image::File> files) {
  nlohmann::json list = nlohmann::json::array();
  for (const image::File& f : files)
    list.push_back({f.path, f.size_bytes, f.sha256_hex, static_cast<u32>(f.segment), f.home_device, f.home_inode});
  return list;
}

bool files_from_json(const nlohmann::json& json, std::vector<image::File>* files) {
  if (!json.is_array() || json.size() > kMaxVmas) return false;
  for (const auto& item : json) {
    if (!item.is_array() || item.size() != 6 || !item[0].is_string() || !item[1].is_number_unsigned() ||
        !item[2].is_string() || !item[3].is_number_unsigned() || item[3].get<u64>() > 2 ||
        !item[4].is_number_unsigned() || !item[5].is_number_unsigned())
      return false;
    const auto segment = static_cast<image::File::Segment>(item[3].get<u32>());
    if (segment != image::File::Segment::no && item[1].get<u64>() > kMostSegmentBytes) return false;
    files->push_back({item[0].get<std::string>(), item[1].get<u64>(), item[2].get<std::string>(), segment,
                      item[4].get<u64>(), item[5].get<u64>()});
  }
  return true;
}

bool send_image(Conversation& to, const image::Image& image) {
  std::vector<u8> bytes;
  const auto append = [&bytes](const void* data, size_t size) {
    const u8* p = static_cast<const u8*>(data);
    bytes.insert(bytes.end(), p, p + size);
  };
  append(&image.header, sizeof image.header);
  append(image.vmas.data(), image.vmas.size() * sizeof(image::Vma));
  append(image.home_vmas.data(), image.home_vmas.size() * sizeof(image::Vma));
  append(image.pins.data(), image.pins.size() * sizeof(image::Pin));
  append(image.segment_fds.data(), image.segment_fds.size() * sizeof(i32));
  append(image.threads.data(), image.threads.size() * sizeof(image::Thread));
  append(image.pending.data(), image.pending.size() * sizeof(image::Pending));
  return to.write(bytes.data(), bytes.size());
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

bool receive_image(ByteSource& from, image::Image* image) {
  if (!from.read(&image->header, sizeof image->header)) return false;
  const image::Header& h = image->header;
  if (h.threads == 0 || h.threads > kMaxThreads || h.vmas > kMaxVmas || h.home_vmas > kMaxVmas ||
      h.pending > kMaxPending || h.pins > kMaxVmas || h.segment_fds > kMaxVmas || h.auxv_bytes > sizeof h.auxv)
    return false;
  image->vmas.resize(h.vmas);
  image->home_vmas.resize(h.home_vmas);
  image->pins.resize(h.pins);
  image->segment_fds.resize(h.segment_fds);
  image->threads.resize(h.threads);
  image->pending.resize(h.pending);
  if (!from.read(image->vmas.data(), h.vmas * sizeof(image::Vma)) ||
      !from.read(image->home_vmas.data(), h.home_vmas * sizeof(image::Vma)) ||
      !from.read(image->pins.data(), h.pins * sizeof(image::Pin)) ||
      !from.read(image->segment_fds.data(), h.segment_fds * sizeof(i32)) ||
      !from.read(image->threads.data(), h.threads * sizeof(image::Thread)) ||
      !from.read(image->pending.data(), h.pending * sizeof(image::Pending))) {
    return false;
  }
  if (h.home_vmas == 0) image->home_vmas = image->vmas;
  if (!sane(image->vmas, image->files.size()) || !sane(image->home_vmas, image->files.size())) return false;
  for (const image::Pin& p : image->pins) {
    const bool aligned = (p.address | p.bytes | p.offset) % kPageSize == 0;
    if (!aligned || p.bytes == 0 || p.bytes > kPinsBytes || p.address > (1ull << 47) || p.offset > (1ull << 62) ||
        p.file < 0 || static_cast<size_t>(p.file) >= image->files.size())
      return false;
  }
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
