// SPDX-License-Identifier: Apache-2.0
#include "homed/host/segments.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <memory>

namespace omig::host {
namespace {

constexpr u64 kChunkBytes = 128 * 1024;

bool all_zero(std::span<const u8> bytes) {
  return bytes[0] == 0 && memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0;
}

}  // namespace

SegmentReader read_from_process(pid_t pid) {
  const auto mem = std::make_shared<Fd>(open(fmt::format("/proc/{}/mem", pid).c_str(), O_RDONLY | O_CLOEXEC));
  return [mem](const image::Vma& vma, u64 offset, std::span<u8> bytes) {
    const ssize_t got =
        pread(mem->get(), bytes.data(), bytes.size(), static_cast<off_t>(vma.start + offset - vma.offset));
    return got <= 0 ? 0 : static_cast<u64>(got);
  };
}

SegmentReader read_from(const Segments& segments) {
  return [&segments](const image::Vma& vma, u64 offset, std::span<u8> bytes) {
    const auto it = segments.find(vma.file);
    if (it == segments.end()) return u64{0};
    const ssize_t got = pread(it->second.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
    return got <= 0 ? 0 : static_cast<u64>(got);
  };
}

bool send_segments(std::span<const image::Vma> home_vmas, std::span<const image::File> files,
                   const SegmentReader& reader, const PageSink& sink, bool keep_zeros, PageStatistics* statistics) {
  std::vector<u8> buffer(kPageHeadroom + kChunkBytes);
  const std::span<u8> data(buffer.data() + kPageHeadroom, kChunkBytes);
  for (const image::Vma& v : home_vmas) {
    if (!is_writable_view(v) || static_cast<size_t>(v.file) >= files.size()) continue;
    const u64 end = std::min(v.offset + v.bytes(), page_up(files[static_cast<size_t>(v.file)].size_bytes));
    for (u64 at = v.offset; at < end;) {
      const u64 want = std::min(end - at, kChunkBytes);
      const u64 got = page_down(reader(v, at, data.first(want)));
      if (got == 0) break;  // beyond the end of the file
      const auto nothing = [&](u64 page) { return !keep_zeros && all_zero(data.subspan(page, kPageSize)); };
      for (u64 from = 0; from < got;) {
        u64 to = from;
        while (to < got && !nothing(to)) to += kPageSize;
        statistics->bytes += to - from;
        // The headroom in front of a later run is the page before it, which has been handed on by then.
        if (to > from && !sink(v.start + at - v.offset + from, data.subspan(from, to - from))) return false;
        from = to + kPageSize;
      }
      at += got;
    }
  }
  return true;
}

bool place_in_segment(const Segments& segments, std::span<const image::Vma> home_vmas, u64 address,
                      std::span<const u8> bytes) {
  while (!bytes.empty()) {
    const auto v = std::upper_bound(home_vmas.begin(), home_vmas.end(), address,
                                    [](u64 a, const image::Vma& vma) { return a < vma.end; });
    if (v == home_vmas.end() || v->start > address || !is_writable_view(*v)) return false;
    const auto it = segments.find(v->file);
    const u64 part = std::min<u64>(bytes.size(), v->end - address);
    if (it == segments.end() ||
        pwrite(it->second.get(), bytes.data(), part, static_cast<off_t>(v->offset + address - v->start)) !=
            static_cast<ssize_t>(part))
      return false;
    address += part;
    bytes = bytes.subspan(part);
  }
  return true;
}

}  // namespace omig::host
