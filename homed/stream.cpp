// SPDX-License-Identifier: Apache-2.0
#include "homed/stream.h"

namespace omig::net {

awaitable<bool> connect(tcp::socket& socket, const Endpoint& to, milliseconds timeout) {
  using namespace asio::experimental::awaitable_operators;
  asio::ip::address_v4::bytes_type bytes;
  std::copy(to.address.begin(), to.address.end(), bytes.begin());
  const tcp::endpoint at(asio::ip::address_v4(bytes), to.port);
  asio::steady_timer timer(socket.get_executor(), timeout);
  auto result = co_await (socket.async_connect(at, kCompletion) || timer.async_wait(kCompletion));
  if (result.index() != 0 || std::get<0>(std::get<0>(result))) co_return false;
  error_code ignored;
  socket.set_option(tcp::no_delay(true), ignored);
  co_return true;
}

awaitable<std::optional<u8>> peek(tcp::socket& socket, milliseconds timeout) {
  using namespace asio::experimental::awaitable_operators;
  asio::steady_timer timer(socket.get_executor(), timeout);
  auto result = co_await (socket.async_wait(tcp::socket::wait_read, kCompletion) || timer.async_wait(kCompletion));
  u8 first = 0;
  error_code code;
  if (result.index() != 0 || std::get<0>(std::get<0>(result))) co_return std::nullopt;
  if (socket.receive(asio::buffer(&first, 1), tcp::socket::message_peek, code) != 1) co_return std::nullopt;
  co_return first;
}

}  // namespace omig::net
