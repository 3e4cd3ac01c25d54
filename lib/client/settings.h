// SPDX-License-Identifier: Apache-2.0
// The settings of a node under one name each, as whole numbers: how the C library and omigfs read and write what the
// control socket's ops `settings` and `set` tell (docs/JSON.md).
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "lib/base/types.h"
#include "lib/client/client.h"

namespace omig {

struct Setting {
  std::string_view name;
  std::string_view key;  // in `settings`
  std::string_view in;   // the object there that holds it; empty: `settings` itself
  i64 least, most;
  bool yes_or_no = false;  // true and false in JSON
  double unit = 1;         // our number is the one in JSON times this

  std::string range() const;  // "0 or 1", "0 to 1000"
};

std::span<const Setting> settings();
const Setting* setting_named(std::string_view name);  // nullptr: there is none

// In `settings`; nothing: this homed has it not.
std::optional<i64> value_of(const Json& settings, const Setting& setting);
// The op that sets it; nothing: the value is out of range.
std::optional<Json> set_request(const Setting& setting, i64 value);

}  // namespace omig
