// SPDX-License-Identifier: Apache-2.0
#include "lib/link/identity.h"

#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <stdexcept>

namespace omig {

namespace {

constexpr size_t kPublicKeyBytes = 32, kSignatureBytes = 64, kFingerprintBytes = 16;
constexpr size_t kMostFileBytes = 64 << 10;
constexpr std::string_view kClusterOf = "omig cluster of ";
constexpr const char* kMulticastLabel = "OMIG MULTICAST KEY";

template <auto free_it>
struct Freed {
  void operator()(auto* object) const { free_it(object); }
};
using Key = std::unique_ptr<EVP_PKEY, Freed<&EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, Freed<&X509_free>>;
using Bio = std::unique_ptr<BIO, Freed<&BIO_free_all>>;
using Digest = std::unique_ptr<EVP_MD_CTX, Freed<&EVP_MD_CTX_free>>;
using Context = std::unique_ptr<SSL_CTX, Freed<&SSL_CTX_free>>;

std::string failure_with(const char* what, const std::string& path) {
  return std::string(what) + " " + path + ": " + std::strerror(errno);
}

// Of OpenSSL's functions that fail for want of memory only.
void must(bool done) {
  if (!done) throw std::runtime_error("OpenSSL: out of memory");
}

Bio reader(const std::string& text) { return Bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size()))); }

std::string written(BIO* bio) {
  char* data = nullptr;
  const long bytes = BIO_get_mem_data(bio, &data);
  return {data, static_cast<size_t>(bytes)};
}

Key key_in(const std::string& pem) {
  return Key(PEM_read_bio_PrivateKey(reader(pem).get(), nullptr, nullptr, nullptr));
}

Certificate certificate_in(const std::string& pem) {
  return Certificate(PEM_read_bio_X509(reader(pem).get(), nullptr, nullptr, nullptr));
}

std::string pem_of(EVP_PKEY* key) {
  const Bio bio(BIO_new(BIO_s_mem()));
  must(bio && PEM_write_bio_PrivateKey(bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr) == 1);
  return written(bio.get());
}

std::string pem_of(X509* certificate) {
  const Bio bio(BIO_new(BIO_s_mem()));
  must(bio && PEM_write_bio_X509(bio.get(), certificate) == 1);
  return written(bio.get());
}

Key new_key() {
  Key key(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
  must(key != nullptr);
  return key;
}

void add_extension(X509* certificate, int nid, const char* value) {
  X509_EXTENSION* const extension = X509V3_EXT_conf_nid(nullptr, nullptr, nid, value);
  must(extension != nullptr && X509_add_ext(certificate, extension, -1) == 1);
  X509_EXTENSION_free(extension);
}

// `issuer` null: by itself, an authority.
Certificate new_certificate(EVP_PKEY* key, const std::string& name, EVP_PKEY* by, X509* issuer) {
  constexpr long kDay_s = 24 * 3600;
  constexpr long kYears_s = 100L * 365 * kDay_s;  // nobody looks at it, see above
  Certificate made(X509_new());
  must(made && X509_set_version(made.get(), X509_VERSION_3) == 1);
  u64 serial = 0;
  fill_random(&serial, sizeof serial);
  ASN1_INTEGER_set_uint64(X509_get_serialNumber(made.get()), serial >> 1);
  X509_gmtime_adj(X509_getm_notBefore(made.get()), -kDay_s);
  X509_gmtime_adj(X509_getm_notAfter(made.get()), kYears_s);
  X509_NAME* const subject = X509_get_subject_name(made.get());
  const std::string short_name = name.substr(0, 64);  // RFC 5280, ub-common-name
  must(X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8,
                                  reinterpret_cast<const unsigned char*>(short_name.data()),
                                  static_cast<int>(short_name.size()), -1, 0) == 1);
  must(X509_set_issuer_name(made.get(), issuer != nullptr ? X509_get_subject_name(issuer) : subject) == 1);
  must(X509_set_pubkey(made.get(), key) == 1);
  add_extension(made.get(), NID_basic_constraints, issuer == nullptr ? "critical,CA:TRUE" : "critical,CA:FALSE");
  if (issuer == nullptr) add_extension(made.get(), NID_key_usage, "critical,keyCertSign");
  must(X509_sign(made.get(), by, nullptr) > 0);
  return made;
}

