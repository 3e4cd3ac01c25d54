// SPDX-License-Identifier: Apache-2.0
// What a guest with shared memory of its own (segments.h) cannot do here.
//
// While it is away home's view of a segment is as old as its leaving. So it goes home before anybody there could see
// that: before it gets a child that shares the memory, before it reads or writes the segment's file by a descriptor,
// and, where the file outlives the mapping, before it says that the file should be up to date, ends, or executes
// another program.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cstring>

#include "homed/host/visit.h"

namespace omig::host {
namespace {

// Calls that do not care what is in the file.
bool only_the_descriptor(u32 nr, const u64 args[6]) {
  if (nr == SYS_fcntl) return args[1] != F_DUPFD && args[1] != F_DUPFD_CLOEXEC;
  return nr == SYS_flock || nr == SYS_fstat || nr == SYS_close;
}

bool opens(u32 nr) { return nr == SYS_open || nr == SYS_openat || nr == SYS_openat2 || nr == SYS_creat; }

}  // namespace

bool Visit::has_file_segment(const Guest& guest) const {
  const auto& files = guest.files.files();
  return std::ranges::any_of(guest.segments, [&](const auto& s) {
    return files[static_cast<size_t>(s.first)].segment == image::File::Segment::file;
  });
}

const char* Visit::needs_segments_home(Guest& guest, const syscalls::Row& row, const u64 args[6]) {
  if (guest.segments.empty()) return nullptr;
  const u32 nr = row.nr;
  const bool last_thread = nr == SYS_exit && threads_of(guest).size() == 1;
  if (last_thread || nr == SYS_exit_group || nr == SYS_execve || nr == SYS_execveat || nr == SYS_msync) {
    const std::lock_guard lock(guest.files_mutex);
    return has_file_segment(guest) ? "brings home what it wrote to a shared file mapping" : nullptr;
  }
  const std::lock_guard lock(mutex_);
  for (size_t i = 0; i < row.args.size(); ++i) {
    if (row.args[i].kind != syscalls::ShapeKind::fd || !guest.segment_fds.contains(static_cast<i32>(args[i]))) continue;
    if (!only_the_descriptor(nr, args)) return "uses a file that it has mapped shared";
    if (nr == SYS_close) guest.segment_fds.erase(static_cast<i32>(args[i]));
  }
  return nullptr;
}

// Within a call of `t`, with its result.
void Visit::note_opened(GuestThread& t, u32 nr, i64 fd) {
  Guest& guest = *t.guest;
  if (fd < 0 || !opens(nr) || guest.segments.empty()) return;
  struct stat st {};
  const wire::Reloc reloc{1, 0};
  const wire::Out out{0, sizeof st, 0, 0, ~0u};
  std::vector<u8> output;
  if (home_call(t, SYS_fstat, {static_cast<u64>(fd), 0}, {}, {&reloc, 1}, {&out, 1}, &output) < 0) return;
  memcpy(&st, output.data(), sizeof st);
  bool ours = false;
  {
    const std::lock_guard lock(guest.files_mutex);
    ours = std::ranges::any_of(guest.files.files(), [&](const image::File& f) {
      return f.segment != image::File::Segment::no && f.home_device == st.st_dev && f.home_inode == st.st_ino;
    });
  }
  const std::lock_guard lock(mutex_);
  if (ours) guest.segment_fds.insert(static_cast<i32>(fd));
}

}  // namespace omig::host
