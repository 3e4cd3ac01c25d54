// SPDX-License-Identifier: Apache-2.0
// Fields of messages that come from outside: whatever is missing, or of another type than it should be, is the default.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <type_traits>
#include <utility>

#include "lib/base/types.h"

namespace omig {

// A field of a message, or the default if it is missing or of another type. Messages come from outside.
template <class T>
T field(const nlohmann::json& json, const char* key, T otherwise) {
  const auto it = json.find(key);
  if (it == json.end()) return otherwise;
  if constexpr (std::is_same_v<T, bool>) {
    return it->is_boolean() ? it->get<bool>() : otherwise;
  } else if constexpr (std::is_integral_v<T>) {  // what does not fit, or is a fraction, is no such number
    if (it->is_number_unsigned()) return std::in_range<T>(it->get<u64>()) ? it->get<T>() : otherwise;
    if (it->is_number_integer()) return std::in_range<T>(it->get<i64>()) ? it->get<T>() : otherwise;
    return otherwise;
  } else if constexpr (std::is_arithmetic_v<T>) {
    return it->is_number() ? it->get<T>() : otherwise;
  } else {
    return it->is_string() ? it->get<T>() : otherwise;
  }
}
inline std::string text_field(const nlohmann::json& json, const char* key) { return field<std::string>(json, key, ""); }

}  // namespace omig
