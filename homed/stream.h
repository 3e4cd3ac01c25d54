// SPDX-License-Identifier: Apache-2.0
// Asio with deadlines: whole messages on stream sockets, as coroutines. False or nothing: the socket is of no more use.
#pragma once

#include <boost/asio.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <chrono>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>

#include "lib/base/fields.h"
#include "lib/link/peer.h"

namespace omig {

namespace asio = boost::asio;
using asio::awaitable;
using boost::system::error_code;
using tcp = asio::ip::tcp;
using Json = nlohmann::json;

inline constexpr auto kCompletion = asio::as_tuple(asio::use_awaitable);

inline i64 now_ms() {
  return std::chrono::duration_cast<milliseconds>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

namespace net {

template <class Socket>
awaitable<bool> read_exactly(Socket& socket, void* data, size_t bytes, milliseconds timeout) {
  using namespace asio::experimental::awaitable_operators;
  asio::steady_timer timer(socket.get_executor(), timeout);
  auto result =
      co_await (asio::async_read(socket, asio::buffer(data, bytes), kCompletion) || timer.async_wait(kCompletion));
  co_return result.index() == 0 && !std::get<0>(std::get<0>(result));
}

template <class Socket>
awaitable<bool> write_all(Socket& socket, std::string text, milliseconds timeout) {
  using namespace asio::experimental::awaitable_operators;
  asio::steady_timer timer(socket.get_executor(), timeout);
  auto result = co_await (asio::async_write(socket, asio::buffer(text), kCompletion) || timer.async_wait(kCompletion));
  co_return result.index() == 0 && !std::get<0>(std::get<0>(result));
}

template <class Socket>
awaitable<std::optional<Json>> recv_json(Socket& socket, milliseconds timeout) {
  u32 length = 0;
  if (!co_await read_exactly(socket, &length, sizeof(length), timeout)) co_return std::nullopt;
  if (length == 0 || length > kMaxMessageBytes) co_return std::nullopt;
  std::string text(length, '\0');
  if (!co_await read_exactly(socket, text.data(), text.size(), timeout)) co_return std::nullopt;
  Json message = Json::parse(text, nullptr, false);
  if (message.is_discarded() || !message.is_object()) co_return std::nullopt;
  co_return message;
}

template <class Socket>
awaitable<bool> send_json(Socket& socket, const Json& message, milliseconds timeout = kPeerTimeout) {
  std::string frame = frame_json(message);
  if (frame.empty()) co_return false;
  co_return co_await write_all(socket, std::move(frame), timeout);
}

// Pauses; ends early when the timer is cancelled.
inline awaitable<void> pause(asio::steady_timer& timer, milliseconds time) {
  timer.expires_after(time);
  co_await timer.async_wait(kCompletion);
}

awaitable<bool> connect(tcp::socket& socket, const Endpoint& to, milliseconds timeout);
// The first byte that comes, which stays to be read.
awaitable<std::optional<u8>> peek(tcp::socket& socket, milliseconds timeout);

}  // namespace net

// code: for programs, one of those that docs/JSON.md lists; empty: none of them.
inline Json refusal(std::string reason, const char* code = "") {
  Json json{{"ok", false}, {"reason", std::move(reason)}};
  if (*code != '\0') json["code"] = code;
  return json;
}

}  // namespace omig
