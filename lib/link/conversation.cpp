// SPDX-License-Identifier: Apache-2.0
#include "lib/link/conversation.h"

#include <fcntl.h>
#include <openssl/err.h>
#include <poll.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>

#include "lib/link/bytes.h"
#include "lib/link/sealed.h"

namespace omig {

namespace {

// Both have the same hash, which is what a pre-shared key belongs to. Without hardware for AES the other is faster.
constexpr const char *kAesFirst = "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256",
                     *kChaChaFirst = "TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256";
constexpr const char* kKeyName = "omig ticket";
constexpr size_t kReadAhead = 64 << 10;

struct Freed {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};
using Context = std::unique_ptr<SSL_CTX, Freed>;

// The session that a ticket's key stands for, as OpenSSL wants it.
SSL_SESSION* session_of(SSL* ssl) {
  const auto* ticket = static_cast<const Ticket*>(SSL_get_app_data(ssl));
  constexpr unsigned char kAes128Gcm[] = {0x13, 0x01};
  SSL_SESSION* const session = SSL_SESSION_new();
  if (session == nullptr || SSL_SESSION_set1_master_key(session, ticket->key.data(), ticket->key.size()) != 1 ||
      SSL_SESSION_set_cipher(session, SSL_CIPHER_find(ssl, kAes128Gcm)) != 1 ||
      SSL_SESSION_set_protocol_version(session, TLS1_3_VERSION) != 1) {
    SSL_SESSION_free(session);
    return nullptr;
  }
  return session;
}

int use_ticket(SSL* ssl, const EVP_MD*, const unsigned char** name, size_t* bytes, SSL_SESSION** session) {
  *session = session_of(ssl);
  *name = reinterpret_cast<const unsigned char*>(kKeyName);
  *bytes = std::strlen(kKeyName);
  return *session != nullptr;
}

int find_ticket(SSL* ssl, const unsigned char* name, size_t bytes, SSL_SESSION** session) {
  *session = nullptr;
  if (bytes != std::strlen(kKeyName) || std::memcmp(name, kKeyName, bytes) != 0) return 1;
  *session = session_of(ssl);
  return *session != nullptr;
}

Context ticket_context() {
  Context context(SSL_CTX_new(TLS_method()));
  const bool aes = best_cipher() == wire::Cipher::aes128_gcm;
  if (!context || SSL_CTX_set_min_proto_version(context.get(), TLS1_3_VERSION) != 1 ||
      SSL_CTX_set_ciphersuites(context.get(), aes ? kAesFirst : kChaChaFirst) != 1)
    throw std::runtime_error("OpenSSL: no TLS 1.3");
  SSL_CTX_set_num_tickets(context.get(), 0);
  SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);
  SSL_CTX_set_psk_use_session_callback(context.get(), use_ticket);
  SSL_CTX_set_psk_find_session_callback(context.get(), find_ticket);
  return context;
}

std::string last_error() {
  const unsigned long code = ERR_peek_last_error();
  if (const char* reason = code == 0 ? nullptr : ERR_reason_error_string(code); reason != nullptr) return reason;
  return errno == 0 ? "it closed the connection" : std::strerror(errno);
}

}  // namespace

Ticket Ticket::fresh() {
  Ticket made;
  fill_random(made.name.data(), made.name.size());
  fill_random(made.key.data(), made.key.size());
  return made;
}

nlohmann::json Ticket::to_json() const {
  return {{"name", hex_encode(name.data(), name.size())}, {"key", hex_encode(key.data(), key.size())}};
}

std::optional<Ticket> Ticket::from_json(const nlohmann::json& json) {
  Ticket read;
  if (!json.is_object()) return std::nullopt;
  const auto name = json.find("name"), key = json.find("key");
  if (name == json.end() || !name->is_string() || key == json.end() || !key->is_string() ||
      !hex_decode(name->get_ref<const std::string&>(), read.name.data(), read.name.size()) ||
      !hex_decode(key->get_ref<const std::string&>(), read.key.data(), read.key.size()))
    return std::nullopt;
  return read;
}

