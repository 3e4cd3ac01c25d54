// SPDX-License-Identifier: Apache-2.0
#include "tests/system/other_homed.h"

#include <fmt/format.h>

#include <fstream>

namespace omig::test {

namespace {

// A directory in front of where omctl looks, with a script that becomes `homed` after `before`.
Variables with_script(const fs::path& homed, const std::string& before) {
  const fs::path directory = fresh_directory("libexec");
  std::ofstream(directory / "homed") << fmt::format("#!/bin/sh\n{}exec {} \"$@\"\n", before, homed.string());
  fs::permissions(directory / "homed", fs::perms::owner_all);
  return {{"OMIG_LIBEXEC", directory}};
}

}  // namespace

Variables with_homed(const fs::path& homed) { return with_script(homed, "unset OMIG_LIBEXEC\n"); }

OwnClock::OwnClock() : file_(fresh_directory("clock") / "ahead") {
  set_ahead(std::chrono::seconds(0));
  variables_ = with_script(
      build_path("homed/homed"),
      fmt::format("export LD_PRELOAD={} OMIG_TEST_CLOCK={} ASAN_OPTIONS=$ASAN_OPTIONS:verify_asan_link_order=0\n",
                  build_path("tests/system/libset_clock.so").string(), file_.string()));
}

// In place: it is mapped by who goes by it.
void OwnClock::set_ahead(std::chrono::seconds time) const {
  const long seconds = time.count();
  std::fstream file(file_, std::ios::in | std::ios::out | std::ios::binary);
  if (!file) file.open(file_, std::ios::out | std::ios::binary);
  file.write(reinterpret_cast<const char*>(&seconds), sizeof seconds);
}

}  // namespace omig::test
