#include "gateway/dialects/openai.h"

#include "common/concat.h"
#include "common/json_text.h"
#include "gateway/core/error_body.h"
#include "gateway/core/failure_classifier.h"
#include "gateway/dialects/answer_verdict.h"
#include "gateway/dialects/openai_answer.h"
#include "gateway/dialects/openai_chat.h"
#include "gateway/dialects/openai_chat_relay.h"
#include "gateway/dialects/openai_responses_relay.h"

namespace gateway {
namespace {

// "/v1/chat/completions" without the version, which base_url has.
std::string_view ResourceOf(Endpoint endpoint) {
  return EndpointPath(endpoint).substr(std::string_view("/v1").size());
}

bool IsOpenAi(const ProviderEndpoint& provider) {
  return provider.host.find("openai.com") != std::string::npos;
}

// Servers that are merely compatible may know the older name only.
MaxTokensName MaxTokensNameOf(const ProviderEndpoint& provider) {
  return IsOpenAi(provider) || !provider.api_version.empty() ? MaxTokensName::kMaxCompletionTokens
                                                             : MaxTokensName::kMaxTokens;
}

}  // namespace

bool OpenAiDialect::Relays(Endpoint endpoint) const { return !IsAnthropic(endpoint); }

UpstreamRequest OpenAiDialect::BuildRelay(const ProviderEndpoint& provider, Endpoint endpoint,
                                          std::string_view model, const RequestScan& scan,
                                          std::string_view client_body) const {
  const std::string path = BuildPath(provider, endpoint, model);
  const std::string credential = BuildCredential(provider);
  const bool asks =
      provider.stream_usage == StreamUsage::kAsk ||
      (provider.stream_usage == StreamUsage::kAuto && IsKnownToCountStreams(provider));
  return MakeRelay({provider, path, credential, scan.is_stream}, model, scan, client_body,
                   asks && scan.is_stream ? UsageQuestion::kAsked : UsageQuestion::kNotAsked);
}

bool OpenAiDialect::IsKnownToCountStreams(const ProviderEndpoint& provider) const {
  return IsOpenAi(provider);
}

std::string OpenAiDialect::BuildPath(const ProviderEndpoint& provider, Endpoint endpoint,
                                     std::string_view) const {
  return common::Concat(provider.base_path, ResourceOf(endpoint));
}

std::string OpenAiDialect::BuildCredential(const ProviderEndpoint& provider) const {
  if (provider.credential.empty()) return {};
  return common::Concat("Authorization: Bearer ", provider.credential, "\r\n");
}

std::optional<Failure> OpenAiDialect::ClassifyReply(Endpoint endpoint,
                                                    const UpstreamReply& reply) const {
  if (reply.status < 200 || reply.status > 299) {
    return ClassifyError(reply.status, reply.headers, ReadErrorBody(reply.body), reply.received_at);
  }
  const AnswerVerdict verdict = endpoint == Endpoint::kResponses
                                    ? JudgeResponsesAnswer(reply.body)
                                    : JudgeOpenAiAnswer(endpoint, reply.body);
  if (verdict == AnswerVerdict::kAnswer) return std::nullopt;
  return ClassifyBadSuccess(reply, verdict);
}

std::unique_ptr<StreamReader> OpenAiDialect::NewRelayedStream(Endpoint endpoint,
                                                              UsageChunk usage_chunk) const {
  if (endpoint == Endpoint::kResponses) {
    return std::make_unique<RelayedStream>(std::make_unique<ResponsesJudge>());
  }
  return std::make_unique<OpenAiChatRelay>(usage_chunk);
}

int64_t OpenAiDialect::TokensUsed(Endpoint, std::string_view body) const {
  return ReadOpenAiUsage(body);
}

std::variant<TranslatedRequest, Failure> OpenAiDialect::BuildConversation(
    const ProviderEndpoint& provider, std::string_view model,
    const Conversation& conversation) const {
  auto built = BuildOpenAiChat(model, conversation, MaxTokensNameOf(provider));
  if (auto* failure = std::get_if<Failure>(&built)) return std::move(*failure);
  OpenAiChatBody& chat = std::get<OpenAiChatBody>(built);
  const std::string path = BuildPath(provider, Endpoint::kChatCompletions, model);
  const std::string credential = BuildCredential(provider);
  return TranslatedRequest{
      MakeRequest({provider, path, credential, conversation.is_stream}, std::move(chat.body)),
      std::move(chat.dropped)};
}

std::variant<Answer, Failure> OpenAiDialect::ReadAnswer(const UpstreamReply& reply) const {
  if (auto failure = ClassifyReply(Endpoint::kChatCompletions, reply)) return *std::move(failure);
  return ReadOpenAiChatAnswer(reply);
}

std::unique_ptr<DeltaParser> OpenAiDialect::NewDeltaParser() const {
  return std::make_unique<OpenAiChatDeltaParser>();
}

}  // namespace gateway
