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

awaitable<bool> greet(tcp::socket& socket, const ClusterKey& key, milliseconds timeout) {
  ClientHello hello;
  fill_random(hello.nonce.data(), hello.nonce.size());
  ServerHello answer;
  std::string text(reinterpret_cast<const char*>(&hello), sizeof(hello));
  if (!co_await write_all(socket, std::move(text), timeout)) co_return false;
  if (!co_await read_exactly(socket, &answer, sizeof(answer), timeout)) co_return false;
  if (!mac_equal(answer.mac, handshake_mac(key, "server", hello.nonce, answer.nonce))) co_return false;
  const Mac proof = handshake_mac(key, "client", hello.nonce, answer.nonce);
  if (!co_await write_all(socket, std::string(reinterpret_cast<const char*>(proof.data()), proof.size()), timeout))
    co_return false;
  u8 accepted = 0;
  co_return co_await read_exactly(socket, &accepted, 1, timeout) && accepted == 1;
}

awaitable<bool> accept(tcp::socket& socket, const ClusterKey& key, milliseconds timeout) {
  ClientHello hello;
  if (!co_await read_exactly(socket, &hello, sizeof(hello), timeout)) co_return false;
  if (hello.magic != kHandshakeMagic || hello.version != kHandshakeVersion) co_return false;
  ServerHello answer;
  fill_random(answer.nonce.data(), answer.nonce.size());
  answer.mac = handshake_mac(key, "server", hello.nonce, answer.nonce);
  std::string text(reinterpret_cast<const char*>(&answer), sizeof(answer));
  if (!co_await write_all(socket, std::move(text), timeout)) co_return false;
  Mac proof{};
  if (!co_await read_exactly(socket, proof.data(), proof.size(), timeout)) co_return false;
  if (!mac_equal(proof, handshake_mac(key, "client", hello.nonce, answer.nonce))) co_return false;
  co_return co_await write_all(socket, std::string(1, '\1'), timeout);
}

}  // namespace omig::net