std::optional<std::string> read_secret(const std::string& path, std::string* error) {
  const Fd file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  struct stat info {};
  if (!file || fstat(file.get(), &info) != 0) {
    *error = failure_with("cannot open", path);
    return std::nullopt;
  }
  if ((info.st_mode & 077) != 0) {
    *error = path + " may be read by others: chmod 600 it";
    return std::nullopt;
  }
  std::string text(std::min<size_t>(static_cast<size_t>(info.st_size), kMostFileBytes), '\0');
  const ssize_t got = read(file.get(), text.data(), text.size());
  text.resize(got > 0 ? static_cast<size_t>(got) : 0);
  return text;
}

bool write_secret(const std::string& path, const std::string& text, std::string* error) {
  const std::string aside = path + "." + std::to_string(getpid());
  const Fd file(open(aside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (file && write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()) &&
      fsync(file.get()) == 0 && rename(aside.c_str(), path.c_str()) == 0)
    return true;
  *error = failure_with("cannot write", path);
  unlink(aside.c_str());
  return false;
}

std::string identity_file(const std::string& dir) { return dir + "/identity.pem"; }
std::string authority_file(const std::string& dir) { return dir + "/authority.pem"; }

std::string multicast_pem(const ClusterKey& key) {
  const Bio bio(BIO_new(BIO_s_mem()));
  must(bio && PEM_write_bio(bio.get(), kMulticastLabel, "", key.data(), key.size()) > 0);
  return written(bio.get());
}

// The blocks of a PEM file, whatever they hold.
std::optional<Identity> parse(const std::string& text) {
  Identity found;
  bool has_multicast = false;
  const Bio bio = reader(text);
  char *label = nullptr, *header = nullptr;
  unsigned char* data = nullptr;
  long bytes = 0;
  while (PEM_read_bio(bio.get(), &label, &header, &data, &bytes) == 1) {
    const std::string name = label;
    const Bio block(BIO_new(BIO_s_mem()));
    must(block && PEM_write_bio(block.get(), label, "", data, bytes) > 0);
    if (name == "PRIVATE KEY") found.key = written(block.get());
    if (name == "CERTIFICATE") (found.certificate.empty() ? found.certificate : found.cluster) = written(block.get());
    if (name == kMulticastLabel && bytes == static_cast<long>(found.multicast.size())) {
      std::memcpy(found.multicast.data(), data, found.multicast.size());
      has_multicast = true;
    }
    OPENSSL_free(label);
    OPENSSL_free(header);
    OPENSSL_clear_free(data, static_cast<size_t>(bytes));
  }
  ERR_clear_error();  // the end of the text is one, to PEM_read_bio
  const Key key = key_in(found.key);
  const Certificate own = certificate_in(found.certificate), cluster = certificate_in(found.cluster);
  if (!has_multicast || !key || !own || !cluster || X509_check_private_key(own.get(), key.get()) != 1 ||
      X509_verify(own.get(), X509_get0_pubkey(cluster.get())) != 1) {
    ERR_clear_error();
    return std::nullopt;
  }
  return found;
}

std::string what_is_signed(const Revocations& list) {
  std::string text = "omig revocations " + std::to_string(list.number);
  for (const std::string& node : list.nodes) text += " " + node;
  return text;
}

}  // namespace

std::string new_private_key() { return pem_of(new_key().get()); }

std::string public_key_of(const std::string& private_key) {
  const Key key = key_in(private_key);
  u8 raw[kPublicKeyBytes];
  size_t bytes = sizeof raw;
  if (!key || EVP_PKEY_get_raw_public_key(key.get(), raw, &bytes) != 1) return "";
  return hex_encode(raw, bytes);
}

Identity new_cluster(const std::string& node) {
  const Key authority = new_key();
  const Certificate cluster =
      new_certificate(authority.get(), std::string(kClusterOf) + node, authority.get(), nullptr);
  Identity founder;
  founder.cluster = pem_of(cluster.get());
  founder.authority = pem_of(authority.get());
  fill_random(founder.multicast.data(), founder.multicast.size());
  Identity made = new_member(founder, node);
  made.authority = founder.authority;
  return made;
}

Identity new_member(const Identity& founder, const std::string& node) {
  Identity made;
  made.key = new_private_key();
  made.certificate = certify(founder, public_key_of(made.key), node);
  made.cluster = founder.cluster;
  made.multicast = founder.multicast;
  return made;
}

