// SPDX-License-Identifier: Apache-2.0
#include "lib/image/ledger.h"

#include <cstring>

namespace omig::image {

std::vector<UsageRecord> parse_ledger(std::span<const char> bytes) {
  std::vector<UsageRecord> records(bytes.size() / sizeof(UsageRecord));
  if (!records.empty()) memcpy(records.data(), bytes.data(), records.size() * sizeof(UsageRecord));
  return records;
}

CpuTime used_elsewhere(std::span<const UsageRecord> ledger, i32 pid, i32 tid) {
  CpuTime sum;
  for (const UsageRecord& record : ledger) {
    if (record.pid == pid && (tid == 0 || record.tid == tid)) sum += record.used;
  }
  return sum;
}

}  // namespace omig::image
