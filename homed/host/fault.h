// SPDX-License-Identifier: Apache-2.0
// Fault points for tests: with OMIG_FAULT=NAME in its environment a host kills itself when it reaches that point, with
// OMIG_FAULT=NAME:stop it stops there until somebody continues it, with OMIG_FAULT=NAME:cut all its connections end
// there.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <string_view>

namespace omig::host {

inline void cut_connections() {
  constexpr int kMostDescriptors = 1024;
  for (int fd = 0; fd < kMostDescriptors; ++fd) {
    sockaddr_in peer{};
    socklen_t bytes = sizeof peer;
    const bool connected = getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &bytes) == 0;
    if (connected && peer.sin_family == AF_INET) shutdown(fd, SHUT_RDWR);
  }
}

inline void fault_point(std::string_view name) {
  const char* text = getenv("OMIG_FAULT");
  if (text == nullptr) return;
  std::string_view wanted = text;
  const size_t colon = wanted.find(':');
  const std::string_view how = colon == std::string_view::npos ? "" : wanted.substr(colon + 1);
  if (name != wanted.substr(0, colon)) return;
  if (how == "cut") return cut_connections();
  kill(getpid(), how == "stop" ? SIGSTOP : SIGKILL);
}

}  // namespace omig::host
