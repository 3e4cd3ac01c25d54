// SPDX-License-Identifier: Apache-2.0
// Puts an image into an empty cell: address space, pages, threads, registrations, filter. Runs on the tracer thread;
// the guest does only what the tracer's batches tell it until the very end. Errors are std::runtime_error with the
// reason in words: the move is then abandoned and the program goes on where it was.
#pragma once

#include <map>
#include <vector>

#include "homed/host/cell.h"
#include "homed/host/segments.h"
#include "lib/image/image.h"
#include "lib/link/conversation.h"

namespace omig::host {

// What a guest's room has of a file: the same content, an empty one of its size that will be filled, a segment's memfd,
// or nothing.
enum class FilePlace { there, empty, segment, none };

class Restore {
 public:
  Restore(Cell& cell, const EngineHead& head) : cell_(cell), head_(head) {}

  // Work area, everything of the exec'ed image unmapped, vdso pages put aside. Before the freeze.
  void prepare();
  // A userfaultfd of the guest, with which its writes can be noted (pages.h); none where the kernel has none to give.
  Fd take_write_tracker() { return std::move(write_tracker_); }
  // Before the freeze: maps large memory, and while pages for it come from there, takes memory for the rest of them.
  void make_ready(std::vector<Preparation> preparations);
  bool receive_ahead(Conversation& from);
  void place(const image::Image& image, const std::vector<FilePlace>& files);
  // Reads PageRuns from there until the end mark. False: the sender is gone or sent nonsense.
  bool receive_pages(Conversation& from, const image::Image& image, const Segments& segments);
  // Makes the other threads, stopped. home tid -> tid here.
  std::map<i32, pid_t> make_threads(const image::Image& image);
  // Kernel registrations of every thread and the process' signal actions; `image.threads` must be complete by now.
  void register_threads(const image::Image& image, const std::map<i32, pid_t>& tids);
  // Drops the last privileges and installs the filter in all threads; returns the listener.
  Fd install_filter();
  // Registers, extended state and mask of every thread; the next PTRACE_CONT runs the program.
  void load_registers(const image::Image& image, const std::map<i32, pid_t>& tids);

 private:
  using PlaceSegment = std::function<bool(u64 address, std::span<const u8> bytes)>;
  bool receive_runs(Conversation& from, std::span<const image::Vma> vmas, Ranges* gone, Ranges* guards,
                    const PlaceSegment& place_segment = {});
  void open_write_tracker();
  void batch(pid_t tid, std::vector<BatchOp>& ops, const char* what, const std::function<void()>& while_running = {});

  Cell& cell_;
  const EngineHead& head_;
  std::map<image::VmaKind, u64> aside_;
  std::vector<Preparation> ready_;
  Fd write_tracker_;
};

// A batch op from plain arguments.
inline BatchOp op(i64 nr, u64 a = 0, u64 b = 0, u64 c = 0, u64 d = 0, u64 e = 0, u64 f = 0, bool may_fail = false) {
  return BatchOp{nr, {a, b, c, d, e, f}, 0, may_fail ? 1ull : 0ull};
}

}  // namespace omig::host
