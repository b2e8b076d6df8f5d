// Azure OpenAI: the OpenAI dialect with its own paths and credential. The target's model is the
// name of the deployment. https://learn.microsoft.com/azure/ai-services/openai/reference
#pragma once

#include <string>
#include <string_view>

#include "gateway/dialects/openai.h"

namespace gateway {

class AzureDialect final : public OpenAiDialect {
 public:
  std::string_view name() const override { return "azure"; }
  std::string_view RequestIdHeader() const override { return "apim-request-id"; }

 protected:
  std::string BuildPath(const ProviderEndpoint& provider, Endpoint endpoint,
                        std::string_view model) const override;
  std::string BuildCredential(const ProviderEndpoint& provider) const override;
  bool IsKnownToCountStreams(const ProviderEndpoint& provider) const override;
};

}  // namespace gateway
