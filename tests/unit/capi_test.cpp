// SPDX-License-Identifier: Apache-2.0
// libomig-client against a control socket of the test's own: what it asks, what it makes of answers, refusals, silence
// and nonsense.
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <functional>
#include <mutex>
#include <nlohmann/json.hpp>
#include <thread>

#include "lib/capi/omig.h"
#include "lib/client/settings.h"

namespace omig {

namespace {

// Answers each request with the lines that `answer` gives for it; an empty list: with the end of the conversation.
class FakeHomed {
 public:
  using Answer = std::function<std::vector<std::string>(const Json&)>;

  explicit FakeHomed(Answer answer) : answer_(std::move(answer)) {
    char name[] = "/tmp/omig-capi-XXXXXX";
    directory_ = mkdtemp(name);
    listener_ = Fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un at{.sun_family = AF_UNIX};
    (directory_ + "/homed.sock").copy(at.sun_path, sizeof at.sun_path - 1);
    if (bind(listener_.get(), reinterpret_cast<sockaddr*>(&at), sizeof at) != 0 || listen(listener_.get(), 8) != 0)
      throw std::runtime_error("cannot listen in " + directory_);
    server_ = std::thread([this] { serve(); });
  }

  ~FakeHomed() {
    shutdown(listener_.get(), SHUT_RDWR);
    server_.join();
    std::filesystem::remove_all(directory_);
  }

  const std::string& directory() const { return directory_; }
  Json last() {
    const std::lock_guard lock(mutex_);
    return last_;
  }

 private:
  void serve() {
    for (;;) {
      Fd link(accept(listener_.get(), nullptr, nullptr));
      if (!link) return;
      std::string line;
      for (char c = 0; read(link.get(), &c, 1) == 1 && c != '\n';) line += c;
      const Json request = Json::parse(line, nullptr, false);
      {
        const std::lock_guard lock(mutex_);
        last_ = request;
      }
      for (const std::string& reply : answer_(request)) write_all(link.get(), (reply + "\n").data(), reply.size() + 1);
    }
  }

  Answer answer_;
  std::string directory_;
  Fd listener_;
  std::mutex mutex_;
  Json last_;
  std::thread server_;
};

struct Conversation {
  explicit Conversation(const std::string& directory) { EXPECT_EQ(omig_open(directory.c_str(), &talk), 0); }
  ~Conversation() { omig_close(talk); }
  operator omig_conversation*() const { return talk; }
  omig_conversation* talk = nullptr;
};

FakeHomed::Answer always(const std::string& line) {
  return [line](const Json&) { return std::vector{line}; };
}

const char* const kNodes = R"({"ok":true,"node":"node1","nodes":[
 {"id":1,"name":"node1","endpoint":"10.77.0.1:7946","self":true,"state":"up","told":149.6,"speed":0.5,"cpus":0.4,
  "utilisation":0.249,"real_free_bytes":3000,"free_bytes":5000,"total_bytes":9000,"guests":2,"away":3,"accepts":false},
 {"id":7,"name":"seven","endpoint":"10.77.0.7:7946","state":"down","age_ms":12000,"cpus":2}],"problems":[]})";

std::string one_line(std::string text) {
  std::erase(text, '\n');
  return text;
}

TEST(ClientLibrary, Nodes) {
  FakeHomed homed(always(one_line(kNodes)));
  const Conversation talk(homed.directory());
  omig_nodes* nodes = nullptr;
  ASSERT_EQ(omig_nodes_get(talk, &nodes), 0) << omig_reason(talk);
  ASSERT_EQ(omig_nodes_count(nodes), 2u);
  const omig_node* n = omig_nodes_at(nodes, 0);
  EXPECT_EQ(n->id, 1u);
  EXPECT_TRUE(n->self);
  EXPECT_STREQ(n->name, "node1");
  EXPECT_STREQ(n->endpoint, "10.77.0.1:7946");
  EXPECT_EQ(n->status, unsigned{OMIG_UP | OMIG_BLOCK});
  EXPECT_EQ(n->load, 150);
  EXPECT_EQ(n->speed, 5000);
  EXPECT_EQ(n->utilisation, 25);
  EXPECT_DOUBLE_EQ(n->cpus, 0.4);
  EXPECT_EQ(n->total_bytes, 9000u);
  EXPECT_EQ(n->away, 3u);
  EXPECT_EQ(omig_nodes_at(nodes, 1)->status, 0u);
  EXPECT_EQ(omig_nodes_at(nodes, 1)->age_ms, 12000);
  EXPECT_EQ(omig_nodes_at(nodes, 2), nullptr);
  omig_nodes_free(nodes);
  for (const char* name : {"7", "seven", "10.77.0.7", "10.77.0.7:7946"}) EXPECT_EQ(omig_whois(talk, name), 7) << name;
  EXPECT_EQ(omig_whois(talk, nullptr), 1);
}

