// SPDX-License-Identifier: Apache-2.0
#include "homed/commander.h"

namespace omig {

namespace {

using Record = std::vector<u8>;

wire::Hello hello_for(size_t order_bytes) {
  wire::Hello hello;
  hello.role = wire::Role::commander;
  hello.cipher = best_cipher();
  hello.extra_bytes = static_cast<u32>(order_bytes);
  fill_random(hello.nonce, sizeof hello.nonce);
  return hello;
}

awaitable<bool> send_order(tcp::socket& socket, Seals& seals, const wire::Hello& hello, const std::string& order,
                           milliseconds timeout) {
  Record record;
  seals.to_host.seal({reinterpret_cast<const u8*>(order.data()), order.size()}, &record, &hello);
  std::string text(reinterpret_cast<const char*>(&hello), sizeof hello);
  text.append(record.begin(), record.end());
  co_return co_await net::write_all(socket, std::move(text), timeout);
}

// What comes, until it is a whole message.
awaitable<std::optional<Json>> receive_answer(tcp::socket& socket, Seals& seals, milliseconds timeout) {
  std::string message;
  for (u32 whole = sizeof(u32); message.size() < whole;) {
    u8 begin[sizeof(wire::RecordHead)];
    if (!co_await net::read_exactly(socket, begin, sizeof begin, timeout)) co_return std::nullopt;
    const wire::RecordHead head = record_head(begin);
    Record record(head.bytes + wire::kTagBytes);
    if (head.bytes == 0 || !co_await net::read_exactly(socket, record.data(), record.size(), timeout) ||
        !seals.from_host.open(head, record.data()))
      co_return std::nullopt;
    message.append(record.begin(), record.begin() + head.bytes);
    if (message.size() < sizeof(u32)) continue;
    u32 bytes = 0;
    std::memcpy(&bytes, message.data(), sizeof bytes);
    if (bytes > kMaxMessageBytes) co_return std::nullopt;
    whole = bytes + static_cast<u32>(sizeof bytes);
  }
  Json answer = Json::parse(message.substr(sizeof(u32)), nullptr, false);
  if (!answer.is_object()) co_return std::nullopt;
  co_return answer;
}

}  // namespace

awaitable<std::optional<Json>> command_host(const HostAddress& host, const Json& request, milliseconds timeout) {
  tcp::socket socket(co_await asio::this_coro::executor);
  const milliseconds reach = std::min(timeout, milliseconds(5'000));
  const std::string order = request.dump(-1, ' ', false, Json::error_handler_t::replace);
  const wire::Hello hello = hello_for(order.size());
  auto seals = seals_of(host.token, hello, false);
  if (!seals || order.size() > wire::kMaxRecord || !co_await net::connect(socket, host.at, reach))
    co_return std::nullopt;
  if (!co_await send_order(socket, *seals, hello, order, reach)) co_return std::nullopt;
  co_return co_await receive_answer(socket, *seals, timeout);
}

}  // namespace omig
