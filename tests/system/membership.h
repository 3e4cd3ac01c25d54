// SPDX-License-Identifier: Apache-2.0
// What the tests of a changing cluster share: programs that are away meanwhile, and who sees whom.
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <poll.h>

#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/system/script.h"
#include "tests/system/wait.h"

namespace omig::test {

// A program that computes on `guest_of` although it was started on `home`, until it is told to end.
class Away {
 public:
  Away(Lab& lab, int home, int guest_of)
      : lab_(lab),
        home_(home),
        directory_(fresh_directory("away")),
        child_({.words = lab.on_node(
                    home, {"bash", "-c", "until [ -e \"$0\" ]; do for i in {1..2000}; do :; done; done; echo well",
                           (directory_ / "end").string()})},
               directory_) {
    until_it_is("bash", child_.pid());
    goes_to(std::to_string(guest_of));
  }
  void goes_to(const std::string& node) { EXPECT_EQ(migrate(lab_, child_.pid(), node, home_), "") << node; }
  std::string pid() { return std::to_string(child_.pid()); }
  void ends_well() {
    std::ofstream(directory_ / "end") << "now";
    ASSERT_TRUE(child_.wait_for_end(milliseconds(60'000)));
    EXPECT_TRUE(child_.outcome().succeeded()) << child_.outcome().describe();
    EXPECT_EQ(child_.outcome().out, "well\n");
  }

 private:
  Lab& lab_;
  int home_;
  fs::path directory_;
  Child child_;
};

inline void until_there(const fs::path& file) {
  ASSERT_TRUE(wait_until([&] { return fs::exists(file); }, milliseconds(60'000))) << file;
}

inline size_t times_in(const std::string& text, const std::string& what) {
  size_t count = 0;
  for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++count;
  return count;
}

using Nodes = std::map<int, std::string>;

// Who is up, as a node sees it.
inline Nodes seen(Lab& lab, int node) {
  Nodes names;
  const auto answer = nlohmann::json::parse(lab.omctl(node, {"nodes", "--json"}).out, nullptr, false);
  if (!answer.is_object()) return names;
  for (const auto& each : answer.at("nodes"))
    if (each.at("state") == "up") names[each.at("id")] = each.at("name");
  return names;
}

inline void until_seen(Lab& lab, int node, const Nodes& expected) {
  const auto end = Clock::now() + std::chrono::seconds(60);
  while (seen(lab, node) != expected && Clock::now() < end) poll(nullptr, 0, 20);
  EXPECT_EQ(seen(lab, node), expected) << "by node " << node << lab.logs();
}

inline std::string address_of(Lab& lab, int node) {
  const std::string endpoint = nlohmann::json::parse(lab.omctl(node, {"map", "current", "--json"}).out).at("address");
  return endpoint.substr(0, endpoint.find(':'));
}

// Has a node load this map; what omctl said.
inline Outcome load(Lab& lab, int node, const std::string& text, std::vector<std::string> options = {}) {
  const fs::path file = fresh_directory("map") / "m.map";
  std::ofstream(file) << text;
  std::vector<std::string> words = {"map", "load", file};
  words.insert(words.end(), options.begin(), options.end());
  return lab.omctl(node, words);
}

inline bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace omig::test
