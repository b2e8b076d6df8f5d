// Anthropic's Messages API as a provider, and its count of tokens. Clients of the same API are
// relayed byte for byte; only the model's name is replaced, and their `anthropic-version` and
// `anthropic-beta` go along.
// Source: platform.claude.com/docs/en/api/messages, .../messages/count_tokens.
#pragma once

#include <string>
#include <string_view>

#include "gateway/dialects/dialect.h"

namespace gateway {

class AnthropicDialect final : public Dialect {
 public:
  std::string_view name() const override { return "anthropic"; }
  std::string_view RequestIdHeader() const override { return "request-id"; }
  bool SpeaksErrorsOf(Endpoint endpoint) const override { return IsAnthropic(endpoint); }

  bool Relays(Endpoint endpoint) const override { return IsAnthropic(endpoint); }
  UpstreamRequest BuildRelay(const ProviderEndpoint& provider, Endpoint endpoint,
                             std::string_view model, const RequestScan& scan,
                             std::string_view client_body) const override;
  std::optional<Failure> ClassifyReply(Endpoint endpoint,
                                       const UpstreamReply& reply) const override;
  std::unique_ptr<StreamReader> NewRelayedStream(Endpoint endpoint,
                                                 UsageChunk usage_chunk) const override;
  int64_t TokensUsed(Endpoint endpoint, std::string_view body) const override;

  std::variant<TranslatedRequest, Failure> BuildConversation(
      const ProviderEndpoint& provider, std::string_view model,
      const Conversation& conversation) const override;
  std::variant<Answer, Failure> ReadAnswer(const UpstreamReply& reply) const override;
  std::unique_ptr<DeltaParser> NewDeltaParser() const override;
};

}  // namespace gateway
