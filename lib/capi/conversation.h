// SPDX-License-Identifier: Apache-2.0
// What all functions of omig.h stand on: a conversation, one way to ask, one way to fail. Nothing may throw out of the
// library: every exported function is the body of `guarded`.
#pragma once

#include <deque>
#include <functional>
#include <new>
#include <string>
#include <vector>

#include "lib/base/fields.h"
#include "lib/capi/omig.h"
#include "lib/client/client.h"

struct omig_conversation {
  std::string state_dir;
  std::chrono::milliseconds timeout{0};  // 0: the default of each call
  std::string reason;
};

namespace omig::capi {

using Talk = omig_conversation;

// The status of a call: 0 or more, or a negative errno whose reason is in the conversation.
int fail(Talk& talk, int error, std::string reason);

// Asks; on success *answer has "ok": true and 0 is returned. Lines before the last one (those that carry no result:
// "waiting" or "progress") go to `said`; without it there is only one line.
int ask(Talk& talk, const Json& request, milliseconds limit, Json* answer,
        const std::function<void(const Json&)>& said = nullptr);

// An answer that is not what it should be.
int not_understood(Talk& talk) noexcept;

template <class Body>
int guarded(Talk* talk, Body&& body) noexcept {
  if (talk == nullptr) return -EINVAL;
  try {
    talk->reason.clear();
    return body(*talk);
  } catch (const std::bad_alloc&) {
    return -ENOMEM;
  } catch (...) {
    return not_understood(*talk);
  }
}

// A list that is handed out: its texts live as long as it does, wherever it grows.
template <class Item>
struct List {
  std::deque<std::string> texts;
  std::deque<Item> items;  // a reference to one stays good when more are added

  const char* keep(std::string text) { return texts.emplace_back(std::move(text)).c_str(); }
  const char* keep(const Json& json, const char* key) { return keep(text_field(json, key)); }
};

}  // namespace omig::capi
