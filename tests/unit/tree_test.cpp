// SPDX-License-Identifier: Apache-2.0
// omigfs' tree without a mount: what each file asks homed, what it reads as, what writing it does.
#include "tools/omigfs/tree.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cerrno>

namespace omig::tree {

namespace {

// A homed in a variable: answers by op, keeps what it was asked.
struct Homed {
  Json answers = Json::parse(R"({
    "nodes": {"ok":true, "nodes":[
      {"id":2,"name":"node2","endpoint":"10.77.0.2:7946","state":"up","self":true,"told":149.6,"speed":0.5,"cpus":1.2,
       "utilisation":0.25,"free_bytes":5000,"real_free_bytes":3000,"total_bytes":9000},
      {"id":1,"name":"node1","endpoint":"10.77.0.1:7946","state":"down","cpus":4}]},
    "ps": {"ok":true, "processes":[{"pid":30},{"pid":4}], "guests":[{"pid":9},{"pid":4}]},
    "where": {"ok":true, "where":"away", "node":"node1", "moves":7},
    "why": {"ok":true, "can_move":false, "reason":"locked memory"},
    "settings": {"ok":true, "settings":{"block":true,"speed":0,"gateways":2,"decay":{"interval":60000,"slow":900}}},
    "set": {"ok":true}, "migrate": {"ok":true}, "bring": {"ok":true}})");
  std::vector<Json> asked;
  int error = EPERM;  // of ops without an answer

