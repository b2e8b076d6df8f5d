#include "gateway/dialects/gemini.h"

#include <utility>

#include "common/concat.h"
#include "gateway/core/error_body.h"
#include "gateway/core/failure_classifier.h"
#include "gateway/dialects/answer_verdict.h"
#include "gateway/dialects/event_stream.h"
#include "gateway/dialects/gemini_answer.h"
#include "gateway/dialects/gemini_embeddings.h"
#include "gateway/dialects/gemini_request.h"
#include "gateway/dialects/openai_answer.h"

namespace gateway {
namespace {

// A stream where none was asked for: every event is no event.
class UnexpectedStream final : public EventStream {
 public:
  int64_t TokensUsed() const override { return 0; }

 private:
  bool TakeData(const SseEvent& event, StreamStep& step) override {
    if (!TakeNoEvent(event, step)) return false;
    step.failure = MalformedAnswer(kStreamStatus, "is a stream");
    return false;
  }
  bool TakeComment(const SseEvent&, StreamStep&) override { return true; }
};

// "/v1beta" of ".../v1beta" or of ".../v1/publishers/google".
bool HasVersion(std::string_view path) {
  while (!path.empty()) {
    path.remove_prefix(1);
    const std::string_view segment = path.substr(0, path.find('/'));
    if (segment == "v1" || segment.starts_with("v1beta") || segment.starts_with("v1alpha")) {
      return true;
    }
    path.remove_prefix(segment.size());
  }
  return false;
}

// "models/gemini-2.5-flash" for "gemini-2.5-flash"; "tunedModels/x" stays.
std::string ResourceOf(std::string_view model) {
  for (const std::string_view folder : {"models/", "tunedModels/"}) {
    if (model.starts_with(folder)) {
      return common::Concat(folder, PercentEncode(model.substr(folder.size())));
    }
  }
  return common::Concat("models/", PercentEncode(model));
}

std::string BuildPath(const ProviderEndpoint& provider, std::string_view model,
                      std::string_view method) {
  return common::Concat(provider.base_path, HasVersion(provider.base_path) ? "/" : "/v1beta/",
                        ResourceOf(model), method);
}

std::string BuildCredential(const ProviderEndpoint& provider) {
  if (provider.credential.empty()) return {};
  return common::Concat("x-goog-api-key: ", provider.credential, "\r\n");
}

bool IsSuccess(const UpstreamReply& reply) { return reply.status >= 200 && reply.status <= 299; }

Failure ClassifyErrorReply(const UpstreamReply& reply) {
  return ClassifyError(reply.status, reply.headers, ReadErrorBody(reply.body), reply.received_at);
}

AnswerVerdict WhatInstead(const std::optional<Json>& json) {
  return json ? AnswerVerdict::kForeign : AnswerVerdict::kNotJson;
}

}  // namespace

std::optional<Failure> GeminiDialect::ClassifyReply(Endpoint, const UpstreamReply& reply) const {
  auto answer = ReadAnswer(reply);
  if (auto* failure = std::get_if<Failure>(&answer)) return std::move(*failure);
  return std::nullopt;
}

std::unique_ptr<StreamReader> GeminiDialect::NewRelayedStream(Endpoint, UsageChunk) const {
  return std::make_unique<UnexpectedStream>();
}

int64_t GeminiDialect::TokensUsed(Endpoint, std::string_view body) const {
  return ReadOpenAiUsage(body);
}

std::variant<TranslatedRequest, Failure> GeminiDialect::BuildConversation(
    const ProviderEndpoint& provider, std::string_view model,
    const Conversation& conversation) const {
  auto built = BuildGeminiRequest(model, conversation);
  if (auto* failure = std::get_if<Failure>(&built)) return std::move(*failure);
  GeminiBody& body = std::get<GeminiBody>(built);
  const std::string path =
      BuildPath(provider, model,
                conversation.is_stream ? ":streamGenerateContent?alt=sse" : ":generateContent");
  const std::string credential = BuildCredential(provider);
  return TranslatedRequest{
      MakeRequest({provider, path, credential, conversation.is_stream}, RenderJson(body.json)),
      std::move(body.dropped)};
}

std::variant<Answer, Failure> GeminiDialect::ReadAnswer(const UpstreamReply& reply) const {
  if (!IsSuccess(reply)) return ClassifyErrorReply(reply);
  const std::optional<Json> json = ParseGeminiJson(reply.body);
  if (!json || !GeminiAnswerReader::IsAnswer(*json)) {
    return ClassifyBadSuccess(reply, WhatInstead(json));
  }
  GeminiAnswerReader reader;
  std::vector<Delta> deltas;
  if (auto failure = reader.Take(*json, deltas)) return *std::move(failure);
  if (auto failure = reader.End(deltas)) return *std::move(failure);
  AnswerBuilder builder;
  for (const Delta& delta : deltas) builder.Add(delta);
  return builder.answer();
}

std::unique_ptr<DeltaParser> GeminiDialect::NewDeltaParser() const {
  return std::make_unique<GeminiDeltaParser>();
}

std::variant<TranslatedRequest, Failure> GeminiDialect::BuildEmbeddings(
    const ProviderEndpoint& provider, std::string_view model, std::string_view client_body) const {
  auto built = BuildGeminiEmbeddings(ResourceOf(model), client_body);
  if (auto* failure = std::get_if<Failure>(&built)) return std::move(*failure);
  GeminiEmbeddingsBody& embeddings = std::get<GeminiEmbeddingsBody>(built);
  const std::string path = BuildPath(provider, model, ":batchEmbedContents");
  const std::string credential = BuildCredential(provider);
  return TranslatedRequest{
      MakeRequest({provider, path, credential, false}, std::move(embeddings.body)),
      std::move(embeddings.dropped), embeddings.form};
}

std::optional<Failure> GeminiDialect::TranslateEmbeddings(const UpstreamReply& reply,
                                                          std::string_view model,
                                                          const EmbeddingsForm& form,
                                                          std::string& body) const {
  if (!IsSuccess(reply)) return ClassifyErrorReply(reply);
  const std::optional<Json> json = ParseGeminiJson(reply.body);
  std::optional<std::string> rendered;
  if (json) rendered = RenderGeminiEmbeddings(*json, model, form);
  if (!rendered) return ClassifyBadSuccess(reply, WhatInstead(json));
  body = *std::move(rendered);
  return std::nullopt;
}

}  // namespace gateway
