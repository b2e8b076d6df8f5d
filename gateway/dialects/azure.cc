#include "gateway/dialects/azure.h"

#include "common/concat.h"

namespace gateway {

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
