// SPDX-License-Identifier: Apache-2.0
// Shared memory that one process alone uses (homed/sharing.h) on its way.
//
// Away each segment is a memfd, which the guest maps shared wherever home maps the segment: two views of it stay two
// views of the same memory. The host keeps the memfd, so that what was written to it is there even if the guest has
// unmapped it. On the way a segment's bytes are named by home's addresses: home keeps its mappings as they were when
// the program left, so that is where the bytes are taken from when it leaves, and put when it comes home, before
// anything else is done to home's mappings.
#pragma once

#include <functional>
#include <map>
#include <span>

#include "homed/host/pages.h"
#include "lib/image/image.h"

namespace omig::host {

// The memfds, by file number.
using Segments = std::map<i32, Fd>;

// A view of a segment by which home's process could write it, whatever its protection is now.
inline bool is_writable_view(const image::Vma& v) {
  return (v.flags & (image::kSegment | image::kSharedReadOnly)) == image::kSegment;
}

// Reads bytes of the segment that `vma` views, from `offset` of it on. How many could be read; 0: none.
using SegmentReader = std::function<u64(const image::Vma& vma, u64 offset, std::span<u8> bytes)>;
SegmentReader read_from_process(pid_t pid);
SegmentReader read_from(const Segments& segments);

// Hands on everything that home's views can reach, at home's addresses. `keep_zeros`: the receiver may have something
// else where there is nothing. False: the sink did not take it.
bool send_segments(std::span<const image::Vma> home_vmas, std::span<const image::File> files,
                   const SegmentReader& reader, const PageSink& sink, bool keep_zeros, PageStatistics* statistics);

// Puts bytes where `address` at home says; false: there is no segment.
bool place_in_segment(const Segments& segments, std::span<const image::Vma> home_vmas, u64 address,
                      std::span<const u8> bytes);

}  // namespace omig::host
