// The OpenAI API and what is compatible with it: chat completions, completions, embeddings, and
// responses where a provider has them. Clients of the same dialect are relayed byte for byte; only
// the model's name is replaced.
#pragma once

#include <string>
#include <string_view>

#include "gateway/dialects/dialect.h"

namespace gateway {

class OpenAiDialect : public Dialect {
 public:
  std::string_view name() const override { return "openai"; }
  bool SpeaksErrorsOf(Endpoint endpoint) const override { return !IsAnthropic(endpoint); }
  std::string_view RequestIdHeader() const override { return "x-request-id"; }

  bool Relays(Endpoint endpoint) const override;
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

 protected:
  // What other servers of the dialect do differently: the path with its query, and the lines that
  // carry the credential (each ending in CRLF; empty when there is none).
  virtual std::string BuildPath(const ProviderEndpoint& provider, Endpoint endpoint,
                                std::string_view model) const;
  virtual std::string BuildCredential(const ProviderEndpoint& provider) const;
  // Whether it is known to take `stream_options`; servers that do not know it may refuse a request.
  virtual bool IsKnownToCountStreams(const ProviderEndpoint& provider) const;
};

}  // namespace gateway
