// SPDX-License-Identifier: Apache-2.0
// A homed that was told nothing of its speed finds it out, once.
#include <gtest/gtest.h>

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

}  // namespace

}  // namespace omig::test
