// SPDX-License-Identifier: Apache-2.0
#include "lib/confine/allow.h"

#include <fmt/format.h>

#include <algorithm>

#include "lib/base/words.h"

namespace omig::confine {

namespace {

std::optional<Access> access_named(std::string_view name) {
  if (name == "read") return Access::read;
  if (name == "exec") return Access::exec;
  if (name == "write") return Access::write;
  return std::nullopt;
}

// What is wrong with it; empty: nothing.
std::string add_path(std::string_view word, Access access, Allow* allow) {
  const bool may_be_missing = word.starts_with('-');
  if (may_be_missing) word.remove_prefix(1);
  const bool absolute = word.starts_with('/') || word == "~" || word.starts_with("~/");
  if (!absolute || word.find('\0') != std::string_view::npos)
    return fmt::format("{} is not a path that begins with / or ~/", quoted(word));
  allow->paths.push_back({std::string(word), access, may_be_missing});
  return "";
}

std::string add_line(const std::vector<std::string_view>& words, Allow* allow) {
  const std::string_view what = words[0];
  const std::string_view value = words.size() == 2 ? words[1] : "";
  if (const auto access = access_named(what)) {
    if (words.size() < 2) return fmt::format("{} what?", what);
    for (size_t i = 1; i < words.size(); ++i)
      if (std::string wrong = add_path(words[i], *access, allow); !wrong.empty()) return wrong;
    return "";
  }
  if (what == "sockets") {
    if (value != "none" && value != "local" && value != "all") return "sockets are none, local or all";
    allow->sockets = value == "none" ? Sockets::none : value == "local" ? Sockets::local : Sockets::all;
    return "";
  }
  if (what == "signals") {
    if (value != "own" && value != "all") return "signals are own or all";
    allow->signals = value == "own" ? Signals::own : Signals::all;
    return "";
  }
  return fmt::format("{}: there are read, exec, write, sockets and signals", quoted(what));
}

}  // namespace

std::optional<Allow> parse_allow(std::string_view text, std::string* wrong) {
  Allow allow;
  if (text.size() > kMostAllowBytes) {
    *wrong = fmt::format("it is longer than {} KiB", kMostAllowBytes / 1024);
    return std::nullopt;
  }
  for (size_t line = 1; !text.empty(); ++line) {
    const size_t end = std::min(text.find('\n'), text.size());
    const auto words = words_of(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (words.empty()) continue;
    if (const std::string problem = add_line(words, &allow); !problem.empty()) {
      *wrong = fmt::format("line {}: {}", line, problem);
      return std::nullopt;
    }
  }
  return allow;
}

}  // namespace omig::confine