TEST(ClientLibrary, OneNode) {
  FakeHomed homed([](const Json& request) {
    if (request.value("op", "") == "settings")
      return std::vector<std::string>{
          R"({"ok":true,"settings":{"block":true,"stay":false,"lstay":true,"quiet":true}})"};
    return std::vector{one_line(kNodes)};
  });
  const Conversation talk(homed.directory());
  EXPECT_EQ(omig_load(talk, "node1"), 150);
  EXPECT_EQ(omig_speed(talk, nullptr), 5000);
  EXPECT_EQ(omig_utilisation(talk, ""), 25);
  double cpus = 0;
  EXPECT_EQ(omig_cpus(talk, "1", &cpus), 0);
  EXPECT_DOUBLE_EQ(cpus, 0.4);
  uint64_t free_bytes = 0;
  EXPECT_EQ(omig_memory(talk, "1", &free_bytes, nullptr), 0);
  EXPECT_EQ(free_bytes, 5000u);
  EXPECT_EQ(omig_status(talk, "1"), OMIG_UP | OMIG_BLOCK | OMIG_LSTAY | OMIG_QUIET);
  EXPECT_EQ(omig_status(talk, "seven"), 0);
  EXPECT_EQ(omig_load(talk, "seven"), -EHOSTUNREACH);
  EXPECT_STREQ(omig_reason(talk), "node seven is down");
  EXPECT_EQ(omig_load(talk, "nobody"), -ENXIO);
  EXPECT_EQ(omig_load(talk, "1"), 150);
  EXPECT_STREQ(omig_reason(talk), "");
}

TEST(ClientLibrary, Processes) {
  FakeHomed homed(always(
      R"({"ok":true,"node":"node1","processes":[{"pid":10,"uid":5,"where":"away","node":"node2","state":"S","threads":3,"moves":4,"cpu_ms":77,"moving":true,"command":"a b","refusal":"busy"}],"guests":[{"pid":11,"home":"node3","command":"c"}]})"));
  const Conversation talk(homed.directory());
  omig_processes* list = nullptr;
  ASSERT_EQ(omig_processes_get(talk, &list), 0) << omig_reason(talk);
  ASSERT_EQ(omig_processes_count(list), 2u);
  const omig_process* p = omig_processes_at(list, 0);
  EXPECT_EQ(p->pid, 10);
  EXPECT_EQ(p->uid, 5u);
  EXPECT_EQ(p->where, OMIG_AWAY);
  EXPECT_STREQ(p->node, "node2");
  EXPECT_STREQ(p->home, "node1");
  EXPECT_STREQ(p->command, "a b");
  EXPECT_STREQ(p->refusal, "busy");
  EXPECT_EQ(p->state, 'S');
  EXPECT_EQ(p->moves, 4u);
  EXPECT_EQ(p->cpu_ms, 77u);
  EXPECT_TRUE(p->moving);
  p = omig_processes_at(list, 1);
  EXPECT_EQ(p->where, OMIG_GUEST);
  EXPECT_EQ(p->uid, static_cast<uid_t>(-1));
  EXPECT_STREQ(p->node, "node1");
  EXPECT_STREQ(p->home, "node3");
  omig_processes_free(list);
}

