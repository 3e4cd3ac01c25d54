// SPDX-License-Identifier: Apache-2.0
// `omctl allow`: what this user's programs that may leave home may do there (lib/confine/allow.h).
#include "lib/confine/allow.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iostream>
#include <iterator>

#include "tools/omctl/client.h"
#include "tools/omctl/commands.h"

namespace omig {

namespace {

std::optional<std::string> contents_of(const std::string& file) {
  if (file == "-") return std::string(std::istreambuf_iterator<char>(std::cin), {});
  std::ifstream in(file);
  std::string text{std::istreambuf_iterator<char>(in), {}};
  if (in.good() || in.eof()) return text;
  say_reason(fmt::format("cannot read {}: {}", file, std::strerror(errno)));
  return std::nullopt;
}

}  // namespace

int allow_main(const cli::Words& words) {
  CLI::App app{"say what your programs that may leave home may do there", "omctl allow"};
  std::string file;
  bool none = false, json = false;
  CLI::Option* named = app.add_option("FILE", file, "a deputy.allow, or - for standard input (default: show it)");
  app.add_flag("--none", none, "whatever you may do yourself")->excludes(named);
  cli::json_flag(app, json);
  cli::example(app, "  omctl allow deputy.allow\n  omctl allow\n  omctl allow --none");
  if (const auto end = cli::parse(app, words)) return *end;
  Json request{{"op", "allow"}};
  if (none) request["text"] = nullptr;
  if (!file.empty()) {
    const auto text = contents_of(file);
    if (!text) return 1;
    std::string wrong;
    if (!confine::parse_allow(*text, &wrong)) {
      say_reason(fmt::format("{}: {}", file, wrong));
      return 1;
    }
    request["text"] = *text;
  }
  const auto answer = ask_homed(request);
  if (!answer) return 1;
  if (json) fmt::print("{}\n", answer->dump());
  if (!answer->value("ok", false)) return refused(*answer);
  if (json || none || !file.empty()) return 0;
  const auto& text = (*answer)["text"];
  if (text.is_string()) {
    fmt::print("{}", text.get<std::string>());
  } else {
    say_reason("you have no deputy.allow: a deputy may do what you may");
  }
  return 0;
}

}  // namespace omig
