#include "gateway/dialects/azure.h"

#include "common/concat.h"
#include "gateway/core/ascii.h"

namespace gateway {
namespace {

// RFC 3986 2.3: what is not unreserved is written as %XX.
std::string PercentEncode(std::string_view text) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    if (IsAlphanumeric(c) || c == '-' || c == '.' || c == '_' || c == '~') {
      out += c;
    } else {
      const auto byte = static_cast<unsigned char>(c);
      out += common::Concat('%', kHex[byte >> 4], kHex[byte & 15]);
    }
  }
  return out;
}

}  // namespace

std::string AzureDialect::BuildPath(const ProviderEndpoint& provider, Endpoint endpoint,
                                    std::string_view model) const {
  const std::string_view resource = EndpointPath(endpoint).substr(std::string_view("/v1").size());
  return common::Concat(provider.base_path, "/openai/deployments/", PercentEncode(model), resource,
                        "?api-version=", PercentEncode(provider.api_version));
}

std::string AzureDialect::BuildCredential(const ProviderEndpoint& provider) const {
  if (provider.credential.empty()) return {};
  return common::Concat("api-key: ", provider.credential, "\r\n");
}

}  // namespace gateway
