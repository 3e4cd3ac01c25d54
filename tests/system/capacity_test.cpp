// SPDX-License-Identifier: Apache-2.0
// A homed that was told nothing of its speed finds it out, once.
#include <gtest/gtest.h>
#include <poll.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/system/compare.h"

namespace omig::test {

namespace {

TEST(Capacity, SpeedIsMeasuredOnceAndRemembered) {
  const std::string script = R"(
import json, os, signal, socket, subprocess, sys, time
homed, directory = sys.argv[1], sys.argv[2]
def ask(request):
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(directory + "/homed.sock")
        with s.makefile("rw") as f:
            f.write(json.dumps(request) + "\n"); f.flush()
            return json.loads(f.readline())
def life(*options, until):
    log = open(directory + "/log", "w+")
    words = [homed, "--foreground", "--state-dir", directory, "--id", "1", "--listen", "127.77.0.1:7951", *options]
    daemon = subprocess.Popen(words, stderr=log)
    limit = time.monotonic() + 60
    try:
        while True:
            assert daemon.poll() is None and time.monotonic() < limit, open(directory + "/log").read()
            try: speed = ask({"op": "nodes"})["nodes"][0]["speed"]
            except OSError: speed = None
            if speed is not None and until(): break
            time.sleep(0.05)  # the interval of asking
        return ask({"op": "nodes"})["nodes"][0]["speed"], open(directory + "/log").read()
    finally:
        daemon.send_signal(signal.SIGTERM); daemon.wait()
measured, log = life(until=lambda: "(measured:" in open(directory + "/log").read())
kept = json.load(open(directory + "/speed.json"))
assert kept["speed"] == measured and 0.01 <= measured <= 100, (kept, measured)
again, log = life(until=lambda: True)
assert again == measured and f"CPUs of speed {measured:.2f}" in log, log
json.dump({**kept, "speed": measured * 2}, open(directory + "/speed.json", "w"))
assert life(until=lambda: True)[0] == measured * 2
json.dump({**kept, "key": "another CPU"}, open(directory + "/speed.json", "w"))
anew, log = life(until=lambda: "(measured:" in open(directory + "/log").read())
new = json.load(open(directory + "/speed.json"))
assert new["key"] == kept["key"] and new["speed"] == anew, (anew, new)
assert life("--speed", "3", until=lambda: True)[0] == 3
print("good")
)";
  const fs::path directory = fresh_directory("capacity");
  Outcome outcome =
      run({.words = {"python3", "-c", script, omctl_path().parent_path().parent_path() / "homed" / "homed", directory}},
          milliseconds(200'000));
  EXPECT_EQ(outcome.out, "good\n") << outcome.describe() << outcome.err;
}

// Of a node that is a part of a machine, as its neighbour hears of it.
TEST(Capacity, ANeighbourHearsHowBusyTheCpusAre) {
  Lab lab(2, {"--cpu", "40"});
  const nlohmann::json status = nlohmann::json::parse(lab.lab_command("status", {"--json"}).out);
  if (status["cpu_percent"].is_null()) GTEST_SKIP() << "needs a cgroup with the cpu controller";
  const std::string script = R"(
import json, subprocess, sys, time
burner = subprocess.Popen(["sh", "-c", "while :; do :; done"])
limit = time.monotonic() + 60
try:
    while True:
        nodes = json.loads(subprocess.run(sys.argv[1:], capture_output=True, text=True).stdout)["nodes"]
        busy, idle = [n for n in nodes if n["name"] == "node1"][0], [n for n in nodes if n["self"]][0]
        if busy["utilisation"] > 0.8 and idle["utilisation"] < 0.6: break
        assert time.monotonic() < limit, (busy, idle)
        time.sleep(0.2)  # the interval of asking
finally: burner.kill()
assert 0 < busy["real_free_bytes"] < busy["total_bytes"], busy
print("heard")
)";
  std::vector<std::string> words{"python3", "-c", script};
  for (const std::string& word : lab.on_node(2, {omctl_path(), "nodes", "--json"})) words.push_back(word);
  Outcome outcome = run({.words = lab.on_node(1, words)}, milliseconds(90'000));
  EXPECT_EQ(outcome.out, "heard\n") << outcome.describe() << outcome.err;
}

// The way to the other node: how far by the exchange of news, how wide by the moves there.
TEST(Capacity, TheLinkToANodeIsMeasured) {
  Lab lab(2, {"--rate", "200"});
  if (!lab.has_namespaces()) GTEST_SKIP() << "needs links with a rate: the lab has no namespaces here (not root)";
  const auto link = [&](const char* figure) {
    const auto answer = nlohmann::json::parse(lab.omctl(1, {"nodes", "--json"}).out);
    for (const auto& node : answer.at("nodes"))
      if (node.at("name") == "node2") return node.value(figure, 0.0);
    return -1.0;
  };
  const auto until_known = [&](const char* figure) {
    const auto end = Clock::now() + std::chrono::seconds(60);
    while (link(figure) <= 0 && Clock::now() < end) poll(nullptr, 0, 20);
    return link(figure);
  };
  EXPECT_GT(until_known("rtt_ms"), 0);
  EXPECT_LT(link("rtt_ms"), 1'000);
  EXPECT_EQ(link("bytes_per_s"), 0);  // nothing has gone there yet
  const fs::path directory = fresh_directory("big");
  Child big({.words = lab.on_node(1, {"python3", "-c",
                                      "import os, sys, time\n"
                                      "memory = os.urandom(48 << 20)\n"
                                      "open(sys.argv[1] + '/ready', 'w')\n"
                                      "while not os.path.exists(sys.argv[1] + '/end'): sum(range(20000))\n"
                                      "print(len(memory))",
                                      directory.string()})},
            directory);
  const auto end = Clock::now() + std::chrono::seconds(60);
  while (!fs::exists(directory / "ready") && Clock::now() < end) poll(nullptr, 0, 10);
  EXPECT_EQ(migrate(lab, big.pid(), "2"), "");
  const double bytes_per_s = until_known("bytes_per_s");
  EXPECT_GT(bytes_per_s, 0);
  EXPECT_LT(bytes_per_s, 200e6 / 8 * 2);  // of the image, some of which need not travel; without a limit it is 500e6
  std::ofstream(directory / "end") << "now";
  ASSERT_TRUE(big.wait_for_end(milliseconds(60'000)));
  EXPECT_EQ(big.outcome().out, std::to_string(48 << 20) + "\n") << big.outcome().describe();
}

}  // namespace

}  // namespace omig::test
