// SPDX-License-Identifier: Apache-2.0
#include "lib/capi/conversation.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "lib/base/paths.h"
#include "lib/base/patience.h"
#include "lib/client/facts.h"

namespace omig::capi {

namespace {

std::string why_no_answer(const Talk& talk, int error) {
  const std::string socket = talk.state_dir + "/homed.sock";
  switch (error) {
    case ENOTCONN: return "no homed at " + socket + " (start it with: homed --foreground)";
    case ETIMEDOUT: return "homed at " + socket + " does not answer in time (see its homed.log)";
    case ECONNRESET: return "homed at " + socket + " ended the conversation without an answer (see its homed.log)";
    case EPROTO: return "what homed at " + socket + " answers cannot be understood";
    default: return socket + ": " + std::strerror(error);
  }
}

}  // namespace

int fail(Talk& talk, int error, std::string reason) {
  talk.reason = std::move(reason);
  return -error;
}

int not_understood(Talk& talk) noexcept {
  try {
    return fail(talk, EPROTO, why_no_answer(talk, EPROTO));
  } catch (...) {
    return -EPROTO;
  }
}

int ask(Talk& talk, const Json& request, milliseconds limit, Json* answer,
        const std::function<void(const Json&)>& said) {
  if (talk.timeout.count() > 0) limit = talk.timeout;
  int error = 0;
  auto client = Client::connect(talk.state_dir, &error);
  if (!client) return fail(talk, error, why_no_answer(talk, error));
  if (!client->send(request)) return fail(talk, client->error(), why_no_answer(talk, client->error()));
  const auto since = std::chrono::steady_clock::now();
  for (;;) {
    const auto gone = std::chrono::floor<milliseconds>(std::chrono::steady_clock::now() - since);
    auto line = client->receive(std::max(limit - gone, milliseconds(1)));
    if (!line) return fail(talk, client->error(), why_no_answer(talk, client->error()));
    if (said && (line->contains("waiting") || line->contains("progress"))) {
      said(*line);
      continue;
    }
    if (!field(*line, "ok", false)) {
      std::string reason = text_field(*line, "reason");
      return fail(talk, errno_of_refusal(*line), reason.empty() ? "refused without a reason" : std::move(reason));
    }
    *answer = std::move(*line);
    return 0;
  }
}

}  // namespace omig::capi

using namespace omig::capi;

extern "C" {

int omig_open(const char* state_dir, omig_conversation** conversation) {
  if (conversation == nullptr) return -EINVAL;
  *conversation = nullptr;
  try {
    const bool given = state_dir != nullptr && *state_dir != '\0';
    auto* talk = new omig_conversation{given ? state_dir : omig::default_state_dir(), {}, {}};
    *conversation = talk;
    return 0;
  } catch (...) {
    return -ENOMEM;
  }
}

void omig_close(omig_conversation* conversation) { delete conversation; }

const char* omig_reason(const omig_conversation* conversation) {
  return conversation == nullptr ? "" : conversation->reason.c_str();
}

int omig_set_timeout(omig_conversation* conversation, int milliseconds) {
  return guarded(conversation, [&](Talk& talk) {
    if (milliseconds < 0) return fail(talk, EINVAL, "a time-out is 0 or more milliseconds");
    talk.timeout = std::chrono::milliseconds(milliseconds);
    return 0;
  });
}

int omig_ask(omig_conversation* conversation, const char* request, char** answer) {
  return guarded(conversation, [&](Talk& talk) {
    if (answer != nullptr) *answer = nullptr;
    const omig::Json question = omig::Json::parse(request == nullptr ? "" : request, nullptr, false);
    if (!question.is_object()) return fail(talk, EINVAL, "a request is a JSON object");
    omig::Json said;
    if (const int status = ask(talk, question, omig::kAnswerTimeout, &said); status < 0 || answer == nullptr)
      return status;
    *answer = strdup(said.dump().c_str());
    return *answer != nullptr ? 0 : -ENOMEM;
  });
}

void omig_answer_free(char* answer) { free(answer); }

const char* omig_version(void) { return OMIG_VERSION; }
}
