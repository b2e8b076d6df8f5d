#include "gateway/dialects/anthropic.h"

#include <algorithm>

#include "common/concat.h"
#include "gateway/core/error_body.h"
#include "gateway/core/failure_classifier.h"
#include "gateway/dialects/answer_verdict.h"
#include "gateway/dialects/anthropic_messages.h"
#include "gateway/dialects/anthropic_relay.h"

namespace gateway {
namespace {

constexpr std::string_view kVersion = "2023-06-01";

std::string PathOf(const ProviderEndpoint& provider, Endpoint endpoint) {
  const bool has_version = std::string_view(provider.base_path).ends_with("/v1");
  return common::Concat(provider.base_path, has_version ? "" : "/v1", "/messages",
                        endpoint == Endpoint::kCountTokens ? "/count_tokens" : "");
}

// The credential and the version, which a client of this API may choose, and its betas.
std::string HeaderLines(const ProviderEndpoint& provider, const std::vector<HeaderField>& passed) {
  std::string lines;
  if (!provider.credential.empty()) {
    lines += common::Concat("x-api-key: ", provider.credential, "\r\n");
  }
  const bool has_version = std::any_of(passed.begin(), passed.end(), [](const HeaderField& field) {
    return field.name == "anthropic-version";
  });
  if (!has_version) lines += common::Concat("anthropic-version: ", kVersion, "\r\n");
  for (const HeaderField& field : passed) {
    lines += common::Concat(field.name, ": ", field.value, "\r\n");
  }
  return lines;
}

}  // namespace

UpstreamRequest AnthropicDialect::BuildRelay(const ProviderEndpoint& provider, Endpoint endpoint,
                                             std::string_view model, const RequestScan& scan,
                                             std::string_view client_body) const {
  const std::string path = PathOf(provider, endpoint);
  const std::string lines = HeaderLines(provider, scan.passed_headers);
  return MakeRelay({provider, path, lines, scan.is_stream}, model, scan, client_body);
}

std::optional<Failure> AnthropicDialect::ClassifyReply(Endpoint endpoint,
                                                       const UpstreamReply& reply) const {
  if (reply.status < 200 || reply.status > 299) {
    return ClassifyError(reply.status, reply.headers, ReadErrorBody(reply.body), reply.received_at);
  }
  const AnswerVerdict verdict = endpoint == Endpoint::kCountTokens
                                    ? JudgeAnthropicCount(reply.body)
                                    : JudgeAnthropicAnswer(reply.body);
  if (verdict == AnswerVerdict::kAnswer) return std::nullopt;
  return ClassifyBadSuccess(reply, verdict);
}

std::unique_ptr<StreamReader> AnthropicDialect::NewRelayedStream(Endpoint, UsageChunk) const {
  return std::make_unique<RelayedStream>(std::make_unique<AnthropicJudge>());
}

int64_t AnthropicDialect::TokensUsed(Endpoint endpoint, std::string_view body) const {
  return endpoint == Endpoint::kCountTokens ? 0 : ReadAnthropicTokens(body);
}

std::variant<TranslatedRequest, Failure> AnthropicDialect::BuildConversation(
    const ProviderEndpoint& provider, std::string_view model,
    const Conversation& conversation) const {
  auto built = BuildAnthropicMessages(model, conversation);
  if (auto* failure = std::get_if<Failure>(&built)) return std::move(*failure);
  auto& messages = std::get<AnthropicBody>(built);
  const std::string path = PathOf(provider, Endpoint::kMessages);
  const std::string lines = HeaderLines(provider, {});
  return TranslatedRequest{
      MakeRequest({provider, path, lines, conversation.is_stream}, std::move(messages.body)),
      std::move(messages.dropped)};
}

std::variant<Answer, Failure> AnthropicDialect::ReadAnswer(const UpstreamReply& reply) const {
  if (auto failure = ClassifyReply(Endpoint::kMessages, reply)) return *std::move(failure);
  return ReadAnthropicMessage(reply);
}

std::unique_ptr<DeltaParser> AnthropicDialect::NewDeltaParser() const {
  return std::make_unique<AnthropicDeltaParser>();
}

}  // namespace gateway
