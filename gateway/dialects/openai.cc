#include "gateway/dialects/openai.h"

#include "common/concat.h"
#include "common/json_text.h"
#include "gateway/core/error_body.h"
#include "gateway/core/failure_classifier.h"
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

// The client's body with the target's name for the model in its place.
void BuildBody(std::string_view model, const RequestScan& scan, std::string_view client_body,
               UpstreamRequest& request) {
  if (scan.model == model) {
    request.body = {client_body};
    return;
  }
  // The views must survive a move of the request, so the text may not live inside the object.
  request.rewritten.reserve(64);
  common::AppendJsonString(model, request.rewritten);
  request.body = {client_body.substr(0, scan.model_value_begin), request.rewritten,
                  client_body.substr(scan.model_value_end)};
}

// Servers that are merely compatible may know the older name only.
MaxTokensName MaxTokensNameOf(const ProviderEndpoint& provider) {
  const bool is_openai =
      provider.host.find("openai.com") != std::string::npos || !provider.api_version.empty();
  return is_openai ? MaxTokensName::kMaxCompletionTokens : MaxTokensName::kMaxTokens;
}

std::string_view WhatIsWrong(AnswerVerdict verdict) {
  switch (verdict) {
    case AnswerVerdict::kEmpty:
      return "has no output";
    case AnswerVerdict::kNotJson:
      return "is no complete JSON";
    default:
      return "is of another shape";
  }
}

// Only what tells of an error is read as one; "The provider's answer is no complete JSON" is truer
// than the first kilobyte of it.
Failure ClassifyBadSuccess(const UpstreamReply& reply, AnswerVerdict verdict) {
  const ErrorBody body = ReadErrorBody(reply.body);
  if (body.form == ErrorBody::Form::kEmpty) return MalformedAnswer(reply.status, "is empty");
  Failure failure = ClassifyError(reply.status, reply.headers, body, reply.received_at);
  const bool says_nothing = failure.kind == FailureKind::kUpstreamMalformed;
  if (!says_nothing && (body.has_error || body.form == ErrorBody::Form::kText)) return failure;
  if (body.form == ErrorBody::Form::kPage) {
    failure.kind = FailureKind::kUpstreamMalformed;
    return failure;
  }
  return MalformedAnswer(reply.status, WhatIsWrong(verdict));
}

}  // namespace

bool OpenAiDialect::Relays(Endpoint endpoint) const { return endpoint != Endpoint::kMessages; }

UpstreamRequest OpenAiDialect::BuildRelay(const ProviderEndpoint& provider, Endpoint endpoint,
                                          std::string_view model, const RequestScan& scan,
                                          std::string_view client_body) const {
  UpstreamRequest request;
  BuildBody(model, scan, client_body, request);
  size_t size = 0;
  for (const std::string_view piece : request.body) size += piece.size();
  const std::string path = BuildPath(provider, endpoint, model);
  const std::string credential = BuildCredential(provider);
  request.head = RenderRequestHead({provider, path, credential, scan.is_stream}, size);
  return request;
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

std::unique_ptr<StreamReader> OpenAiDialect::NewRelayedStream(Endpoint endpoint) const {
  if (endpoint == Endpoint::kResponses) {
    return std::make_unique<RelayedStream>(std::make_unique<ResponsesJudge>());
  }
  return std::make_unique<OpenAiChatRelay>();
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
