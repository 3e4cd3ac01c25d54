// SPDX-License-Identifier: Apache-2.0
// Lines of files that people write: words between blanks, and comments from # on.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace omig {

inline std::vector<std::string_view> words_of(std::string_view line) {
  constexpr std::string_view kBlank = " \t\r\v\f";
  line = line.substr(0, line.find('#'));
  std::vector<std::string_view> words;
  for (size_t at = 0; (at = line.find_first_not_of(kBlank, at)) != std::string_view::npos;) {
    const size_t end = line.find_first_of(kBlank, at);
    words.push_back(line.substr(at, end - at));
    if (end == std::string_view::npos) break;
    at = end;
  }
  return words;
}

// Such a word in a message: no control characters, not too long.
inline std::string quoted(std::string_view word) {
  std::string text;
  for (const char c : word.substr(0, 60)) text += c > ' ' && c < 0x7f ? c : '?';
  return text + (word.size() > 60 ? "..." : "");
}

}  // namespace omig