// True: ask again. OpenSSL has said why it could not do what it was asked for.
bool Conversation::wait(int result, Patience& patience) {
  switch (SSL_get_error(ssl_.get(), result)) {
    case SSL_ERROR_WANT_READ: return wait_for(fd_.get(), POLLIN, patience);
    case SSL_ERROR_WANT_WRITE: return wait_for(fd_.get(), POLLOUT, patience);
    case SSL_ERROR_ZERO_RETURN: errno = 0; return false;
    case SSL_ERROR_SSL:
      // The other end is gone without a farewell: it crashed, or was killed.
      errno = ERR_GET_REASON(ERR_peek_last_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING ? 0 : EPROTO;
      return false;
    default: return false;  // errno says it
  }
}

Conversation Conversation::over(Fd fd, const How& how, std::string* error) {
  if (!fd) return {};
  Conversation made;
  fcntl(fd.get(), F_SETFL, fcntl(fd.get(), F_GETFL) | O_NONBLOCK);
  made.ssl_.reset(SSL_new(how.context));
  made.fd_ = std::move(fd);
  SSL* const ssl = made.ssl_.get();
  if (ssl == nullptr || SSL_set_fd(ssl, made.fd_.get()) != 1) throw std::runtime_error("OpenSSL: out of memory");
  SSL_set_mode(ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_set_default_read_buffer_len(ssl, kReadAhead);
  SSL_set_read_ahead(ssl, 1);
  SSL_set_app_data(ssl, const_cast<Ticket*>(how.ticket));
  Patience patience(how.timeout);
  for (;;) {
    ERR_clear_error();
    const int result = how.calls ? SSL_connect(ssl) : SSL_accept(ssl);
    if (result == 1) break;
    if (made.wait(result, patience)) continue;
    *error = "no TLS handshake: " + last_error();
    return {};
  }
  SSL_set_app_data(ssl, nullptr);  // it was needed for the handshake only
  return made;
}

Conversation Conversation::call(const Endpoint& to, const Ticket& ticket, milliseconds timeout, std::string* error) {
  Fd fd = connect_tcp(to, timeout, error);
  TicketHello hello;
  hello.name = ticket.name;
  if (!fd) return {};
  if (!write_all(fd.get(), &hello, sizeof hello, timeout)) {
    *error = to.text() + ": " + last_error();
    return {};
  }
  const Context context = ticket_context();
  return over(std::move(fd), {context.get(), true, &ticket, timeout}, error);
}

Conversation Conversation::answer(Fd fd, const Ticket& ticket, milliseconds timeout, std::string* error) {
  const Context context = ticket_context();
  return over(std::move(fd), {context.get(), false, &ticket, timeout}, error);
}

Conversation Conversation::call(const Endpoint& to, const Identity& identity, milliseconds timeout,
                                std::string* error) {
  const Context context(member_context(identity));
  return over(connect_tcp(to, timeout, error), {context.get(), true, nullptr, timeout}, error);
}

Conversation Conversation::answer(Fd fd, const Identity& identity, milliseconds timeout, std::string* error) {
  const Context context(member_context(identity));
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  return over(std::move(fd), {context.get(), false, nullptr, timeout}, error);
}

size_t Conversation::read_part(void* data, size_t bytes, Patience& patience) {
  if (!valid()) return 0;
  for (;;) {
    ERR_clear_error();
    size_t got = 0;
    const int result = SSL_read_ex(ssl_.get(), data, bytes, &got);
    if (result == 1) return got;
    if (!wait(result, patience)) return 0;
  }
}

bool Conversation::read_until(void* data, size_t bytes, Patience& patience) {
  u8* at = static_cast<u8*>(data);
  while (bytes > 0) {
    const size_t got = read_part(at, bytes, patience);
    if (got == 0) return false;
    at += got;
    bytes -= got;
  }
  return true;
}

size_t Conversation::read_some(void* data, size_t bytes, milliseconds timeout) {
  Patience patience(timeout);
  return read_part(data, bytes, patience);
}

bool Conversation::read(void* data, size_t bytes, milliseconds timeout) {
  Patience patience(timeout);
  return read_until(data, bytes, patience);
}

bool Conversation::write(const void* data, size_t bytes, milliseconds timeout) {
  if (!valid()) return false;
  Patience patience(timeout);
  const u8* at = static_cast<const u8*>(data);
  while (bytes > 0) {
    ERR_clear_error();
    size_t put = 0;
    const int result = SSL_write_ex(ssl_.get(), at, bytes, &put);
    if (result != 1 && !wait(result, patience)) return false;
    at += put;
    bytes -= put;
  }
  return true;
}

bool Conversation::send(const nlohmann::json& message, milliseconds timeout) {
  const std::string frame = frame_json(message);
  if (!frame.empty()) return write(frame.data(), frame.size(), timeout);
  errno = EMSGSIZE;
  return false;
}

std::optional<nlohmann::json> Conversation::receive(size_t max_bytes, milliseconds timeout) {
  Patience patience(timeout);
  return message_from([&](void* data, size_t bytes) { return read_until(data, bytes, patience); }, max_bytes);
}

}  // namespace omig
