// SPDX-License-Identifier: Apache-2.0
// A process' pages, read from outside and handed on: of a frozen one, and ahead of that of one that still runs.
//
// Pre-copy: the kernel notes which pages are written (userfaultfd's asynchronous write protection and PAGEMAP_SCAN,
// which marks and lists pages in one step). A page is marked before it is read, so a page that still bears the mark is
// as it was sent, whatever happened around it: memory that was mapped anew, moved here or taken away and touched again
// bears none. What bears no mark when the process is frozen is sent again, what is gone by then is taken back.
#pragma once

#include <boost/icl/interval_set.hpp>
#include <functional>
#include <nlohmann/json.hpp>
#include <span>
#include <vector>

#include "lib/image/image.h"
#include "lib/link/peer.h"

namespace omig::host {

using Range = boost::icl::right_open_interval<u64>;
using Ranges = boost::icl::interval_set<u64, std::less, Range>;

// Large writable anonymous mappings: the target makes them, fills the part in use with huge pages (KERNEL.md 6: that
// makes the stream ten times as fast) and takes pages for them, all before the freeze.
struct Preparation {
  u64 start = 0, end = 0;            // the mapping
  u64 used_start = 0, used_end = 0;  // where its pages are close together; may be empty
};
std::vector<Preparation> preparations(pid_t pid, std::span<const image::Vma> vmas);
nlohmann::json preparations_to_json(std::span<const Preparation> list);
std::vector<Preparation> preparations_from_json(const nlohmann::json& json);
// Their mappings.
Ranges areas_of(std::span<const Preparation> prepared);
// Where noting writes is worth while: private memory that is not just a few pages.
Ranges notable(std::span<const image::Vma> vmas);
// What of it outlasts the freeze, when the layout is final. Both ends work it out for themselves.
Ranges kept(std::span<const Preparation> prepared, std::span<const image::Vma> vmas);

// MAP_NORESERVE for what the kernel's heuristics might refuse to promise. For nothing else: mappings that differ in it
// stay two mappings, and mremap does not take two as one.
u64 reservation_of(u64 bytes);

// Where page data goes. The kPageHeadroom bytes in front of `bytes` are for a header. false: the receiver is gone,
// stop.
inline constexpr size_t kPageHeadroom = 64;
using PageSink = std::function<bool(u64 address, std::span<u8> bytes)>;

struct PageStatistics {
  u64 bytes = 0;
  u64 zero_bytes = 0;
};

struct PageRequest {
  std::span<const image::Vma> vmas;
  const std::vector<bool>& files_there;  // [i]: the receiver has files[i] mapped; only pages that differ are sent
  Range keep_zeros{0, 0};                // elsewhere pages of zeros are left out
  const Ranges* ahead = nullptr;         // what a PreCopy has sent and the receiver has kept
};

// Sends what the receiver of a frozen process cannot know. `guards`: where a touch is to fail (MADV_GUARD_INSTALL);
// with a kernel that can install but not name them they are lost. `gone`, with `ahead`: what is not there any more of
// it.
bool send_pages(pid_t pid, const PageRequest& request, const PageSink& sink, PageStatistics* statistics, Ranges* guards,
                Ranges* gone = nullptr);

struct WriteTracker {
  Fd userfaultfd;  // opened in the process, held by us; its end ends the marks
  Ranges areas;
  // The process does not run meanwhile: whole mappings are marked, for half of one would be two. Again: for the
  // mappings that it has now.
  void start(pid_t pid, const Ranges& wanted);
  // Marks all that is there in the areas, and tells where that is. False: not all of it may be marked.
  bool mark(pid_t pid, Ranges* there) const;

 private:
  bool open_ = false;  // the kernel has agreed to note writes
};

// What home has of a guest, if it keeps an image: in these areas exactly these pages, as they were when they were
// marked.
struct HomeCopy {
  Ranges areas, pages;
  void forget(const Range& range) {
    areas -= range;
    pages -= range;
  }
};

class PreCopy {
 public:
  // A tracker that has not started: nothing is sent ahead.
  PreCopy(pid_t pid, WriteTracker tracker) : pid_(pid), tracker_(std::move(tracker)) {}
  // Sends all of it, then what was written meanwhile, as long as that pays. false: the receiver is gone.
  bool send(const PageSink& sink, PageStatistics* statistics);
  const Ranges& sent() const { return sent_; }

 private:
  pid_t pid_;
  WriteTracker tracker_;
  Ranges sent_;
};

}  // namespace omig::host
