#include "gateway/dialects/provider_call.h"

#include <utility>

#include "common/concat.h"
#include "gateway/dialects/openai_responses_relay.h"
#include "gateway/dialects/translated_stream.h"

namespace gateway {
namespace {

class RelayedCall final : public ProviderCall {
 public:
  RelayedCall(const Dialect& dialect, const ProviderEndpoint& provider, std::string_view model,
              const ClientAsk& ask)
      : dialect_(dialect), endpoint_(ask.endpoint()) {
    request_ = dialect.BuildRelay(provider, endpoint_, model, ask.scan(), ask.body());
  }

  std::optional<Failure> TakeReply(const UpstreamReply& reply, std::string& body) override {
    auto failure = dialect_.ClassifyReply(endpoint_, reply);
    if (!failure) tokens_used_ = dialect_.TokensUsed(endpoint_, body);
    has_no_route_ =
        failure && endpoint_ == Endpoint::kResponses && HasNoSuchRoute(reply.status, reply.body);
    return failure;
  }

  std::unique_ptr<StreamReader> NewStreamReader() override {
    const UsageChunk chunk = request_.asks_for_usage ? UsageChunk::kTakenOut : UsageChunk::kPassed;
    return dialect_.NewRelayedStream(endpoint_, chunk);
  }

 private:
  const Dialect& dialect_;
  Endpoint endpoint_;
};

// What a provider calls things means nothing to clients of another dialect; its message does.
void ForgetForeignWords(const Dialect& dialect, Endpoint endpoint, Failure& failure) {
  if (dialect.SpeaksErrorsOf(endpoint)) return;
  failure.type.clear();
  failure.code.clear();
  failure.param.clear();
  failure.error_object.clear();
}

class TranslatedCall final : public ProviderCall {
 public:
  TranslatedCall(const Dialect& dialect, const ClientDialect& client, const ClientAsk& ask,
                 const Conversation& conversation, TranslatedRequest request)
      : dialect_(dialect),
        client_(client),
        context_{conversation, std::string(ask.request_id()), ask.now_seconds()} {
    request_ = std::move(request.request);
    dropped_ = conversation.dropped;
    dropped_.insert(dropped_.end(), request.dropped.begin(), request.dropped.end());
  }

  std::optional<Failure> TakeReply(const UpstreamReply& reply, std::string& body) override {
    auto read = dialect_.ReadAnswer(reply);
    if (auto* failure = std::get_if<Failure>(&read)) return std::move(*failure);
    const Answer& answer = std::get<Answer>(read);
    tokens_used_ = answer.usage.Total();
    body = client_.RenderAnswer(answer, context_);
    return std::nullopt;
  }

  std::unique_ptr<StreamReader> NewStreamReader() override {
    return std::make_unique<TranslatedStream>(dialect_.NewDeltaParser(),
                                              client_.NewStreamRenderer(context_));
  }

  void FitWords(Failure& failure) const override {
    ForgetForeignWords(dialect_, context_.conversation.endpoint, failure);
  }

 private:
  const Dialect& dialect_;
  const ClientDialect& client_;
  RenderContext context_;
};

class EmbeddingsCall final : public ProviderCall {
 public:
  EmbeddingsCall(const Dialect& dialect, std::string_view model, TranslatedRequest request)
      : dialect_(dialect), model_(model) {
    request_ = std::move(request.request);
    dropped_ = std::move(request.dropped);
    form_ = request.embeddings;
  }

  std::optional<Failure> TakeReply(const UpstreamReply& reply, std::string& body) override {
    auto failure = dialect_.TranslateEmbeddings(reply, model_, form_, body);
    if (!failure) tokens_used_ = dialect_.TokensUsed(Endpoint::kEmbeddings, body);
    return failure;
  }

  // Embeddings are never streamed; a provider that does so has sent something else.
  std::unique_ptr<StreamReader> NewStreamReader() override {
    return dialect_.NewRelayedStream(Endpoint::kEmbeddings, UsageChunk::kPassed);
  }

  void FitWords(Failure& failure) const override {
    ForgetForeignWords(dialect_, Endpoint::kEmbeddings, failure);
  }

 private:
  const Dialect& dialect_;
  std::string model_;
  EmbeddingsForm form_;
};

}  // namespace

void ProviderCall::AddHeaders(std::string_view lines) {
  constexpr size_t kEmptyLineBytes = 2;
  request_.head.insert(request_.head.size() - kEmptyLineBytes, lines);
}

ResponsesService ChooseResponses(ResponsesMode mode, bool is_route_missing) {
  const bool is_translated =
      mode == ResponsesMode::kTranslated || (mode == ResponsesMode::kAuto && is_route_missing);
  return is_translated ? ResponsesService::kTranslated : ResponsesService::kNative;
}

bool IsRelayed(const Dialect& dialect, Endpoint endpoint, ResponsesService responses) {
  const bool is_translated =
      endpoint == Endpoint::kResponses && responses == ResponsesService::kTranslated;
  return dialect.Relays(endpoint) && !is_translated;
}

const std::variant<Conversation, Failure>& ClientAsk::conversation() {
  if (conversation_) return *conversation_;
  const ClientDialect* dialect = FindClientDialect(endpoint_);
  conversation_ = dialect->ParseRequest(body_);
  if (auto* conversation = std::get_if<Conversation>(&*conversation_)) {
    conversation->endpoint = endpoint_;
    conversation->is_stream = scan_.is_stream;
    conversation->model = scan_.model;
    if (auto failure = FindContradiction(*conversation)) conversation_ = *std::move(failure);
  }
  return *conversation_;
}

std::variant<std::unique_ptr<ProviderCall>, Failure> PlanCall(const Dialect& dialect,
                                                              const ProviderEndpoint& provider,
                                                              std::string_view model,
                                                              ResponsesService responses,
                                                              ClientAsk& ask) {
  if (IsRelayed(dialect, ask.endpoint(), responses)) {
    return std::make_unique<RelayedCall>(dialect, provider, model, ask);
  }
  if (ask.endpoint() == Endpoint::kEmbeddings) {
    auto built = dialect.BuildEmbeddings(provider, model, ask.body());
    if (auto* failure = std::get_if<Failure>(&built)) return std::move(*failure);
    return std::make_unique<EmbeddingsCall>(dialect, model,
                                            std::get<TranslatedRequest>(std::move(built)));
  }
  if (ask.endpoint() == Endpoint::kCountTokens) {
    // An estimate of ours, or a count that another API makes of a translation, would be no truth.
    return RefuseAt("model", common::Concat("A provider of the dialect \"", dialect.name(),
                                            "\" counts no tokens as Anthropic does: choose a "
                                            "model that Anthropic serves."));
  }
  const auto& parsed = ask.conversation();
  if (const auto* failure = std::get_if<Failure>(&parsed)) return *failure;
  const Conversation& conversation = std::get<Conversation>(parsed);
  auto built = dialect.BuildConversation(provider, model, conversation);
  if (auto* failure = std::get_if<Failure>(&built)) return std::move(*failure);
  return std::make_unique<TranslatedCall>(dialect, *FindClientDialect(ask.endpoint()), ask,
                                          conversation,
                                          std::get<TranslatedRequest>(std::move(built)));
}

}  // namespace gateway
