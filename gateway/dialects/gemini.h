// Google's Gemini API (ai.google.dev/api) as a provider. No client speaks it, so that everything is
// translated.
#pragma once

#include "gateway/dialects/dialect.h"

namespace gateway {

class GeminiDialect final : public Dialect {
 public:
  std::string_view name() const override { return "gemini"; }
  // Google gives a request no id in its headers; a proxy in front of it may.
  std::string_view RequestIdHeader() const override { return "x-goog-request-id"; }
  bool SpeaksErrorsOf(Endpoint) const override { return false; }

  bool Relays(Endpoint) const override { return false; }
  UpstreamRequest BuildRelay(const ProviderEndpoint&, Endpoint, std::string_view,
                             const RequestScan&, std::string_view) const override {
    return {};
  }
  std::optional<Failure> ClassifyReply(Endpoint endpoint,
                                       const UpstreamReply& reply) const override;
  // Embeddings are never streamed, and nothing else is relayed: whatever comes is read as an error.
  std::unique_ptr<StreamReader> NewRelayedStream(Endpoint endpoint,
                                                 UsageChunk usage_chunk) const override;
  // Of a body that is OpenAI's already.
  int64_t TokensUsed(Endpoint endpoint, std::string_view body) const override;

  std::variant<TranslatedRequest, Failure> BuildConversation(
      const ProviderEndpoint& provider, std::string_view model,
      const Conversation& conversation) const override;
  std::variant<Answer, Failure> ReadAnswer(const UpstreamReply& reply) const override;
  std::unique_ptr<DeltaParser> NewDeltaParser() const override;

  std::variant<TranslatedRequest, Failure> BuildEmbeddings(
      const ProviderEndpoint& provider, std::string_view model,
      std::string_view client_body) const override;
  std::optional<Failure> TranslateEmbeddings(const UpstreamReply& reply, std::string_view model,
                                             const EmbeddingsForm& form,
                                             std::string& body) const override;
};

}  // namespace gateway
