// SPDX-License-Identifier: Apache-2.0
// Files of /proc. The kernel writes them, but names and paths in them are any program's to choose, and a process that
// dies while its file is read leaves half a line.
#include "homed/host/proc.h"

#include "homed/proc.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const omig::u8* data, size_t bytes) {
  using namespace omig;
  const std::string_view text(reinterpret_cast<const char*>(data), bytes);
  for (const host::MapsLine& line : host::parse_maps(text)) CLAIM(line.start < line.end && line.path.size() <= bytes);
  if (const auto stat = parse_stat(text)) CLAIM(stat->name.size() < bytes);
  for (const char* name : {"Uid", "NSpid", "VmRSS", "SigBlk"}) CLAIM(status_field(text, name).size() < bytes + 1);
  namespace_pids(text);
  effective_uid(text);
  environment_variable(text, "OMIG_DIR");
  return 0;
}
