// SPDX-License-Identifier: Apache-2.0
#include "homed/secure.h"

#include <fmt/format.h>

namespace omig {

namespace {

constexpr i64 kKeptFor_ms = 20'000;  // less than the other end waits for a question
constexpr size_t kMostKept = 64;

awaitable<bool> shake_hands(Secure& stream, asio::ssl::stream_base::handshake_type as, milliseconds timeout,
                            error_code* code) {
  using namespace asio::experimental::awaitable_operators;
  asio::steady_timer timer(stream.get_executor(), timeout);
  auto result = co_await (stream.async_handshake(as, kCompletion) || timer.async_wait(kCompletion));
  *code = result.index() == 0 ? std::get<0>(std::get<0>(result)) : asio::error::timed_out;
  co_return !*code;
}

awaitable<Peer> connected(asio::io_context& io, asio::ssl::context& context, Endpoint to, milliseconds timeout,
                          std::string* error) {
  Peer peer;
  auto stream = std::make_unique<Secure>(io, context);
  if (!co_await net::connect(stream->next_layer(), to, timeout)) {
    *error = "cannot be reached";
    co_return peer;
  }
  error_code code;
  if (!co_await shake_hands(*stream, asio::ssl::stream_base::client, timeout, &code)) {
    *error = fmt::format(
        "no handshake ({}): is it of another cluster? (there: omctl cluster invite; here: omctl join TOKEN)",
        code.message());
    co_return peer;
  }
  peer.fingerprint = peer_of(stream->native_handle());
  peer.stream = std::move(stream);
  co_return peer;
}

}  // namespace

awaitable<Peer> call_member(asio::io_context& io, Credentials& credentials, Endpoint to, milliseconds timeout,
                            std::string* error) {
  const u64 generation = credentials.generation();
  Peer peer = co_await connected(io, credentials.context(), to, timeout, error);
  peer.generation = generation;
  if (peer.stream && credentials.revoked(peer.fingerprint)) {
    *error = "it is revoked";
    peer.stream.reset();
  }
  co_return peer;
}

awaitable<Peer> call_founder(asio::io_context& io, Endpoint to, std::string cluster, milliseconds timeout,
                             std::string* error) {
  asio::ssl::context context(newcomer_context());
  Peer peer = co_await connected(io, context, to, timeout, error);
  if (peer.stream && !is_of(peer.stream->native_handle(), cluster)) {
    *error = "it is not of the cluster that the token is for";
    peer.stream.reset();
  }
  co_return peer;
}

awaitable<bool> welcome(Peer& peer, const Credentials& credentials, milliseconds timeout) {
  peer.generation = credentials.generation();
  error_code code;
  if (!co_await shake_hands(*peer.stream, asio::ssl::stream_base::server, timeout, &code)) co_return false;
  peer.fingerprint = peer_of(peer.stream->native_handle());
  co_return !credentials.revoked(peer.fingerprint);
}

std::optional<Peer> Callers::kept(const Endpoint& to) {
  const i64 now = now_ms();
  std::erase_if(idle_, [&](const auto& each) {
    return now - each.second.used_ms > kKeptFor_ms || !each.second.of_cluster(credentials_);
  });
  const auto found = idle_.find(to);
  if (found == idle_.end()) return std::nullopt;
  Peer peer = std::move(found->second);
  idle_.erase(found);
  return peer;
}

void Callers::keep(const Endpoint& to, Peer peer) {
  peer.used_ms = now_ms();
  if (idle_.size() < kMostKept) idle_.emplace(to, std::move(peer));
}

awaitable<std::optional<Json>> Callers::ask(Endpoint to, Json request, milliseconds timeout, std::string* error) {
  for (;;) {
    std::optional<Peer> peer = kept(to);
    const bool fresh = !peer;
    if (fresh) peer = co_await call_member(io_, credentials_, to, timeout, error);
    if (!peer->stream) co_return std::nullopt;
    std::optional<Json> answer;
    if (co_await net::send_json(*peer->stream, request, timeout))
      answer = co_await net::recv_json(*peer->stream, timeout);
    if (answer) {
      keep(to, std::move(*peer));
      co_return answer;
    }
    *error = "it hangs up, or does not answer";
    if (fresh) co_return std::nullopt;
  }
}

}  // namespace omig
