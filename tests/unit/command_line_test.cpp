// SPDX-License-Identifier: Apache-2.0
#include "lib/cli/command_line.h"

#include <gtest/gtest.h>

namespace omig::cli {

namespace {

std::string g_node;
Words g_command;

// Like omctl lab exec: an option, an argument, a flag and a command of somebody else's.
int sample_main(const Words& words) {
  CLI::App app{"says nothing", "omctl sample"};
  std::string where;
  bool flag = false;
  g_node.clear();
  app.add_option("-n,--node", g_node, "a node")->type_name("NODE")->check(CLI::IsMember({"1", "2"}));
  app.add_flag("-k", flag, "keep");
  app.add_option("WHERE", where, "a place")->required();
  carries_command(app);
  example(app, "  omctl sample 1 -- true");
  Words own = words;
  g_command = cut_command(app, own, 1);
  if (const auto end = parse(app, own)) return *end;
  return 0;
}

TEST(CommandLine, TheCarriedCommandIsLeftAsItIs) {
  for (const Words& line : {Words{"-n", "2", "home", "--", "test", "[a]", "--", "-n", "1"},
                            {"home", "--node=2", "test", "[a]", "--", "-n", "1"},
                            {"-kn", "2", "home", "test", "[a]", "--", "-n", "1"},
                            {"-n2", "home", "test", "[a]", "--", "-n", "1"}}) {
    EXPECT_EQ(sample_main(line), 0) << line[0];
    EXPECT_EQ(g_node, "2") << line[0];
    EXPECT_EQ(g_command, (Words{"test", "[a]", "--", "-n", "1"})) << line[0];
  }
}

TEST(CommandLine, AMistakeIsOneLineThatNamesTheNextStep) {
  for (const Words& line :
       {Words{}, {"home"}, {"--"}, {"-n"}, {"home", "--"}, {"-n", "3", "home", "true"}, {"-x", "home", "true"}}) {
    testing::internal::CaptureStderr();
    EXPECT_EQ(sample_main(line), kUsageError);
    const std::string said = testing::internal::GetCapturedStderr();
    EXPECT_EQ(said.rfind("omctl sample: ", 0), 0u) << said;
    EXPECT_EQ(said.find("(omctl sample --help)\n"), said.size() - 22) << said;
    EXPECT_EQ(std::count(said.begin(), said.end(), '\n'), 1) << said;
  }
}

TEST(CommandLine, IsDescribed) {
  const nlohmann::json all = description_of(sample_main);
  EXPECT_EQ(all["name"], "omctl sample");
  EXPECT_EQ(all["command"], true);
  EXPECT_EQ(all["arguments"][0]["names"][0], "WHERE");
  EXPECT_EQ(all["options"][1]["names"], (nlohmann::json{"-n", "--node"}));
  EXPECT_EQ(all["options"][1]["value"], "NODE");
  EXPECT_EQ(all["options"][1]["check"], "{1,2}");
  EXPECT_FALSE(all["options"][2].contains("value"));
}

}  // namespace

}  // namespace omig::cli
