// SPDX-License-Identifier: Apache-2.0
// The image stream of a process that arrives. What receive_image accepts is used without another look: it must be sane.
#include "homed/host/source.h"
#include "lib/image/layout.h"
#include "tests/fuzz/fuzz.h"

namespace {

void check(const std::vector<omig::image::Vma>& vmas, size_t files) {
  omig::u64 end = 0;
  for (const auto& v : vmas) {
    CLAIM(v.start >= end && v.start < v.end && (v.start | v.end) % omig::kPageSize == 0);
    CLAIM(v.kind != omig::image::VmaKind::file || (v.file >= 0 && static_cast<size_t>(v.file) < files));
    end = v.end;
  }
}

}  // namespace

int LLVMFuzzerTestOneInput(const omig::u8* data, size_t bytes) {
  using namespace omig;
  fuzz::Peer peer(data, bytes);
  image::Image image;
  image.files.resize(2);
  if (!host::receive_image(peer, &image)) return 0;
  CLAIM(!image.threads.empty());
  check(image.vmas, image.files.size());
  check(image.home_vmas, image.files.size());
  for (const image::Pending& p : image.pending) {
    i32 signal = 0;
    memcpy(&signal, p.siginfo, sizeof signal);
    CLAIM(signal >= 1 && signal <= 64);
  }
  image::plan_layout(image.home_vmas, image.vmas);
  return 0;
}
