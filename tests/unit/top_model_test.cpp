// SPDX-License-Identifier: Apache-2.0
#include "tools/omctl/top_model.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace omig {

namespace {

using Json = nlohmann::json;

Json node(int id, double told, const std::string& state = "up") {
  return {{"id", id},
          {"name", "node" + std::to_string(id)},
          {"state", state},
          {"told", told},
          {"utilisation", std::min(1.0, told / 200)},
          {"cpus", 2.0},
          {"speed", 1.5},
          {"total_bytes", 1000ull << 20},
          {"free_bytes", 750ull << 20},
          {"real_free_bytes", 500ull << 20}};
}

Json many(int n) {
  Json nodes = Json::array();
  for (int i = 1; i <= n; ++i) nodes.push_back(node(i, 100));
  return nodes;
}

size_t marks(const std::vector<std::string>& lines, char mark) {
  size_t sum = 0;
  for (size_t i = 1; i + 1 < lines.size(); ++i)  // without title and last line, which name the marks
    sum += static_cast<size_t>(std::count(lines[i].begin(), lines[i].end(), mark));
  return sum;
}

TEST(TopModel, BarsAreAsLongAsTheLoad) {
  TopView view;
  const auto lines = top_picture(Json{node(1, 100), node(2, 50)}, view, 24, 80, "");
  ASSERT_EQ(lines.size(), 24u);
  EXPECT_EQ(marks(lines, '#'), 4u * (20 + 10));
  EXPECT_NE(lines[21].find(" 100    50"), std::string::npos) << lines[21];
}

TEST(TopModel, MemoryIsUsedThenPlusUpToTheTotal) {
  for (const bool vertical : {true, false}) {
    TopView view;
    view.vertical = vertical;
    EXPECT_EQ(top_key(view, 'm'), TopKey::none);
    const auto lines = top_picture(Json{node(1, 0)}, view, 24, 86, "");  // a bar of 20 or 60
    EXPECT_EQ(marks(lines, '+'), 3 * marks(lines, '#'));
    EXPECT_GT(marks(lines, '#'), 0u);
    top_key(view, 'r');
    const auto real = top_picture(Json{node(1, 0)}, view, 24, 86, "");
    EXPECT_EQ(marks(real, '+'), marks(real, '#'));
    EXPECT_EQ(marks(real, '#'), 2 * marks(lines, '#'));
  }
}

TEST(TopModel, SpeedAndUtilisation) {
  TopView view;
  top_key(view, 's');
  EXPECT_NE(top_picture(Json{node(1, 0)}, view, 24, 80, "")[21].find(" 30000"), std::string::npos);
  top_key(view, 'u');
  EXPECT_NE(top_picture(Json{node(1, 100)}, view, 24, 80, "")[21].find(" 50"), std::string::npos);
  EXPECT_NE(top_picture(Json{node(1, 900)}, view, 24, 80, "")[21].find(" 100"), std::string::npos);
}

TEST(TopModel, DeadNodesAreShownOnlyIfAskedFor) {
  const Json nodes{node(1, 100), node(2, 100, "down")};
  TopView view;
  top_key(view, 't');
  EXPECT_EQ(top_picture(nodes, view, 24, 80, "").back().rfind("nodes 1-1 of 1, 1 up", 0), 0u);
  top_key(view, 'd');
  const auto lines = top_picture(nodes, view, 24, 80, "");
  EXPECT_EQ(lines.back().rfind("nodes 1-2 of 2, 1 up", 0), 0u);
  EXPECT_NE(lines[21].find("DEAD"), std::string::npos);
  top_key(view, 'D');
  EXPECT_EQ(top_picture(nodes, view, 24, 80, "").back().rfind("nodes 1-1 of 1", 0), 0u);
}

TEST(TopModel, ScrollsAndStopsAtBothEnds) {
  const Json nodes = many(1000);
  TopView view;
  top_key(view, 'p');
  EXPECT_EQ(top_picture(nodes, view, 24, 80, "").back().rfind("nodes 1-10 of 1000", 0), 0u);
  top_key(view, 'n');
  EXPECT_EQ(top_picture(nodes, view, 24, 80, "").back().rfind("nodes 2-11 of 1000", 0), 0u);
  for (int i = 0; i < 2000; ++i) top_key(view, 'n');
  EXPECT_EQ(top_picture(nodes, view, 24, 80, "").back().rfind("nodes 991-1000 of 1000", 0), 0u);
  top_key(view, 'p');
  EXPECT_EQ(top_picture(nodes, view, 24, 80, "").back().rfind("nodes 990-999 of 1000", 0), 0u);
}

TEST(TopModel, FitsEverySize) {
  Json nodes = many(30);
  nodes[0]["told"] = 1e300;
  nodes[1]["name"] = std::string(300, 'x') + "\033[2J";
  for (const char key : std::string("lmrsuhvlmrsuhd")) {
    TopView view;
    top_key(view, 'v');
    top_key(view, key);
    for (size_t rows = 1; rows < 30; ++rows)
      for (size_t columns = 1; columns < 90; columns += 4) {
        const auto lines = top_picture(nodes, view, rows, columns, "");
        ASSERT_EQ(lines.size(), rows);
        for (const std::string& line : lines) ASSERT_LE(line.size(), columns);
      }
  }
}

TEST(TopModel, HelpAndStatusAreShownAndLeft) {
  TopView view;
  top_key(view, 'h');
  EXPECT_NE(top_picture(many(2), view, 24, 80, "")[1].find("utilisation"), std::string::npos);
  EXPECT_EQ(top_key(view, 'h'), TopKey::none);
  EXPECT_FALSE(view.help);
  EXPECT_EQ(top_picture(many(2), view, 24, 80, "gone").back(), "gone");
  EXPECT_EQ(top_key(view, '\n'), TopKey::redraw);
  EXPECT_EQ(top_key(view, 'q'), TopKey::quit);
}

TEST(TopModel, ProcessesAndGuests) {
  TopView view;
  view.first = 7;
  top_key(view, 'c');
  EXPECT_TRUE(view.processes);
  Json processes = Json::array(), guests = Json::array();
  processes.push_back(
      {{"pid", 4711}, {"node", "node2"}, {"moves", 3}, {"demand", 1.0}, {"cpu_ms", 61000}, {"command", "a\033b"}});
  guests.push_back({{"pid", 12}, {"home", "node3"}, {"command", "burn"}});
  const auto lines = top_processes({{"processes", processes}, {"guests", guests}}, view, 24, 80, "");
  ASSERT_EQ(lines.size(), 24u);
  EXPECT_EQ(lines[1], "   4711 node2                    3   1.00      1:01 a?b");
  EXPECT_NE(lines[2].find("guest of node3"), std::string::npos);
  EXPECT_EQ(lines.back().rfind("processes 1-2 of 2", 0), 0u);
  EXPECT_EQ(top_processes(Json::object(), view, 1, 80, "").size(), 1u);
  top_key(view, 'c');
  EXPECT_FALSE(view.processes);
}

}  // namespace

}  // namespace omig
