// SPDX-License-Identifier: Apache-2.0
// A node's settings, and leaving the cluster.
#include "lib/client/settings.h"

#include <cerrno>

#include "lib/capi/conversation.h"

using namespace omig;
using namespace omig::capi;

namespace {

int unknown_setting(Talk& talk, const char* name) {
  std::string names;
  for (const Setting& s : settings()) names += (names.empty() ? "" : ", ") + std::string(s.name);
  return fail(talk, EINVAL, "no setting " + std::string(name == nullptr ? "" : name) + ": there are " + names);
}

using Progress = void (*)(unsigned moved, unsigned left, void* argument);

int leave(Talk& talk, const char* op, Progress progress, void* argument) {
  Json request{{"op", op}}, answer;
  if (progress != nullptr) request["progress"] = true;
  return ask(talk, request, kAnswerTimeout, &answer, [&](const Json& line) {
    const Json& now = line.at("progress");
    progress(field<u32>(now, "moved", 0), field<u32>(now, "left", 0), argument);
  });
}

}  // namespace

extern "C" {

int omig_get(omig_conversation* conversation, const char* name, int64_t* value) {
  return guarded(conversation, [&](Talk& talk) {
    const Setting* setting = setting_named(name == nullptr ? "" : name);
    if (setting == nullptr) return unknown_setting(talk, name);
    if (value == nullptr) return fail(talk, EINVAL, "nowhere to put the value");
    Json answer;
    if (const int status = ask(talk, {{"op", "settings"}}, kTellTimeout, &answer); status < 0) return status;
    const auto found = value_of(answer.at("settings"), *setting);
    if (!found) return fail(talk, ENOSYS, "this homed has no setting " + std::string(name));
    *value = *found;
    return 0;
  });
}

int omig_set(omig_conversation* conversation, const char* name, int64_t value) {
  return guarded(conversation, [&](Talk& talk) {
    const Setting* setting = setting_named(name == nullptr ? "" : name);
    if (setting == nullptr) return unknown_setting(talk, name);
    const auto request = set_request(*setting, value);
    if (!request)
      return fail(talk, EINVAL, std::string(name) + " is " + setting->range() + ", not " + std::to_string(value));
    Json answer;
    return ask(talk, *request, kTellTimeout, &answer);
  });
}

int omig_set_policy(omig_conversation* conversation, const char* name) {
  return guarded(conversation, [&](Talk& talk) {
    if (name == nullptr || *name == '\0') return fail(talk, EINVAL, "no policy named");
    Json answer;
    return ask(talk, {{"op", "policy"}, {"name", name}}, kTellTimeout, &answer);
  });
}

int omig_bring(omig_conversation* conversation, Progress progress, void* argument) {
  return guarded(conversation, [&](Talk& talk) { return leave(talk, "bring", progress, argument); });
}

int omig_expel(omig_conversation* conversation, Progress progress, void* argument) {
  return guarded(conversation, [&](Talk& talk) { return leave(talk, "expel", progress, argument); });
}
}
