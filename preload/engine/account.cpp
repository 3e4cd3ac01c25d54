// SPDX-License-Identifier: Apache-2.0
// The ledger of CPU time (lib/image/usage.h): the host says what to append to which files, the program's own process
// does it, so that the files are its user's. A file that cannot be written costs a figure, never the program.
#include "preload/engine/state.h"

namespace omig::engine {
namespace {

void append_to(const char* path, const u8* bytes, u64 count) {
  // WRONLY|CREAT|APPEND|NONBLOCK|NOFOLLOW|CLOEXEC: whatever somebody may have put there, we neither wait nor follow.
  constexpr u64 kFlags = 01 | 0100 | 02000 | 04000 | 0400000 | 02000000, kHere = static_cast<u64>(-100);
  const long fd = sys(__NR_openat, kHere, addr(path), kFlags, 0644);
  if (failed(fd)) return;
  sys(__NR_write, static_cast<u64>(fd), addr(bytes), count);
  sys(__NR_close, static_cast<u64>(fd));
}

}  // namespace

long serve_account(SlotBlock& b, const wire::Frame& frame) {
  wire::Account account;
  if (frame.bytes < sizeof account || frame.bytes > wire::kMaxAccount) return -EPROTO;
  const u64 rest = frame.bytes - sizeof account;
  if (const long ret = recv_exact(b, &account, sizeof account); ret != 0) return ret;
  if (ensure_scratch(b, rest + 1) != 0) return drain(b, rest);
  u8* bytes = reinterpret_cast<u8*>(b.scratch);
  if (const long ret = recv_exact(b, bytes, rest); ret != 0) return ret;
  if (account.bytes > rest) return -EPROTO;
  // A program that may not write large files would get a SIGXFSZ for ours.
  constexpr u64 kFileSizeLimit = 1, kLedgerBytes = 16 << 20;
  u64 limit[2] = {};
  sys(__NR_prlimit64, 0, kFileSizeLimit, 0, addr(limit));
  if (limit[0] < kLedgerBytes) return 0;
  bytes[rest] = 0;
  const char* path = reinterpret_cast<const char*>(bytes + account.bytes);
  const char* const end = reinterpret_cast<const char*>(bytes + rest);
  for (u32 i = 0; i < account.paths && path < end; ++i) {
    append_to(path, bytes, account.bytes);
    while (*path != 0) ++path;
    ++path;
  }
  return 0;
}

}  // namespace omig::engine
