// SPDX-License-Identifier: Apache-2.0
// Log lines with local time, to stderr: a terminal with --foreground, $OMIG_DIR/homed.log otherwise.
#pragma once

#include <fmt/format.h>

#include <string_view>

namespace omig {

void log_line(std::string_view text);

template <class... Args>
void log(fmt::format_string<Args...> format, Args&&... args) {
  log_line(fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace omig