std::string certify(const Identity& founder, const std::string& public_key_hex, const std::string& node) {
  u8 raw[kPublicKeyBytes];
  const Key authority = key_in(founder.authority);
  const Certificate cluster = certificate_in(founder.cluster);
  if (!authority || !cluster || !hex_decode(public_key_hex, raw, sizeof raw)) return "";
  const Key key(EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, raw, sizeof raw));
  if (!key) return "";
  return pem_of(new_certificate(key.get(), node, authority.get(), cluster.get()).get());
}

std::optional<Identity> load_identity(const std::string& dir, std::string* error) {
  const auto text = read_secret(identity_file(dir), error);
  if (!text) return std::nullopt;
  auto identity = parse(*text);
  if (!identity) {
    *error = identity_file(dir) + " is no identity of a node: remove it, and join the cluster again (omctl join)";
    return std::nullopt;
  }
  if (access(authority_file(dir).c_str(), F_OK) != 0) return identity;
  const auto authority = read_secret(authority_file(dir), error);
  if (!authority) return std::nullopt;
  const Key key = key_in(*authority);
  const Certificate cluster = certificate_in(identity->cluster);
  // One of another cluster, left behind by a node that was stopped in the middle of a change, is none.
  if (key && X509_check_private_key(cluster.get(), key.get()) == 1) identity->authority = *authority;
  ERR_clear_error();
  return identity;
}

bool keep_identity(const std::string& dir, const Identity& identity, std::string* error) {
  // The authority first: without the certificate that belongs to it, it counts as none.
  if (!identity.authority.empty() && !write_secret(authority_file(dir), identity.authority, error)) return false;
  const std::string text = identity.key + identity.certificate + identity.cluster + multicast_pem(identity.multicast);
  if (!write_secret(identity_file(dir), text, error)) return false;
  if (identity.authority.empty()) unlink(authority_file(dir).c_str());
  return true;
}

std::optional<Identity> load_or_found(const std::string& dir, const std::string& node, std::string* error) {
  if (access(identity_file(dir).c_str(), F_OK) == 0) return load_identity(dir, error);
  const Identity made = new_cluster(node);
  if (!keep_identity(dir, made, error)) return std::nullopt;
  return made;
}

std::string fingerprint_of(const X509* certificate) {
  unsigned char* encoded = nullptr;
  const int bytes = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &encoded);
  must(bytes > 0);
  u8 digest[EVP_MAX_MD_SIZE];
  must(EVP_Digest(encoded, static_cast<size_t>(bytes), digest, nullptr, EVP_sha256(), nullptr) == 1);
  OPENSSL_free(encoded);
  return hex_encode(digest, kFingerprintBytes);
}

std::string fingerprint_of(const std::string& certificate) {
  const Certificate parsed = certificate_in(certificate);
  ERR_clear_error();
  return parsed ? fingerprint_of(parsed.get()) : "";
}

std::string token_of(const Invitation& invitation) {
  return std::string(kTokenPrefix) + invitation.at.text() + "-" + invitation.cluster + "-" + invitation.secret;
}

std::optional<Invitation> invitation_in(std::string_view token) {
  constexpr size_t kDigits = 2 * kFingerprintBytes;
  if (!token.starts_with(kTokenPrefix) || token.size() < kTokenPrefix.size() + 2 * (kDigits + 1)) return std::nullopt;
  token.remove_prefix(kTokenPrefix.size());
  const size_t end = token.size() - 2 * (kDigits + 1);
  const auto at = Endpoint::parse(token.substr(0, end));
  u8 ignored[kFingerprintBytes];
  const std::string_view cluster = token.substr(end + 1, kDigits), secret = token.substr(end + kDigits + 2);
  if (!at || token[end] != '-' || token[end + kDigits + 1] != '-' || !hex_decode(cluster, ignored, sizeof ignored) ||
      !hex_decode(secret, ignored, sizeof ignored))
    return std::nullopt;
  return Invitation{*at, std::string(cluster), std::string(secret)};
}

std::string founder_of(const std::string& cluster_pem) {
  const Certificate cluster = certificate_in(cluster_pem);
  char name[128] = {};
  if (cluster) X509_NAME_get_text_by_NID(X509_get_subject_name(cluster.get()), NID_commonName, name, sizeof name);
  const std::string_view text = name;
  return std::string(text.starts_with(kClusterOf) ? text.substr(kClusterOf.size()) : text);
}

bool Revocations::has(const std::string& fingerprint) const {
  return std::binary_search(nodes.begin(), nodes.end(), fingerprint);
}

