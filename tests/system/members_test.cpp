// SPDX-License-Identifier: Apache-2.0
// The cluster changes while programs are away: maps are loaded, nodes leave and join.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "tests/system/membership.h"

namespace omig::test {

namespace {

TEST(Members, MapsAreLoadedWhileAProgramIsAway) {
  Lab lab(3);
  if (!lab.has_namespaces())
    GTEST_SKIP() << "needs nodes with addresses of their own: the lab has no namespaces here (not root)";
  const std::string a = address_of(lab, 1), b = address_of(lab, 2), c = address_of(lab, 3);
  Away job(lab, 1, 2);
  const std::string all = fmt::format("1 {} 1\n2 {} 1\n3 {} 1\n", a, b, c);
  const std::string two = fmt::format("1 {} 1\n2 {} 1\n", a, b);
  const auto goes_by = [&] { return lab.omctl(1, {"map", "current"}).out; };
  const std::string setpe = build_path("tools/setpe");
  const auto by_setpe = [&](std::vector<std::string> words) {
    words.insert(words.begin(), setpe);
    return run({.words = lab.on_node(1, words)});
  };

  EXPECT_EQ(load(lab, 1, all).out, fmt::format("node 1 of 3 at {}:7946\n", a));
  EXPECT_EQ(goes_by(), all);
  // What cannot be changes nothing.
  for (const auto& [map, said] : std::map<std::string, std::string>{
           {fmt::format("1 {} 1\n1 {} 1\n", a, b), ":2: id 1 is already in line 1\n"},
           {fmt::format("2 {} 1\n3 {} 1\n", b, c), "this machine is not in the map "},
           {fmt::format("1 {} 1\n3 {} 1\n", a, c), "process " + job.pid() + " is on node2"},
           {fmt::format("11 {} 1\n2 {} 1\n", a, b), "process " + job.pid() + " is on node2"}}) {
    const Outcome refused = load(lab, 1, map);
    EXPECT_EQ(WEXITSTATUS(refused.status), 1) << map;
    EXPECT_TRUE(contains(refused.err, said)) << refused.err;
    EXPECT_EQ(goes_by(), all);
  }
  until_seen(lab, 1, {{1, "node1"}, {2, "node2"}, {3, "node3"}});
  // A node that is not in the map any more is out, whatever it knows.
  EXPECT_TRUE(load(lab, 1, two).succeeded());
  EXPECT_TRUE(load(lab, 2, two).succeeded());
  EXPECT_EQ(seen(lab, 1), (Nodes{{1, "node1"}, {2, "node2"}}));
  until_seen(lab, 3, {{3, "node3"}});
  EXPECT_TRUE(contains(lab.omctl(3, {"nodes", "--json"}).out, "is not in the map of node1"));
  EXPECT_EQ(nlohmann::json::parse(lab.omctl(1, {"nodes", "--json"}).out).at("problems").size(), 0u);
  // And comes back with the map that has it.
  EXPECT_TRUE(load(lab, 1, all).succeeded());
  EXPECT_TRUE(load(lab, 2, all).succeeded());
  for (int node = 1; node <= 3; ++node) until_seen(lab, node, {{1, "node1"}, {2, "node2"}, {3, "node3"}});
  EXPECT_EQ(lab.omctl(1, {"where", job.pid()}).out, "node2\n");

  // openMosix' letters: -w wants nothing to be away, -W sees to it.
  const fs::path file = fresh_directory("map") / "w.map";
  std::ofstream(file) << fmt::format("11 {} 1\n2 {} 1\n3 {} 1\n", a, b, c);
  EXPECT_EQ(by_setpe({"-c", "-f", file}).out, fmt::format("{}: 3 nodes\n", file.string()));
  EXPECT_TRUE(contains(by_setpe({"-w", "-f", file}).err, "process " + job.pid() + " is on node2"));
  EXPECT_EQ(by_setpe({"-W", "-f", file, "-g", "1"}).out,
            fmt::format("node 11 of 3 at {}:7946, 1 brought home, 0 sent home\n", a));
  EXPECT_EQ(by_setpe({"-r"}).out, read_file(file));
  EXPECT_EQ(lab.omctl(1, {"set", "gateways"}).out, "gateways        1\n");
  EXPECT_EQ(lab.omctl(1, {"where", job.pid()}).out, "node1\n");
  EXPECT_EQ(lab.omctl(1, {"set", "lstay"}).out, "lstay           off\n");  // nothing was left set
  EXPECT_TRUE(load(lab, 2, read_file(file)).succeeded());
  until_seen(lab, 2, {{11, "node1"}, {2, "node2"}, {3, "node3"}});
  // It outlives homed, which is started with the old number.
  lab.kill_homed(1);
  lab.restart_homed(1);
  EXPECT_EQ(goes_by(), read_file(file));
  until_seen(lab, 2, {{11, "node1"}, {2, "node2"}, {3, "node3"}});
  job.ends_well();
}

TEST(Members, ANodeLeavesAndJoinsWhileProgramsAreAway) {
  Lab lab(3);
  Away own(lab, 3, 2), guest(lab, 1, 3), other(lab, 1, 2);
  const std::string first = address_of(lab, 1);
  const Outcome refused = lab.omctl(3, {"map", "off"});
  EXPECT_EQ(WEXITSTATUS(refused.status), 1);
  EXPECT_TRUE(contains(refused.err, "and 1 more (omctl leave brings all home first)")) << refused.err;
  EXPECT_EQ(lab.omctl(3, {"leave"}).out, "node3 has left its cluster, 1 brought home, 1 sent home\n") << lab.logs();
  EXPECT_EQ(lab.omctl(3, {"where", own.pid()}).out, "node3\n");
  EXPECT_EQ(lab.omctl(1, {"where", guest.pid()}).out, "node1\n");
  EXPECT_EQ(seen(lab, 3), (Nodes{{3, "node3"}}));
  for (int node = 1; node <= 2; ++node) {
    until_seen(lab, node, {{1, "node1"}, {2, "node2"}});
    EXPECT_FALSE(contains(lab.omctl(node, {"nodes"}).out, "down"));  // it is not missed
  }
  const Outcome nobody = lab.omctl(1, {"migrate", guest.pid(), "node3"});
  EXPECT_TRUE(contains(nobody.err, "no node node3 known here")) << nobody.err;

  const Outcome joined = lab.omctl(3, {"join", first});
  EXPECT_TRUE(joined.succeeded()) << joined.err;
  for (int node = 1; node <= 3; ++node) until_seen(lab, node, {{1, "node1"}, {2, "node2"}, {3, "node3"}});
  guest.goes_to("node3");
  EXPECT_EQ(lab.omctl(1, {"where", other.pid()}).out, "node2\n");  // was never disturbed
  own.ends_well();
  guest.ends_well();
  other.ends_well();
}

TEST(Members, OnlyWhoAdministersChangesTheCluster) {
  EXPECT_EQ(output_of(shared_lab(), R"py(
def asked_by_somebody(request):
    ends = os.pipe()
    if os.fork() == 0:
        os.setgid(65534)
        os.setuid(65534)
        os.write(ends[1], json.dumps(homed(request)).encode())
        os._exit(0)
    os.wait()
    return json.loads(os.read(ends[0], 10000))
if os.getuid() == 0:
    import stat
    place = os.environ["OMIG_DIR"]
    reachable = all(os.stat(p).st_mode & 1 for p in (place, os.path.dirname(place)))
    for request in ({"op": "load_map", "map": "1 10.0.0.1 1\n"}, {"op": "leave"}, {"op": "join", "member": "10.0.0.1:1"}):
        if not reachable: break  # the directory itself keeps others out
        answer = asked_by_somebody(request)
        assert answer.get("code") == "not permitted", answer
before = homed({"op": "map"})
for bad in ({"op": "load_map"}, {"op": "load_map", "map": 5}, {"op": "load_map", "map": "1 a.b 1\n"},
            {"op": "load_map", "map": "# " + "x" * 100000}, {"op": "join"}, {"op": "join", "member": "nowhere"},
            {"op": "join", "member": before["address"]}, {"op": "join", "member": "127.0.0.1:1"}):
    answer = homed(bad)
    assert not answer["ok"] and answer["reason"], (bad, answer)
assert homed({"op": "map"}) == before
print("unchanged")
)py"),
            "unchanged\n");
}

}  // namespace

}  // namespace omig::test
