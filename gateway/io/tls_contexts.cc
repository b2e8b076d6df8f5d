#include "gateway/io/tls_contexts.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <boost/asio/buffer.hpp>
#include <map>
#include <string>

#include "common/concat.h"

namespace gateway {
namespace {

namespace asio = boost::asio;
namespace ssl = boost::asio::ssl;
using boost::system::error_code;

// RFC 7301: a length and the name.
constexpr unsigned char kHttp11[] = "\x08http/1.1";
constexpr unsigned int kHttp11Bytes = sizeof kHttp11 - 1;
// Of TLS 1.2, those with forward secrecy and authenticated encryption; those of 1.3 are all good.
constexpr char kCiphers[] = "ECDHE+AESGCM:ECDHE+CHACHA20";
// Of resumed sessions whose clients have shown a certificate.
constexpr unsigned char kSessionContext[] = "candor";

TlsContext NewContext(ssl::context::method method) {
  auto context = std::make_shared<ssl::context>(method);
  SSL_CTX* native = context->native_handle();
  SSL_CTX_set_min_proto_version(native, TLS1_2_VERSION);
  // Connections wait for bytes with small buffers of ours; idle ones need none of OpenSSL's.
  SSL_CTX_set_mode(native, SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_read_ahead(native, 1);
  SSL_CTX_set_options(native, SSL_OP_NO_RENEGOTIATION);
  return context;
}

absl::StatusOr<TlsContext> BuildProviderContext(const ProviderConfig& provider) {
  TlsContext context = NewContext(ssl::context::tls_client);
  SSL_CTX_set_alpn_protos(context->native_handle(), kHttp11, kHttp11Bytes);
  // Servers that drop a TLS connection without close_notify are common; a body's framing tells
  // whether it is complete.
  SSL_CTX_set_options(context->native_handle(), SSL_OP_IGNORE_UNEXPECTED_EOF);
  error_code error;
  context->set_verify_mode(ssl::verify_peer, error);
  if (provider.ca_pem.empty()) {
    context->set_default_verify_paths(error);
  } else {
    context->add_certificate_authority(asio::buffer(provider.ca_pem), error);
  }
  if (!error) return context;
  return absl::InvalidArgumentError(
      common::Concat("provider \"", provider.name,
                     "\": cannot use its certificate authorities: ", error.message()));
}

int SelectHttp11(SSL*, const unsigned char** selected, unsigned char* selected_bytes,
                 const unsigned char* offered, unsigned int offered_bytes, void*) {
  unsigned char* found = nullptr;
  const int result =
      SSL_select_next_proto(&found, selected_bytes, kHttp11, kHttp11Bytes, offered, offered_bytes);
  *selected = found;
  return result == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

void RequireClientCertificates(ssl::context& context, const std::string& ca_pem,
                               error_code& error) {
  context.add_certificate_authority(asio::buffer(ca_pem), error);
  if (error) return;
  context.set_verify_mode(ssl::verify_peer | ssl::verify_fail_if_no_peer_cert, error);
}

absl::StatusOr<TlsContext> BuildClientsContext(const common::TlsFiles& files) {
  TlsContext context = NewContext(ssl::context::tls_server);
  SSL_CTX* native = context->native_handle();
  SSL_CTX_set_options(native, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
  SSL_CTX_set_cipher_list(native, kCiphers);
  SSL_CTX_set_alpn_select_cb(native, SelectHttp11, nullptr);
  // Clients resume with tickets, of which no server has to keep anything.
  SSL_CTX_set_session_cache_mode(native, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_session_id_context(native, kSessionContext, sizeof kSessionContext - 1);
  error_code error;
  context->use_certificate_chain(asio::buffer(files.cert_pem), error);
  if (!error) {
    context->use_private_key(asio::buffer(files.key_pem.Reveal()), ssl::context::pem, error);
  }
  if (!error && !files.ca_pem.empty()) RequireClientCertificates(*context, files.ca_pem, error);
  if (!error) return context;
  return absl::InvalidArgumentError(
      common::Concat("tls: cannot use the certificate or its key: ", error.message()));
}

}  // namespace

absl::StatusOr<TlsContexts> BuildTlsContexts(const Config& config) {
  TlsContexts contexts;
  if (!config.tls.cert_pem.empty()) {
    auto clients = BuildClientsContext(config.tls);
    if (!clients.ok()) return clients.status();
    contexts.clients = *std::move(clients);
  }
  std::map<std::string, TlsContext> by_authorities;
  for (const ProviderConfig& provider : config.providers) {
    if (!provider.is_tls) {
      contexts.providers.push_back(nullptr);
      continue;
    }
    TlsContext& shared = by_authorities[provider.ca_pem];
    if (!shared) {
      auto built = BuildProviderContext(provider);
      if (!built.ok()) return built.status();
      shared = *std::move(built);
    }
    contexts.providers.push_back(shared);
  }
  return contexts;
}

}  // namespace gateway
