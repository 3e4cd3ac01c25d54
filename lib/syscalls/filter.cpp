// SPDX-License-Identifier: Apache-2.0
#include "lib/syscalls/filter.h"

#include <asm/unistd.h>
#include <fcntl.h>
#include <seccomp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <memory>
#include <stdexcept>
#include <string>

#include "lib/base/types.h"
#include "lib/syscalls/predicates.h"
#include "lib/syscalls/table.h"

namespace omig::syscalls {
namespace {

using Context = std::unique_ptr<void, decltype(&seccomp_release)>;

void check(int result, const std::string& what) {
  if (result < 0) throw std::runtime_error("the guest's seccomp program: " + what + ": " + strerror(-result));
}

// Allowed by number alone, so that the kernel answers from its bitmap without running the program.
void allow(const Context& context, u32 nr, const std::string& name) {
  check(seccomp_rule_add(context.get(), SCMP_ACT_ALLOW, static_cast<int>(nr), 0), "allowing " + name);
}

void allow_if(const Context& context, u32 nr, const std::string& name, scmp_arg_cmp condition) {
  check(seccomp_rule_add_array(context.get(), SCMP_ACT_ALLOW, static_cast<int>(nr), 1, &condition),
        "allowing some of " + name);
}

// notified() in table.cpp, said in libseccomp's words: several rules of one call are alternatives.
void allow_by_arguments(const Context& context) {
  allow_if(context, __NR_mmap, "mmap", SCMP_CMP64(3, SCMP_CMP_MASKED_EQ, kMapKindMask, kMapPrivateAnonymous));
  allow_if(context, __NR_clock_nanosleep, "clock_nanosleep",
           SCMP_CMP64(1, SCMP_CMP_MASKED_EQ, kAbsoluteTime, kAbsoluteTime));
  allow_if(context, __NR_madvise, "madvise", SCMP_CMP64(2, SCMP_CMP_MASKED_EQ, kAdviceHigh, 0));
  allow_if(context, __NR_madvise, "madvise", SCMP_CMP64(2, SCMP_CMP_MASKED_EQ, 0xffffffff, kAdviceFree));
  for (u64 bit = 1; bit <= kSignalMask; bit <<= 1) {
    // libseccomp has no "not equal under a mask": a signal that differs from SIGCHLD in any bit is another one.
    allow_if(context, __NR_rt_sigaction, "rt_sigaction", SCMP_CMP64(0, SCMP_CMP_MASKED_EQ, bit, ~u64{SIGCHLD} & bit));
  }
  allow_if(context, __NR_rt_sigaction, "rt_sigaction", SCMP_CMP64(1, SCMP_CMP_EQ, 0));
  allow_if(context, __NR_clock_gettime, "clock_gettime", SCMP_CMP64(0, SCMP_CMP_MASKED_EQ, kClockMask & ~u64{1}, 0));
  for (u64 bit : kClockBits)
    allow_if(context, __NR_clock_gettime, "clock_gettime", SCMP_CMP64(0, SCMP_CMP_MASKED_EQ, kClockSign | bit, bit));
}

std::vector<sock_filter> exported(const Context& context) {
  const int fd = memfd_create("omig-filter", MFD_CLOEXEC);
  check(fd < 0 ? -errno : 0, "memfd_create");
  const int result = seccomp_export_bpf(context.get(), fd);
  const off_t bytes = lseek(fd, 0, SEEK_END);
  std::vector<sock_filter> program(result < 0 || bytes < 0 ? 0 : static_cast<std::size_t>(bytes) / sizeof(sock_filter));
  const ssize_t got = pread(fd, program.data(), program.size() * sizeof(sock_filter), 0);
  close(fd);
  check(result, "export");
  check(got == bytes && got > 0 ? 0 : -EIO, "reading it back");
  return program;
}

}  // namespace

std::vector<sock_filter> build_filter() {
  // SCMP_ACT_NOTIFY is refused by libseccomp where it finds no kernel support; the guest's start reports that by name.
  Context context{seccomp_init(SCMP_ACT_NOTIFY), &seccomp_release};
  if (!context) throw std::runtime_error("the guest's seccomp program: libseccomp offers no user notification here");
  check(seccomp_attr_set(context.get(), SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS), "foreign architectures");
  // A binary tree over the numbers instead of a list: notified calls pass through about eight comparisons, not seventy.
  check(seccomp_attr_set(context.get(), SCMP_FLTATR_CTL_OPTIMIZE, 2), "optimisation");
  for (const Row& row : rows()) {
    if (row.route == Route::local) allow(context, row.nr, std::string(row.name));
    if (row.route == Route::traced) {
      check(seccomp_rule_add(context.get(), SCMP_ACT_TRACE(0), static_cast<int>(row.nr), 0),
            "tracing " + std::string(row.name));
    }
  }
  allow_by_arguments(context);
  return exported(context);
}

}  // namespace omig::syscalls
