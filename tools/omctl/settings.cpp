// SPDX-License-Identifier: Apache-2.0
#include "tools/omctl/settings.h"

#include <fmt/format.h>

#include <cmath>
#include <cstdlib>

#include "lib/client/facts.h"
#include "tools/omctl/client.h"
#include "tools/omctl/commands.h"

namespace omig {

namespace {

constexpr double kStandard = 10'000;  // openMosix' speed of a standard CPU, our 1

// The name and how it reads: "block off".
void print_settings(const Json& settings) {
  for (const auto& [name, value] : settings.items()) {
    if (value.is_boolean())
      fmt::print("{:<15} {}\n", name, value.get<bool>() ? "on" : "off");
    else if (name == "speed" && value == 0.0)
      fmt::print("{:<15} measured\n", name);
    else if (name == "decay")
      fmt::print("{:<15} every {} s, slow keeps {}, fast {} of 1000\n", name, value.value("interval", 0) / 1000.0,
                 value.value("slow", 0), value.value("fast", 0));
    else
      fmt::print("{:<15} {}\n", name, value.is_string() ? value.get<std::string>() : value.dump());
  }
}

// on, off, a number, or (speed) "measured"; nothing: none of these.
std::optional<Json> value_from(const std::string& name, const std::string& text) {
  if (text == "on") return true;
  if (text == "off") return false;
  if (name == "speed" && text == "measured") return 0;
  char* end = nullptr;
  const double number = std::strtod(text.c_str(), &end);
  if (text.empty() || *end != '\0' || !std::isfinite(number)) return std::nullopt;
  if (number == std::floor(number) && number >= 0 && number < 1e9) return static_cast<u64>(number);
  return number;
}

// bring or expel.
int empty_node(const char* op, bool json) {
  const auto answer = ask_for_work({{"op", op}}, op);
  if (!answer) return 1;
  if (json) fmt::print("{}\n", answer->dump());
  if (!answer->value("ok", false)) return refused(*answer);
  if (!json) fmt::print("{} {}\n", answer->value("moved", 0), *op == 'b' ? "brought home" : "sent home");
  return 0;
}

int emptying_main(const cli::Words& words, const char* op, const char* name, const char* summary, const char* example) {
  CLI::App app{summary, name};
  bool json = false;
  cli::json_flag(app, json);
  cli::example(app, example);
  if (const auto end = cli::parse(app, words)) return *end;
  return empty_node(op, json);
}

// ---- mosctl

// The node that is meant: by number, name or address; empty: this one.
std::optional<Json> node_of(const std::string& which) {
  const auto answer = ask_homed({{"op", "nodes"}});
  if (!answer) return std::nullopt;
  if (!answer->value("ok", false)) {
    refused(*answer);
    return std::nullopt;
  }
  if (const Json* node = node_named(*answer, which)) return *node;
  say_reason(fmt::format("no node {} known here (see omctl nodes)", which));
  return std::nullopt;
}

// What was asked about: a node, and whether the answer is wanted as JSON.
struct About {
  std::string node;
  bool json = false;
};

// Prints the answer in words, or as JSON with the node that it is about.
int say(const About& about, const Json& node, const std::string& text, Json values) {
  if (about.json) {
    values["id"] = node.value("id", 0);
    values["name"] = node.value("name", "");
  }
  fmt::print("{}\n", about.json ? values.dump() : text);
  return 0;
}

std::string of_total(u64 bytes, const NodeFacts& node) {
  return fmt::format("{} of {}", bytes >> 20, node.total_bytes >> 20);
}

struct Question {
  const char* name;
  const char* summary;
  std::string (*answer)(const NodeFacts& node);
  Json (*values)(const NodeFacts& node);
};

// What a node that is up says of itself, as far as it has been heard of here.
constexpr Question kQuestions[] = {
    {"getload", "load; 100 is one process that runs, per standard CPU",
     [](const NodeFacts& n) { return std::to_string(n.load); },
     [](const NodeFacts& n) {
       return Json{{"load", n.load}};
     }},
    {"getspeed", "speed of a CPU; 10000 is a standard one", [](const NodeFacts& n) { return std::to_string(n.speed); },
     [](const NodeFacts& n) {
       return Json{{"speed", n.speed}};
     }},
    {"getmem", "memory that programs could still have, and all of it, in MB",
     [](const NodeFacts& n) { return of_total(n.free_bytes, n); },
     [](const NodeFacts& n) {
       return Json{{"free_bytes", n.free_bytes}, {"total_bytes", n.total_bytes}};
     }},
    {"getfree", "memory in nobody's use, and all of it, in MB",
     [](const NodeFacts& n) { return of_total(n.real_free_bytes, n); },
     [](const NodeFacts& n) {
       return Json{{"real_free_bytes", n.real_free_bytes}, {"total_bytes", n.total_bytes}};
     }},
    {"getutil", "how much of its CPUs is used, in percent",
     [](const NodeFacts& n) { return std::to_string(n.utilisation); },
     [](const NodeFacts& n) {
       return Json{{"utilisation", n.utilisation}};
     }},
};

int answer_question(const About& about, const Question& question) {
  const auto node = node_of(about.node);
  if (!node) return 1;
  const NodeFacts facts = facts_of(*node);
  if (facts.up()) return say(about, *node, question.answer(facts), question.values(facts));
  say_reason(fmt::format("node {} is {}", node->value("name", ""), node->value("state", "")));
  return 1;
}

int is_up(const About& about) {
  const auto node = node_of(about.node);
  const bool up = node && facts_of(*node).up();
  if (node) say(about, *node, up ? "yes" : "no", {{"up", up}});
  return up ? 0 : 1;
}

std::string status_of(const Json& node) {
  const NodeFacts facts = facts_of(node);
  if (!facts.up()) return node.value("state", "");
  const char* limit = (facts.status & kStatusQuiet) != 0   ? ", quiet"
                      : (facts.status & kStatusBlock) != 0 ? ", block"
                                                           : "";
  return fmt::format("up{}, {} guests here, {} of its processes elsewhere", limit, facts.guests, facts.away);
}

int status_main(const About& about) {
  const auto node = node_of(about.node);
  if (!node) return 1;
  const NodeFacts facts = facts_of(*node);
  return say(about, *node, status_of(*node),
             {{"state", node->value("state", "")},
              {"quiet", (facts.status & kStatusQuiet) != 0},
              {"block", (facts.status & kStatusBlock) != 0},
              {"guests", facts.guests},
              {"away", facts.away}});
}

int who_is(const About& about) {
  const auto node = node_of(about.node);
  if (!node) return 1;
  const std::string name = node->value("name", ""), endpoint = node->value("endpoint", "");
  return say(about, *node, fmt::format("node {} is {} at {}", node->value("id", 0), name, endpoint),
             {{"endpoint", endpoint}});
}

int set_decay(double interval_s, u32 slow, u32 fast) {
  const auto answer = ask_homed({{"op", "decay"},
                                 {"interval_ms", static_cast<i64>(std::llround(interval_s * 1000))},
                                 {"slow", slow},
                                 {"fast", fast}});
  if (!answer) return 1;
  return answer->value("ok", false) ? 0 : refused(*answer);
}

int get_decay(bool json) {
  const auto answer = ask_homed({{"op", "decay"}});
  if (!answer) return 1;
  if (!answer->value("ok", false)) return refused(*answer);
  if (json)
    fmt::print("{}\n", answer->dump());
  else
    fmt::print("{} {} {}\n", answer->value("interval_ms", 0) / 1000.0, answer->value("slow", 0),
               answer->value("fast", 0));
  return 0;
}

// What means nothing to omig says so, and fails: a script that counts on it must not go on.
int without_meaning(const std::string& what, const std::string& instead) {
  say_reason(what + " means nothing to omig: " + instead);
  return 1;
}

}  // namespace

int change_setting(const std::string& name, const Json& value) {
  const auto answer = ask_homed({{"op", "set"}, {name, value}});
  if (!answer) return 1;
  return answer->value("ok", false) ? 0 : refused(*answer);
}

int set_main(const cli::Words& words) {
  CLI::App app{"what this node may do: show or change", "omctl set"};
  std::string name, text;
  bool json = false;
  app.add_option("NAME", name,
                 "block, stay, lstay, quiet, mptcp, speed, gateways, patience, or a limit: guests, guests_per_home, "
                 "guests_per_user, "
                 "guest_mb, guest_cpu, owner_load (default: show all)");
  app.add_option(
      "VALUE", text,
      "on or off; speed: a number, 1 is the reference, or measured; gateways: 0 to 2; patience: seconds; a limit: a "
      "number, 0 is none");
  cli::json_flag(app, json);
  cli::example(app, "  omctl set\n  omctl set block on\n  omctl set speed measured");
  if (const auto end = cli::parse(app, words)) return *end;
  Json request{{"op", "settings"}};
  if (!text.empty()) {
    const auto value = value_from(name, text);
    if (!value) {
      fmt::print(stderr, "omctl set: {} is on, off or a number, not {} (omctl set --help)\n", name, text);
      return kUsageError;
    }
    request = {{"op", "set"}, {name, *value}};
  }
  const auto answer = ask_homed(request);
  if (!answer) return 1;
  if (json) fmt::print("{}\n", answer->dump());
  if (!answer->value("ok", false)) return refused(*answer);
  Json settings = answer->at("settings");
  if (json) return 0;
  if (name.empty()) {
    print_settings(settings);
  } else if (settings.contains(name)) {
    if (text.empty()) print_settings({{name, settings[name]}});
  } else {
    say_reason(fmt::format("no setting {} (omctl set shows them)", name));
    return 1;
  }
  return 0;
}

int bring_main(const cli::Words& words) {
  return emptying_main(words, "bring", "omctl bring",
                       "bring all of this node's processes home and keep them here; returns when it is done",
                       "  omctl bring && omctl expel && poweroff\n  omctl set lstay off    # they may leave again");
}

int expel_main(const cli::Words& words) {
  return emptying_main(words, "expel", "omctl expel", "send all guests home and let none in; returns when it is done",
                       "  omctl expel\n  omctl set block off    # guests may come again");
}

int mosctl_main(const cli::Words& words) {
  CLI::App app{"tell and ask a node, by openMosix' words", "mosctl"};
  app.require_subcommand(1);
  cli::example(app, "  mosctl expel\n  mosctl getload node3\n  mosctl setdecay 60 900 205");
  int status = 0;
  About about;
  const auto add = [&](const char* name, const std::string& summary, auto work) {
    CLI::App* command = app.add_subcommand(name, summary);
    command->callback([&status, work] { status = work(); });
    cli::example(*command, fmt::format("  mosctl {}", name));
    return command;
  };
  const auto about_node = [&](const char* name, const std::string& summary, auto work) {
    CLI::App* const command = add(name, summary, [&about, work] { return work(about); });
    command->add_option("NODE", about.node, "its number, name or address (default: this one)")->type_name("NODE");
    cli::json_flag(*command, about.json);
  };
  add("block", "no guest may come", [] { return change_setting("block", true); });
  add("noblock", "guests may come", [] { return change_setting("block", false); });
  add("stay", "no process leaves by itself", [] { return change_setting("stay", true); });
  add("nostay", "processes may leave", [] { return change_setting("stay", false); });
  add("lstay", "none of its own processes leaves by itself", [] { return change_setting("lstay", true); });
  add("nolstay", "its own processes may leave", [] { return change_setting("lstay", false); });
  add("quiet", "do not tell the others this node's load", [] { return change_setting("quiet", true); });
  add("noquiet", "tell it", [] { return change_setting("quiet", false); });
  for (const char* name : {"mfs", "nomfs"})
    add(name, "the cluster's file system: omig has none", [name] {
      return without_meaning(name, "files are reached at their process' home, with no file system of its own");
    });
  add("bring", "all of its own processes home; they stay then (lstay)", [] { return empty_node("bring", false); });
  add("expel", "all guests home; none comes any more (block)", [] { return empty_node("expel", false); });
  for (const Question& each : kQuestions)
    about_node(each.name, each.summary, [&each](const About& which) { return answer_question(which, each); });
  about_node("isup", "yes or no; exit status 0 or 1", is_up);
  about_node("getstatus", "whether it is up, and what it allows", status_main);
  about_node("whois", "number, name and address", who_is);
  u64 speed = 0;
  add("setspeed", "take its CPUs to be so fast",
      [&speed] { return change_setting("speed", static_cast<double>(speed) / kStandard); })
      ->add_option("N", speed, "10000 is a standard CPU; 0: as measured")
      ->type_name("N")
      ->required()
      ->check(cli::whole_number(0, 1'000'000));
  double interval_s = 0;
  u32 slow = 0, fast = 0;
  CLI::App* decay =
      add("setdecay", "how fast what processes did is forgotten", [&] { return set_decay(interval_s, slow, fast); });
  decay->add_option("INTERVAL", interval_s, "seconds")->required()->check(CLI::Range(0.1, 3600.0));
  decay->add_option("SLOW", slow, "per mille kept each interval, usually")
      ->required()
      ->check(cli::whole_number(0, 1000));
  decay->add_option("FAST", fast, "the same of fast ones")->required()->check(cli::whole_number(0, 1000));
  CLI::App* const asks_decay =
      add("getdecay", "interval in seconds, slow and fast per mille", [&about] { return get_decay(about.json); });
  cli::json_flag(*asks_decay, about.json);
  add("gettune", "openMosix' costs of its network: omig measures instead", [] {
    return without_meaning("gettune", "what calls and moves cost is measured (omctl why, omctl log tell the figures)");
  });
  for (const char* name : {"getyard", "setyard"})
    add(name, "openMosix' unit of speeds: omig has its own", [name] {
      return without_meaning(name, "speeds are measured against one reference (mosctl getspeed, setspeed)");
    });
  if (const auto end = cli::parse(app, words)) return *end;
  return status;
}

}  // namespace omig
