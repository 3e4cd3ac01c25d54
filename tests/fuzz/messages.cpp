// SPDX-License-Identifier: Apache-2.0
// JSON from peers and from people: gossip, requests, move plans. Fields may be missing, of another type, out of range.
#include "homed/host/pages.h"
#include "homed/host/source.h"
#include "homed/stream.h"
#include "lib/cluster/window.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const omig::u8* data, size_t bytes) {
  using namespace omig;
  const Json json = Json::parse(data, data + bytes, nullptr, false);
  if (json.is_discarded()) return 0;
  // What homed reads of any request (peers.cpp, control.cpp): a value of that type, or the default.
  if (json.is_object()) {
    for (const auto& [key, value] : json.items()) {
      field<i32>(json, key.c_str(), 0);
      field<u32>(json, key.c_str(), 0);
      field<u64>(json, key.c_str(), 0);
      field<double>(json, key.c_str(), 0);
      field<bool>(json, key.c_str(), false);
      text_field(json, key.c_str());
    }
  }
  cluster::entry_from_json(json);
  cluster::Window window;
  window.merge_json(json, 1'000'000, 1);
  CLAIM(window.all().size() <= cluster::kMaxWindow);
  // What we pass on, others understand.
  cluster::Window second;
  for (const u32 id : second.merge_json(window.to_json(1'000'000, cluster::kMaxWindow), 1'000'000, 0))
    CLAIM(window.find(id) != nullptr);
  std::vector<image::File> files;
  host::files_from_json(json, &files);
  for (const host::Preparation& p : host::preparations_from_json(json))
    CLAIM(p.start <= p.used_start && p.used_start <= p.used_end && p.used_end <= p.end);
  frame_json(json);
  return 0;
}