TEST(ClientLibrary, WhereAndWhy) {
  FakeHomed homed([](const Json& request) {
    if (request.value("op", "") == "where")
      return std::vector<std::string>{R"({"ok":true,"where":"away","node":"node2"})"};
    return std::vector<std::string>{
        R"({"ok":true,"can_move":false,"reason":"locked memory","policy":"omig","decision":"because","came_home_for":"fork","came_home_ms_ago":12})"};
  });
  const Conversation talk(homed.directory());
  char node[8] = "";
  EXPECT_EQ(omig_where(talk, 4, node, sizeof node), OMIG_AWAY);
  EXPECT_STREQ(node, "node2");
  EXPECT_EQ(homed.last(), (Json{{"op", "where"}, {"pid", 4}}));
  EXPECT_EQ(omig_where(talk, 4, node, 5), -ERANGE);
  EXPECT_EQ(omig_where(talk, 4, nullptr, 0), OMIG_AWAY);
  const omig_why* why = nullptr;
  ASSERT_EQ(omig_why_get(talk, 4, &why), 0);
  EXPECT_FALSE(why->can_move);
  EXPECT_STREQ(why->reason, "locked memory");
  EXPECT_STREQ(why->last_refusal, "");
  EXPECT_STREQ(why->decision, "because");
  EXPECT_STREQ(why->came_home_for, "fork");
  EXPECT_EQ(why->came_home_ms_ago, 12);
  omig_why_free(why);
}

TEST(ClientLibrary, Moves) {
  FakeHomed homed([](const Json& request) {
    if (request.value("op", "") == "place")
      return std::vector<std::string>{R"({"ok":true,"waiting":true})", R"({"ok":true,"node":"node2"})"};
    return std::vector<std::string>{
        R"({"ok":true,"node":"node2","freeze_ms":1.5,"total_ms":9,"bytes":100,"ahead_bytes":50})"};
  });
  const Conversation talk(homed.directory());
  const omig_moved* moved = nullptr;
  ASSERT_EQ(omig_migrate(talk, 4, "node2", &moved), 0);
  EXPECT_EQ(homed.last(), (Json{{"op", "migrate"}, {"pid", 4}, {"to", "node2"}}));
  EXPECT_STREQ(moved->node, "node2");
  EXPECT_DOUBLE_EQ(moved->freeze_ms, 1.5);
  EXPECT_EQ(moved->bytes, 150u);
  omig_moved_free(moved);
  EXPECT_EQ(omig_migrate_home(talk, 4), 0);
  EXPECT_EQ(homed.last().value("to", ""), "home");
  EXPECT_EQ(omig_balance(talk, 4), 0);
  EXPECT_EQ(homed.last().value("to", ""), "balance");
  int told = 0;
  EXPECT_EQ(omig_place(
                talk, 4, "2", [](void* count) { ++*static_cast<int*>(count); }, &told),
            0);
  EXPECT_EQ(told, 1);
  EXPECT_EQ(omig_set_decay(talk, 4, "fast"), 0);
  EXPECT_EQ(homed.last(), (Json{{"op", "decay"}, {"pid", 4}, {"kind", "fast"}}));
  EXPECT_EQ(omig_set_lock(talk, 4, 1, nullptr), 0);
  EXPECT_EQ(homed.last(), (Json{{"op", "job"}, {"pid", 4}, {"lock", true}}));
  EXPECT_EQ(omig_set_lock(talk, 4, 0, "node3"), 0);
  EXPECT_EQ(homed.last(), (Json{{"op", "job"}, {"pid", 4}, {"lock", false}, {"node", "node3"}}));
  EXPECT_EQ(omig_set_kind(talk, 4, "io"), 0);
  EXPECT_EQ(homed.last(), (Json{{"op", "job"}, {"pid", 4}, {"kind", "io"}}));
  EXPECT_EQ(omig_set_kind(talk, 4, nullptr), -EINVAL);
}

