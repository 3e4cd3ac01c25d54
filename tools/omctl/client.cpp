// SPDX-License-Identifier: Apache-2.0
#include "tools/omctl/client.h"

#include <fmt/format.h>
#include <unistd.h>

#include "lib/base/paths.h"

namespace omig {

std::optional<Json> ask_homed(const Json& request, milliseconds timeout) {
  auto client = Client::connect();
  if (!client) {
    say_no_homed();
    return std::nullopt;
  }
  auto answer = client->ask(request, timeout);
  if (!answer) say_no_answer(*client);
  return answer;
}

std::optional<Json> ask_for_work(Json request, const char* what) {
  auto client = Client::connect();
  if (!client) {
    say_no_homed();
    return std::nullopt;
  }
  const bool shown = isatty(2) != 0;
  request["progress"] = true;
  if (!client->send(request)) {
    say_no_answer(*client);
    return std::nullopt;
  }
  bool line = false;
  auto answer = client->receive();
  for (; answer && answer->contains("progress"); answer = client->receive()) {
    if (!shown) continue;
    const Json& now = answer->at("progress");
    fmt::print(stderr, "\r{}: {} moved, {} left \033[K", what, now.value("moved", 0), now.value("left", 0));
    line = true;
  }
  if (line) fmt::print(stderr, "\r\033[K");
  if (!answer) say_no_answer(*client);
  return answer;
}

int refused(const Json& answer) {
  say_reason(answer.value("reason", "refused without a reason"));
  return 1;
}

void say_no_homed() {
  fmt::print(stderr, "omctl: no homed at {}/homed.sock (start it with: homed --foreground, or omctl lab up)\n",
             default_state_dir());
}

void say_no_answer(const Client& client) {
  fmt::print(stderr, "omctl: homed at {} {} (see its homed.log)\n", default_state_dir(),
             client.ended() ? "ended the conversation without an answer" : "gives no answer: it hangs, or is stopped");
}

void say_reason(const std::string& reason) { fmt::print(stderr, "omctl: {}\n", reason); }

}  // namespace omig
