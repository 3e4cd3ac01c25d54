// SPDX-License-Identifier: Apache-2.0
#include "lib/syscalls/table.h"

#include <asm/unistd.h>
#include <signal.h>
#include <sys/mman.h>

#include <algorithm>
#include <vector>

#include "lib/syscalls/predicates.h"
#include "lib/syscalls/rows.h"

namespace omig::syscalls {
namespace {

// Numbers above are far beyond what any kernel has; they have no row.
constexpr u32 kMostNumbers = 1024;

struct Table {
  std::vector<Row> rows;
  std::array<u16, kMostNumbers> index{};  // position + 1; 0: no row

  Table() {
    for (auto area : {file_rows(), name_rows(), event_rows(), network_rows(), process_rows(), identity_rows(),
                      memory_rows(), signal_rows(), time_rows(), system_rows()}) {
      rows.insert(rows.end(), area.begin(), area.end());
    }
    std::ranges::sort(rows, {}, &Row::nr);
    for (std::size_t i = 0; i < rows.size(); ++i) index.at(rows[i].nr) = static_cast<u16>(i + 1);
  }
};

const Table& table() {
  static const Table instance;
  return instance;
}

}  // namespace

std::span<const Row> rows() { return table().rows; }

const Row* find(u32 nr) {
  if (nr >= kMostNumbers || table().index[nr] == 0) return nullptr;
  return &table().rows[table().index[nr] - 1u];
}

bool notified(u32 nr, const u64 args[6]) {
  const Row* row = find(nr);
  if (row == nullptr) return true;
  if (row->route == Route::local) return false;
  if (nr == __NR_mmap) return (args[3] & kMapKindMask) != kMapPrivateAnonymous;
  if (row->route == Route::traced) return false;
  if (nr == __NR_clock_nanosleep) return (args[1] & kAbsoluteTime) == 0;
  if (nr == __NR_madvise) return (args[2] & kAdviceHigh) != 0 && (args[2] & 0xffffffff) != kAdviceFree;
  if (nr == __NR_clock_gettime) {
    bool local = (args[0] & kClockMask) <= 1;
    for (u64 bit : kClockBits) local = local || (args[0] & (kClockSign | bit)) == bit;
    return !local;
  }
  if (nr == __NR_rt_sigaction) return (args[0] & kSignalMask) == SIGCHLD && args[1] != 0;
  return true;
}

}  // namespace omig::syscalls