TEST(ClientLibrary, SettingsAreReadAndWrittenUnderTheSameName) {
  Json held = Json::parse(
      R"({"block":true,"stay":false,"lstay":false,"quiet":false,"speed":0,"gateways":1,"decay":{"interval":60000,"slow":900,"fast":205}})");
  FakeHomed homed([&](const Json& request) {
    for (const auto& [key, value] : request.items())
      if (key != "op" && key != "node") value.is_object() ? held[key].update(value) : void(held[key] = value);
    return std::vector{Json{{"ok", true}, {"settings", held}}.dump()};
  });
  const Conversation talk(homed.directory());
  int64_t value = -1;
  EXPECT_EQ(omig_get(talk, "block", &value), 0) << omig_reason(talk);
  EXPECT_EQ(value, 1);
  EXPECT_EQ(homed.last(), (Json{{"op", "settings"}}));
  for (const Setting& s : settings()) {
    const std::string name(s.name);
    for (const i64 v : {s.most, s.least}) {
      EXPECT_EQ(omig_set(talk, name.c_str(), v), 0) << name << omig_reason(talk);
      EXPECT_EQ(omig_get(talk, name.c_str(), &value), 0) << name << omig_reason(talk);
      EXPECT_EQ(value, v) << name;
    }
    EXPECT_EQ(omig_set(talk, name.c_str(), s.most + 1), -EINVAL) << name;
    EXPECT_EQ(omig_set(talk, name.c_str(), s.least - 1), -EINVAL) << name;
  }
  EXPECT_EQ(omig_get(talk, "colour", &value), -EINVAL);
  EXPECT_NE(std::string(omig_reason(talk)).find("there are block, "), std::string::npos);
}

TEST(ClientLibrary, BringTellsItsProgress) {
  FakeHomed homed([](const Json& request) {
    std::vector<std::string> lines{R"({"progress":{"moved":0,"left":2}})", R"({"progress":{"moved":1,"left":1}})"};
    if (!request.value("progress", false)) lines.clear();
    if (request.at("op") == "bring") lines.push_back(R"({"ok":true,"moved":2,"failed":[]})");
    if (request.at("op") == "expel") lines.push_back(R"({"ok":false,"reason":"1 of 2 could not be moved"})");
    return lines;
  });
  const Conversation talk(homed.directory());
  std::string said;
  const auto hear = [](unsigned moved, unsigned left, void* to) {
    static_cast<std::string*>(to)->append(std::to_string(moved) + "/" + std::to_string(left) + " ");
  };
  EXPECT_EQ(omig_bring(talk, hear, &said), 0);
  EXPECT_EQ(said, "0/2 1/1 ");
  EXPECT_EQ(omig_bring(talk, nullptr, nullptr), 0);
  EXPECT_EQ(homed.last(), (Json{{"op", "bring"}}));
  EXPECT_EQ(omig_expel(talk, hear, &said), -ECANCELED);
  EXPECT_STREQ(omig_reason(talk), "1 of 2 could not be moved");
}

TEST(ClientLibrary, Log) {
  FakeHomed homed(always(
      R"({"ok":true,"last":9,"moves":[{"seq":8,"at_ms":5,"pid":4,"home":"node1","command":"c","from":"node1","to":"node2","cause":"push","reason":"r","ok":false,"outcome":"busy","times":3}]})"));
  const Conversation talk(homed.directory());
  omig_log* log = nullptr;
  ASSERT_EQ(omig_log_get(talk, 7, 20, 1, &log), 0);
  EXPECT_EQ(homed.last(), (Json{{"op", "log"}, {"after", 7}, {"n", 20}, {"wait", true}}));
  EXPECT_EQ(omig_log_last(log), 9u);
  ASSERT_EQ(omig_log_count(log), 1u);
  const omig_log_entry* e = omig_log_at(log, 0);
  EXPECT_EQ(e->seq, 8u);
  EXPECT_FALSE(e->ok);
  EXPECT_STREQ(e->outcome, "busy");
  EXPECT_STREQ(e->to, "node2");
  EXPECT_EQ(e->times, 3u);
  EXPECT_EQ(omig_log_at(log, 1), nullptr);
  omig_log_free(log);
}

TEST(ClientLibrary, RefusalsAreErrnos) {
  const std::vector<std::pair<std::string, int>> codes{
      {"no process", ESRCH}, {"no node", ENXIO},       {"node down", EHOSTUNREACH}, {"busy", EAGAIN},
      {"invalid", EINVAL},   {"not permitted", EPERM}, {"unknown", ENOSYS},         {"of next year", ECANCELED}};
  for (const auto& [code, number] : codes) {
    FakeHomed homed(always(Json{{"ok", false}, {"reason", "it says why"}, {"code", code}}.dump()));
    const Conversation talk(homed.directory());
    EXPECT_EQ(omig_migrate(talk, 4, "2", nullptr), -number) << code;
    EXPECT_STREQ(omig_reason(talk), "it says why");
  }
}

