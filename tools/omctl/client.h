// SPDX-License-Identifier: Apache-2.0
// The client's end of homed's control socket: one JSON line asked, JSON lines answered.
#pragma once

#include <chrono>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "lib/link/peer.h"

namespace omig {

using Json = nlohmann::json;

// homed's answers take as long as the move they report.
inline constexpr milliseconds kAnswerTimeout{660'000};

class Client {
 public:
  // Of the state directory that this process' environment names.
  static std::optional<Client> connect();

  bool send(const Json& request);
  std::optional<Json> receive(milliseconds timeout = kAnswerTimeout);
  std::optional<Json> ask(const Json& request) { return send(request) ? receive() : std::nullopt; }

 private:
  explicit Client(Fd fd) : fd_(std::move(fd)) {}
  Fd fd_;
  std::string input_;
};

// "omctl: no homed at ..." on stderr.
void say_no_homed();
// The answer's reason on stderr, in one line.
void say_reason(const std::string& reason);

}  // namespace omig
