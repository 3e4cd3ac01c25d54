// SPDX-License-Identifier: Apache-2.0
// The client's end of homed's control socket (docs/JSON.md): one JSON line asked, JSON lines answered. omctl, the C
// library (lib/capi) and omigfs speak to homed through it and nothing else.
#pragma once

#include <cerrno>
#include <chrono>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "lib/link/peer.h"

namespace omig {

using Json = nlohmann::json;

// homed's answers take as long as the move they report,
inline constexpr milliseconds kAnswerTimeout{660'000};
// unless they only tell what is.
inline constexpr milliseconds kTellTimeout{20'000};

class Client {
 public:
  // Of the state directory that this process' environment names, or of another one. Nothing: there is no homed, and
  // *error (if given) is an errno: ENOTCONN if no homed listens, EACCES if it may not be spoken to, ETIMEDOUT if it
  // does not take the call, or what else the kernel said.
  static std::optional<Client> connect(int* error = nullptr);
  static std::optional<Client> connect(const std::string& state_dir, int* error = nullptr);

  // False: homed has gone (error() says how).
  bool send(const Json& request);
  // The next line; nothing: no answer within `timeout` (lib/base/patience.h; 0: what is there already), or none to be
  // had.
  std::optional<Json> receive(milliseconds timeout = kAnswerTimeout);
  std::optional<Json> ask(const Json& request, milliseconds timeout = kAnswerTimeout) {
    return send(request) ? receive(timeout) : std::nullopt;
  }
  // Why the last send or receive brought nothing, an errno: ECONNRESET (homed ended the conversation), ETIMEDOUT,
  // EPROTO (what came is no answer), or the kernel's.
  int error() const { return error_; }
  // Nothing more will come: the other end has closed, or said what is no JSON object.
  bool ended() const { return error_ != 0 && error_ != ETIMEDOUT; }
  int fd() const { return fd_.get(); }

 private:
  explicit Client(Fd fd) : fd_(std::move(fd)) {}
  Fd fd_;
  std::string input_;
  int error_ = 0;
};

}  // namespace omig
