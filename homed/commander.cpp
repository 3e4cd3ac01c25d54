// SPDX-License-Identifier: Apache-2.0
#include "homed/commander.h"

namespace omig {

awaitable<std::optional<Json>> command_host(const HostAddress& host, const Json& request, milliseconds timeout) {
  tcp::socket socket(co_await asio::this_coro::executor);
  const milliseconds reach = std::min(timeout, milliseconds(5'000));
  if (!co_await net::connect(socket, host.at, reach)) co_return std::nullopt;
  wire::Hello hello;
  hello.role = wire::Role::commander;
  std::copy(host.token.begin(), host.token.end(), hello.token);
  std::string text(reinterpret_cast<const char*>(&hello), sizeof(hello));
  if (!co_await net::write_all(socket, std::move(text), reach)) co_return std::nullopt;
  if (!co_await net::send_json(socket, request, reach)) co_return std::nullopt;
  co_return co_await net::recv_json(socket, timeout);
}

}  // namespace omig
