// SPDX-License-Identifier: Apache-2.0
#include "lib/cli/command_line.h"

#include <charconv>
#include <cstdio>

namespace omig::cli {

namespace {

using Json = nlohmann::json;

constexpr const char* kCommand = "COMMAND";

Json* description = nullptr;  // where --describe goes instead of to stdout

// Validators append themselves to the name of the type: "NODE:POSITIVE".
Json describe(const CLI::Option& option) {
  Json json{{"summary", option.get_description()}};
  Json names = Json::array();
  if (option.nonpositional()) {
    for (const std::string& name : option.get_snames()) names.push_back("-" + name);
    for (const std::string& name : option.get_lnames()) names.push_back("--" + name);
  } else {
    names.push_back(option.get_name(true));
  }
  json["names"] = std::move(names);
  if (option.get_items_expected_max() > 0) {
    const std::string type = option.get_type_name();
    const size_t colon = type.find(':');
    if (option.nonpositional()) json["value"] = type.substr(0, colon);
    if (colon != std::string::npos) json["check"] = type.substr(colon + 1);
  }
  if (option.get_required()) json["required"] = true;
  if (option.get_items_expected_max() > 1) json["many"] = true;
  return json;
}

Json describe(const CLI::App& app) {
  Json json{{"name", app.get_name()}, {"summary", app.get_description()}};
  if (!app.get_footer().empty()) json["example"] = app.get_footer();
  Json options = Json::array(), arguments = Json::array(), commands = Json::array();
  for (const CLI::Option* option : app.get_options()) {
    if (option->get_group().empty()) continue;
    if (!option->nonpositional() && option->get_name(true) == kCommand) {
      json["command"] = true;
    } else {
      (option->nonpositional() ? options : arguments).push_back(describe(*option));
    }
  }
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    if (command->get_group().empty()) continue;
    commands.push_back(describe(*command));
    commands.back()["name"] = app.get_name() + " " + command->get_name();
  }
  if (!options.empty()) json["options"] = std::move(options);
  if (!arguments.empty()) json["arguments"] = std::move(arguments);
  if (!commands.empty()) json["commands"] = std::move(commands);
  return json;
}

// "omctl lab up" if that was the command in which the mistake was made.
std::string name_of(const CLI::App& app) {
  std::string name = app.get_name();
  const CLI::App* at = &app;
  while (!at->get_subcommands().empty()) {
    at = at->get_subcommands().front();
    name += " " + at->get_name();
  }
  return name;
}

std::string one_line(std::string text) {
  for (char& c : text)
    if (c == '\n') c = ' ';
  return text;
}

bool takes_value(const CLI::Option* option) { return option != nullptr && option->get_items_expected_max() > 0; }

// Does the next word belong to this one? -n NODE, -lcn NODE, --node NODE; not -nNODE, --node=NODE.
bool wants_next(const CLI::App& app, const std::string& word) {
  if (word.starts_with("--"))
    return takes_value(app.get_option_no_throw(word.substr(0, word.find('=')))) && word.find('=') == std::string::npos;
  for (size_t i = 1; i < word.size(); ++i)
    if (takes_value(app.get_option_no_throw(std::string("-") + word[i]))) return i + 1 == word.size();
  return false;
}

}  // namespace

std::optional<int> parse(CLI::App& app, const Words& words) {
  if (words.size() == 1 && words[0] == "--describe") {
    if (description != nullptr) {
      *description = describe(app);
    } else {
      std::puts(describe(app).dump(2).c_str());
    }
    return 0;
  }
  try {
    app.parse(std::vector<std::string>(words.rbegin(), words.rend()));
  } catch (const CLI::Success& help) {
    return app.exit(help);
  } catch (const CLI::ParseError& mistake) {
    const std::string name = name_of(app);
    std::fprintf(stderr, "%s: %s (%s --help)\n", name.c_str(), one_line(mistake.what()).c_str(), name.c_str());
    return kUsageError;
  }
  return std::nullopt;
}

void example(CLI::App& app, const std::string& lines) { app.footer("Example:\n" + lines); }

void json_flag(CLI::App& app, bool& json) { app.add_flag("--json", json, "print JSON (docs/JSON.md)"); }

CLI::Validator whole_number(long long least, long long most) {
  const auto check = [least, most](const std::string& text) {
    long long value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error == std::errc() && end == text.data() + text.size() && value >= least && value <= most)
      return std::string();
    return "needs a whole number from " + std::to_string(least) + " to " + std::to_string(most) + ", not " + text;
  };
  return CLI::Validator(check, std::to_string(least) + ".." + std::to_string(most));
}

void carries_command(CLI::App& app) {
  app.add_option(kCommand, "the command, and behind it whatever is its own")->required()->expected(1);
}

Words cut_command(const CLI::App& app, Words& words, size_t before) {
  size_t at = 0, marked = 0;
  for (size_t arguments = 0; at < words.size(); ++at) {
    const std::string& word = words[at];
    if (word == "--") {
      marked = 1;
      break;
    }
    if (word.size() > 1 && word.starts_with("-")) {
      at += wants_next(app, word) ? 1 : 0;
    } else if (arguments++ == before) {
      break;
    }
  }
  at = std::min(at, words.size());
  Words command(words.begin() + static_cast<std::ptrdiff_t>(std::min(at + marked, words.size())), words.end());
  words.resize(at);
  // CLI11 takes words like [a] apart: so it is only told that there is a command.
  if (!command.empty()) words.insert(words.end(), {"--", kCommand});
  return command;
}

Json description_of(Main main) {
  Json json;
  description = &json;
  main({"--describe"});
  description = nullptr;
  return json;
}

}  // namespace omig::cli