  Ask ask() {
    return [this](const Json& request, milliseconds, int* why) -> std::optional<Json> {
      asked.push_back(request);
      const auto found = answers.find(request.at("op").get<std::string>());
      if (found != answers.end()) return *found;
      *why = error;
      return std::nullopt;
    };
  }
};

std::string text_of(Homed& homed, const char* path) {
  std::string text;
  const int status = read(homed.ask(), path, &text);
  return status == 0 ? text : std::to_string(status);
}

TEST(Tree, WhatIsWhere) {
  Homed homed;
  std::vector<std::string> names;
  ASSERT_EQ(list(homed.ask(), "/", &names), 0);
  EXPECT_EQ(names, (std::vector<std::string>{"admin", "config", "nodes", "self", "4", "9", "30"}));
  Attributes link;
  ASSERT_EQ(look(homed.ask(), "/self", &link), 0);
  EXPECT_TRUE(S_ISLNK(link.mode) && is_self("/self"));
  EXPECT_EQ(list(homed.ask(), "/self", &names), -ENOTDIR);
  EXPECT_EQ(write(homed.ask(), "/self", "1"), -EISDIR);
  names.clear();
  ASSERT_EQ(list(homed.ask(), "/nodes", &names), 0);
  EXPECT_EQ(names, (std::vector<std::string>{"1", "2"}));
  for (const char* directory : {"/admin", "/nodes/2", "/4"}) {
    Attributes attributes;
    EXPECT_EQ(look(homed.ask(), directory, &attributes), 0) << directory;
    EXPECT_EQ(attributes.mode, S_IFDIR | 0555u) << directory;
    names.clear();
    ASSERT_EQ(list(homed.ask(), directory, &names), 0) << directory;
    EXPECT_GE(names.size(), 5u);
    for (const std::string& name : names) {
      const std::string path = std::string(directory) + "/" + name;
      EXPECT_EQ(look(homed.ask(), path, &attributes), 0) << path;
      EXPECT_TRUE(S_ISREG(attributes.mode)) << path;
      EXPECT_EQ(list(homed.ask(), path, &names), -ENOTDIR) << path;
      EXPECT_EQ(write(homed.ask(), path, "\n"), (attributes.mode & 0222) != 0 ? -EINVAL : -EACCES) << path;
    }
  }
  for (const char* path : {"/nothing", "/admin/nothing", "/nodes/9", "/nodes/x", "/nodes/02", "/nodes/0", "/04/where",
                           "/4/nothing", "/4/where/on", "/config/x", "/-4", "/self/where", "/99999999999"}) {
    Attributes attributes;
    EXPECT_EQ(look(homed.ask(), path, &attributes), -ENOENT) << path;
  }
}

TEST(Tree, Nodes) {
  Homed homed;
  EXPECT_EQ(text_of(homed, "/nodes/2/load"), "150\n");
  EXPECT_EQ(text_of(homed, "/nodes/2/speed"), "5000\n");
  EXPECT_EQ(text_of(homed, "/nodes/2/util"), "25\n");
  EXPECT_EQ(text_of(homed, "/nodes/2/CPUs"), "2\n");
  EXPECT_EQ(text_of(homed, "/nodes/2/mem"), "5000\n");
  EXPECT_EQ(text_of(homed, "/nodes/2/rmem"), "3000\n");
  EXPECT_EQ(text_of(homed, "/nodes/2/tmem"), "9000\n");
  EXPECT_EQ(text_of(homed, "/nodes/2/status"), "3\n");  // up, block
  EXPECT_EQ(text_of(homed, "/nodes/1/load"), "-101\n");
  EXPECT_EQ(text_of(homed, "/nodes/1/CPUs"), "-101\n");
  EXPECT_EQ(text_of(homed, "/nodes/1/status"), "0\n");
  EXPECT_EQ(text_of(homed, "/config"), "1 10.77.0.1 1\n2 10.77.0.2 1\n");
  EXPECT_EQ(text_of(homed, "/nodes/2"), std::to_string(-EISDIR));
}

TEST(Tree, Processes) {
  Homed homed;
  EXPECT_EQ(text_of(homed, "/4/where"), "1\n");
  EXPECT_EQ(text_of(homed, "/4/nmigs"), "7\n");
  EXPECT_EQ(text_of(homed, "/4/cantmove"), "locked memory\n");
  EXPECT_EQ(text_of(homed, "/4/goto"), std::to_string(-EACCES));
  homed.answers["where"]["where"] = "home";
  EXPECT_EQ(text_of(homed, "/4/where"), "0\n");
  homed.answers["why"]["can_move"] = true;
  EXPECT_EQ(text_of(homed, "/4/cantmove"), "");
  const std::pair<const char*, const char*> orders[] = {
      {"2\n", "2"}, {"home", "home"}, {" 0\n", "home"}, {"-1\n", "balance"}, {"node2", "node2"}};
  for (const auto& [written, to] : orders) {
    EXPECT_EQ(write(homed.ask(), "/4/goto", written), 0);
    EXPECT_EQ(homed.asked.back(), (Json{{"op", "migrate"}, {"pid", 4}, {"to", to}})) << written;
  }
  EXPECT_EQ(text_of(homed, "/4/lock"), "0\n");
  homed.answers["why"]["locked"] = true;
  EXPECT_EQ(text_of(homed, "/4/lock"), "1\n");
  homed.answers["job"] = {{"ok", true}};
  for (const bool lock : {true, false}) {
    EXPECT_EQ(write(homed.ask(), "/4/lock", lock ? "1\n" : "0\n"), 0);
    EXPECT_EQ(homed.asked.back(), (Json{{"op", "job"}, {"pid", 4}, {"lock", lock}}));
  }
  EXPECT_EQ(write(homed.ask(), "/4/lock", "2"), -EINVAL);
  // stay is the lock of its own, or the node's.
  homed.answers["settings"]["settings"]["lstay"] = false;
  EXPECT_EQ(text_of(homed, "/4/stay"), "1\n");
  homed.answers["why"]["locked"] = false;
  EXPECT_EQ(text_of(homed, "/4/stay"), "0\n");
  homed.answers["settings"]["settings"]["lstay"] = true;
  EXPECT_EQ(text_of(homed, "/4/stay"), "1\n");
  EXPECT_EQ(write(homed.ask(), "/4/stay", "0\n"), 0);
  EXPECT_EQ(homed.asked.back(), (Json{{"op", "job"}, {"pid", 4}, {"lock", false}}));
  homed.answers["why"]["disclosure"] = 2;
  EXPECT_EQ(text_of(homed, "/4/disclosure"), "2\n");
  EXPECT_EQ(write(homed.ask(), "/4/disclosure", "1\n"), 0);
  EXPECT_EQ(homed.asked.back(), (Json{{"op", "job"}, {"pid", 4}, {"disclosure", 1}}));
  for (const char* nonsense : {"4", "-1", "x"}) EXPECT_EQ(write(homed.ask(), "/4/disclosure", nonsense), -EINVAL);
  homed.answers.erase("job");
  EXPECT_EQ(write(homed.ask(), "/4/lock", "1"), -EPERM);
  homed.answers.erase("migrate");
  EXPECT_EQ(write(homed.ask(), "/4/goto", "2"), -EPERM);
  EXPECT_EQ(moved_by("/4/goto"), 4);
  EXPECT_EQ(moved_by("/4/where"), 0);
  EXPECT_EQ(moved_by("/4/lock"), 0);
  EXPECT_EQ(moved_by("/admin/bring"), 0);
  homed.answers.erase("where");
  homed.error = ESRCH;
  Attributes attributes;
  EXPECT_EQ(look(homed.ask(), "/4", &attributes), -ENOENT);
  homed.error = ENOTCONN;
  EXPECT_EQ(look(homed.ask(), "/4", &attributes), -ENOTCONN);
  EXPECT_EQ(text_of(homed, "/4/where"), std::to_string(-ENOTCONN));
}

TEST(Tree, Administration) {
  Homed homed;
  EXPECT_EQ(text_of(homed, "/admin/block"), "1\n");
  EXPECT_EQ(text_of(homed, "/admin/speed"), "0\n");
  EXPECT_EQ(text_of(homed, "/admin/gateways"), "2\n");
  EXPECT_EQ(text_of(homed, "/admin/decay-interval"), "60\n");
  EXPECT_EQ(text_of(homed, "/admin/slow-decay"), "900\n");
  EXPECT_EQ(text_of(homed, "/admin/fast-decay"), std::to_string(-ENOSYS));  // this homed has it not
  EXPECT_EQ(text_of(homed, "/admin/bring"), "0\n");
  EXPECT_EQ(text_of(homed, "/admin/mospe"), "2\n");
  EXPECT_TRUE(text_of(homed, "/admin/version").starts_with("omig "));
  const auto wrote = [&](const char* name, const char* text) {
    const int status = write(homed.ask(), std::string("/admin/") + name, text);
    return status == 0 ? homed.asked.back() : Json(status);
  };
  EXPECT_EQ(wrote("block", "0\n"), (Json{{"op", "set"}, {"block", false}}));
  EXPECT_EQ(wrote("speed", "15000\n"), (Json{{"op", "set"}, {"speed", 1.5}}));
  EXPECT_EQ(wrote("decay-interval", "60\n"), (Json{{"op", "set"}, {"decay", {{"interval", 60000}}}}));
  EXPECT_EQ(wrote("bring", "1\n"), (Json{{"op", "bring"}}));
  EXPECT_EQ(wrote("expel", "1\n"), Json(-EPERM));
  for (const char* nonsense : {"2", "x", "-1", "1x", "99999999999999999999"}) {
    EXPECT_EQ(wrote("block", nonsense), Json(-EINVAL)) << nonsense;
    EXPECT_EQ(wrote("bring", nonsense), Json(-EINVAL)) << nonsense;
  }
  EXPECT_EQ(wrote("version", "1"), Json(-EACCES));
  EXPECT_EQ(text_of(homed, "/admin/nomfs"), "1\n");
  EXPECT_EQ(write(homed.ask(), "/admin/nomfs", "1\n"), 0);
  EXPECT_EQ(wrote("nomfs", "0"), Json(-EOPNOTSUPP));
  homed.answers["nodes"] = {{"ok", true},
                            {"nodes", {{{"id", 1}, {"rtt_ms", 0.25}, {"bytes_per_s", 12'500'000.0}}, {{"id", 2}}}}};
  EXPECT_EQ(text_of(homed, "/admin/overheads"), "1 250 12500000\n2 - -\n");
}

}  // namespace

}  // namespace omig::tree
