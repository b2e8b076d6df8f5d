#include "gateway/io/tls_contexts.h"

#include <openssl/ssl.h>

#include <map>
#include <string>

#include "common/concat.h"

namespace gateway {
namespace {

namespace ssl = boost::asio::ssl;

absl::StatusOr<std::shared_ptr<ssl::context>> BuildContext(const ProviderConfig& provider) {
  auto context = std::make_shared<ssl::context>(ssl::context::tls_client);
  SSL_CTX_set_min_proto_version(context->native_handle(), TLS1_2_VERSION);
  // Connections wait for bytes with small buffers of ours; idle ones need none of OpenSSL's.
  SSL_CTX_set_mode(context->native_handle(), SSL_MODE_RELEASE_BUFFERS);
  static constexpr unsigned char kHttp11[] = "\x08http/1.1";
  SSL_CTX_set_alpn_protos(context->native_handle(), kHttp11, sizeof kHttp11 - 1);
  boost::system::error_code error;
  context->set_verify_mode(ssl::verify_peer, error);
  if (provider.ca_file.empty()) {
    context->set_default_verify_paths(error);
  } else {
    context->load_verify_file(provider.ca_file, error);
  }
  if (!error) return context;
  return absl::InvalidArgumentError(common::Concat(
      "provider \"", provider.name, "\": cannot read certificate authorities from \"",
      provider.ca_file.empty() ? "the system" : provider.ca_file, "\": ", error.message(),
      "; ca_file must name a readable PEM file"));
}

}  // namespace

absl::StatusOr<TlsContexts> BuildTlsContexts(const Config& config) {
  TlsContexts contexts;
  std::map<std::string, std::shared_ptr<ssl::context>> by_ca_file;
  for (const ProviderConfig& provider : config.providers) {
    if (!provider.is_tls) {
      contexts.push_back(nullptr);
      continue;
    }
    std::shared_ptr<ssl::context>& shared = by_ca_file[provider.ca_file];
    if (!shared) {
      auto built = BuildContext(provider);
      if (!built.ok()) return built.status();
      shared = *std::move(built);
    }
    contexts.push_back(shared);
  }
  return contexts;
}

}  // namespace gateway