TEST(ClientLibrary, NothingHangsAndNothingThrows) {
  {
    const Conversation talk("/nonexistent");
    omig_nodes* nodes = nullptr;
    EXPECT_EQ(omig_nodes_get(talk, &nodes), -ENOTCONN);
    EXPECT_NE(std::string(omig_reason(talk)).find("no homed at /nonexistent/homed.sock"), std::string::npos);
  }
  for (const char* nonsense :
       {"17", "}{", R"({"ok":true})", R"({"ok":true,"nodes":5,"processes":[1]})", R"({"ok":true,"nodes":[7]})"}) {
    FakeHomed homed(always(nonsense));
    const Conversation talk(homed.directory());
    omig_nodes* nodes = nullptr;
    omig_processes* processes = nullptr;
    EXPECT_EQ(omig_nodes_get(talk, &nodes), -EPROTO) << nonsense;
    EXPECT_EQ(omig_processes_get(talk, &processes), -EPROTO) << nonsense;
    EXPECT_EQ(nodes, nullptr);
  }
  {
    FakeHomed homed([](const Json&) { return std::vector<std::string>(); });
    const Conversation talk(homed.directory());
    EXPECT_EQ(omig_migrate_home(talk, 4), -ECONNRESET);
  }
  {  // It takes the call, and says nothing: nobody accepts.
    FakeHomed homed([](const Json&) { return std::vector<std::string>(); });
    const Fd silent(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un at{.sun_family = AF_UNIX};
    std::filesystem::remove(homed.directory() + "/homed.sock");
    (homed.directory() + "/homed.sock").copy(at.sun_path, sizeof at.sun_path - 1);
    ASSERT_EQ(bind(silent.get(), reinterpret_cast<sockaddr*>(&at), sizeof at), 0);
    ASSERT_EQ(listen(silent.get(), 4), 0);
    const Conversation talk(homed.directory());
    ASSERT_EQ(omig_set_timeout(talk, 50), 0);
    EXPECT_EQ(omig_migrate_home(talk, 4), -ETIMEDOUT);
  }
  EXPECT_EQ(omig_migrate_home(nullptr, 4), -EINVAL);
  EXPECT_EQ(omig_open(nullptr, nullptr), -EINVAL);
}

}  // namespace

TEST(Capi, AsksAnything) {
  FakeHomed homed([](const Json& request) {
    return std::vector<std::string>{request.value("op", "") == "cluster"
                                        ? R"({"ok":true,"founder":"node1"})"
                                        : R"({"ok":false,"reason":"no","code":"invalid"})"};
  });
  const Conversation talk(homed.directory());
  char* answer = nullptr;
  EXPECT_EQ(omig_ask(talk, R"({"op":"cluster"})", &answer), 0);
  ASSERT_NE(answer, nullptr);
  EXPECT_EQ(Json::parse(answer).at("founder"), "node1");
  omig_answer_free(answer);
  EXPECT_EQ(omig_ask(talk, R"({"op":"cluster"})", nullptr), 0);
  EXPECT_EQ(omig_ask(talk, R"({"op":"join","token":"x"})", &answer), -EINVAL);
  EXPECT_EQ(answer, nullptr);
  EXPECT_STREQ(omig_reason(talk), "no");
  for (const char* nonsense : {"", "[]", "{"}) EXPECT_EQ(omig_ask(talk, nonsense, &answer), -EINVAL) << nonsense;
  EXPECT_EQ(omig_ask(talk, nullptr, &answer), -EINVAL);
  EXPECT_EQ(omig_set_disclosure(talk, 4, -1), -EINVAL);
  EXPECT_EQ(omig_set_disclosure(talk, 4, 1), -EINVAL);  // as this homed answers
  EXPECT_EQ(homed.last(), (Json{{"op", "job"}, {"pid", 4}, {"disclosure", 1}}));
}

}  // namespace omig
