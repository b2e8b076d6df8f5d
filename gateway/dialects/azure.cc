#include "gateway/dialects/azure.h"

#include "common/concat.h"
#include "gateway/core/ascii.h"

namespace gateway {
namespace {

// The first dated version that has responses; "v1", "preview" and older dates go to the versionless
// API, which has them, too. The deployment is named by `model` in the body.
constexpr std::string_view kFirstWithResponses = "2025-03-01";

// The first dated version whose streams count their tokens when they are asked to.
constexpr std::string_view kFirstWithStreamOptions = "2024-09-01";

bool IsDated(std::string_view version) { return !version.empty() && IsDigit(version.front()); }

std::string ResponsesPath(const ProviderEndpoint& provider) {
  const std::string_view version = provider.api_version;
  if (IsDated(version) && version >= kFirstWithResponses) {
    return common::Concat(provider.base_path,
                          "/openai/responses?api-version=", PercentEncode(version));
  }
  const std::string_view query = version == "preview" ? "?api-version=preview" : "";
  return common::Concat(provider.base_path, "/openai/v1/responses", query);
}

}  // namespace

std::string AzureDialect::BuildPath(const ProviderEndpoint& provider, Endpoint endpoint,
                                    std::string_view model) const {
  if (endpoint == Endpoint::kResponses) return ResponsesPath(provider);
  const std::string_view resource = EndpointPath(endpoint).substr(std::string_view("/v1").size());
  return common::Concat(provider.base_path, "/openai/deployments/", PercentEncode(model), resource,
                        "?api-version=", PercentEncode(provider.api_version));
}

std::string AzureDialect::BuildCredential(const ProviderEndpoint& provider) const {
  if (provider.credential.empty()) return {};
  return common::Concat("api-key: ", provider.credential, "\r\n");
}

bool AzureDialect::IsKnownToCountStreams(const ProviderEndpoint& provider) const {
  return !IsDated(provider.api_version) || provider.api_version >= kFirstWithStreamOptions;
}

}  // namespace gateway
