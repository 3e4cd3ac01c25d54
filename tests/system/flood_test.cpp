// SPDX-License-Identifier: Apache-2.0
// Strangers at the doors of homed and of a visit's host: ten thousand connections that say nothing, too little or
// nonsense. Programs go on, moves are made meanwhile, and homed grows no larger.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "lib/base/types.h"
#include "tests/system/membership.h"

namespace omig::test {

namespace {

constexpr const char* kFlood = R"py(
import os, socket, sys
directory, doors = sys.argv[1], [(a.split(":")[0], int(a.split(":")[1])) for a in sys.argv[2:]]
words = (b"", b"O", b"OMIG\1\0\0\0" + os.urandom(16), b"\x16\x03\1\2\0\1" + os.urandom(40), b"GET / HTTP/1.1\r\n\r\n", os.urandom(4000))
held, made = [], 0
while made < 10000 or not os.path.exists(directory + "/end"):
    s = socket.socket()
    s.settimeout(5)
    try:
        s.connect(doors[made % len(doors)])
        s.send(words[made % len(words)])
    except OSError: pass
    held.append(s)  # and stays silent
    if len(held) > 500: held.pop(0).close()
    made += 1
    if made == 1000: open(directory + "/flooded", "w").close()
print("made")
)py";

u64 resident_kib(pid_t pid) {
  std::ifstream file(fmt::format("/proc/{}/status", pid));
  for (std::string line; std::getline(file, line);)
    if (line.starts_with("VmRSS:")) return std::stoull(line.substr(6));
  return 0;
}

// Where the host of the only guest on that node listens.
std::string door_of_host(const Lab& lab, int node) {
  for (const auto& file : fs::directory_iterator(lab.state_dir(node) / "hosts")) {
    const auto host = nlohmann::json::parse(read_file(file.path()));
    return fmt::format("{}:{}", host.at("address").get<std::string>(), host.at("port").get<int>());
  }
  return "";
}

TEST(Flood, TenThousandStrangersKeepNobodyOut) {
  Lab lab(3);
  if (!lab.has_namespaces()) GTEST_SKIP() << "needs nodes with a network of their own: no namespaces here (not root)";
  Away job(lab, 1, 2);
  const u64 before[] = {resident_kib(lab.homed(1)), resident_kib(lab.homed(2))};
  const fs::path directory = fresh_directory("flood");
  Child flood(
      {.words = lab.on_node(3, {"env", "-u", "LD_PRELOAD", "python3", "-c", kFlood, directory.string(),
                                address_of(lab, 1) + ":7946", address_of(lab, 2) + ":7946", door_of_host(lab, 2)})},
      directory);
  ASSERT_NO_FATAL_FAILURE(until_there(directory / "flooded"));
  for (const char* to : {"home", "2", "home", "2"}) job.goes_to(to);
  EXPECT_FALSE(flood.ended());
  std::ofstream(directory / "end") << "now";
  ASSERT_TRUE(flood.wait_for_end(milliseconds(120'000)));
  EXPECT_EQ(flood.outcome().out, "made\n") << flood.outcome().describe();
  EXPECT_EQ(lab.health(), "");
  for (int node : {1, 2}) {
    EXPECT_LT(resident_kib(lab.homed(node)), before[node - 1] + 16'384) << node;
    const std::string log = read_file(lab.state_dir(node) / "homed.log");
    EXPECT_GE(times_in(log, "do not show that they belong to the cluster"), 1u) << log;
    EXPECT_LE(times_in(log, "do not show that they belong to the cluster"), 4u) << log;  // a minute each
  }
  job.ends_well();
}

}  // namespace

}  // namespace omig::test