bool sign(Revocations* list, const Identity& founder) {
  const Key key = key_in(founder.authority);
  if (!key) return false;
  std::ranges::sort(list->nodes);
  const std::string text = what_is_signed(*list);
  const Digest digest(EVP_MD_CTX_new());
  u8 signature[kSignatureBytes];
  size_t bytes = sizeof signature;
  must(digest && EVP_DigestSignInit(digest.get(), nullptr, nullptr, nullptr, key.get()) == 1 &&
       EVP_DigestSign(digest.get(), signature, &bytes, reinterpret_cast<const u8*>(text.data()), text.size()) == 1);
  list->signature = hex_encode(signature, bytes);
  return true;
}

bool is_signed(const Revocations& list, const std::string& cluster_pem) {
  const Certificate cluster = certificate_in(cluster_pem);
  u8 signature[kSignatureBytes];
  if (!cluster || !std::ranges::is_sorted(list.nodes) || !hex_decode(list.signature, signature, sizeof signature))
    return false;
  const std::string text = what_is_signed(list);
  const Digest digest(EVP_MD_CTX_new());
  must(digest != nullptr);
  const bool genuine =
      EVP_DigestVerifyInit(digest.get(), nullptr, nullptr, nullptr, X509_get0_pubkey(cluster.get())) == 1 &&
      EVP_DigestVerify(digest.get(), signature, sizeof signature, reinterpret_cast<const u8*>(text.data()),
                       text.size()) == 1;
  ERR_clear_error();
  return genuine;
}

nlohmann::json to_json(const Revocations& list) {
  return {{"number", list.number}, {"nodes", list.nodes}, {"signature", list.signature}};
}

std::optional<Revocations> revocations_from_json(const nlohmann::json& json) {
  if (!json.is_object()) return std::nullopt;
  const auto number = json.find("number"), nodes = json.find("nodes"), signature = json.find("signature");
  if (number == json.end() || !number->is_number_unsigned() || nodes == json.end() || !nodes->is_array() ||
      nodes->size() > kMostRevoked || signature == json.end() || !signature->is_string())
    return std::nullopt;
  Revocations list{number->get<u64>(), {}, signature->get<std::string>()};
  for (const auto& node : *nodes) {
    if (!node.is_string() || node.get_ref<const std::string&>().size() != 2 * kFingerprintBytes) return std::nullopt;
    list.nodes.push_back(node.get<std::string>());
  }
  return list;
}

namespace {

Context tls13_context() {
  Context context(SSL_CTX_new(TLS_method()));
  must(context && SSL_CTX_set_min_proto_version(context.get(), TLS1_3_VERSION) == 1);
  SSL_CTX_set_num_tickets(context.get(), 0);
  SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);
  return context;
}

}  // namespace

SSL_CTX* member_context(const Identity& identity) {
  Context context = tls13_context();
  const Key key = key_in(identity.key);
  const Certificate own = certificate_in(identity.certificate), cluster = certificate_in(identity.cluster);
  X509_STORE* const store = SSL_CTX_get_cert_store(context.get());
  if (!key || !own || !cluster || SSL_CTX_use_certificate(context.get(), own.get()) != 1 ||
      SSL_CTX_use_PrivateKey(context.get(), key.get()) != 1 || X509_STORE_add_cert(store, cluster.get()) != 1 ||
      SSL_CTX_add1_chain_cert(context.get(), cluster.get()) != 1)
    throw std::runtime_error("the node's identity cannot be used");
  X509_STORE_set_flags(store, X509_V_FLAG_NO_CHECK_TIME);
  // As a server, who shows no certificate is let in here: it may be a newcomer (peer_of tells).
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  return context.release();
}

SSL_CTX* newcomer_context() {
  Context context = tls13_context();
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_NONE, nullptr);
  return context.release();
}

bool is_of(SSL* connection, const std::string& cluster_fingerprint) {
  STACK_OF(X509)* const chain = SSL_get_peer_cert_chain(connection);
  const Certificate peer(SSL_get1_peer_certificate(connection));
  for (int i = 0; peer && i < sk_X509_num(chain); ++i) {
    X509* const authority = sk_X509_value(chain, i);
    if (fingerprint_of(authority) == cluster_fingerprint)
      return X509_verify(peer.get(), X509_get0_pubkey(authority)) == 1;
  }
  return false;
}

std::string peer_of(SSL* connection) {
  const Certificate peer(SSL_get1_peer_certificate(connection));
  return peer ? fingerprint_of(peer.get()) : "";
}

}  // namespace omig
