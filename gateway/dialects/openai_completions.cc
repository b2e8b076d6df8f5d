#include "gateway/dialects/openai_completions.h"

#include <limits>
#include <utility>

#include "common/concat.h"
#include "gateway/dialects/openai_chat.h"
#include "gateway/dialects/openai_chat_values.h"
#include "gateway/dialects/openai_fields.h"
#include "gateway/dialects/request_reader.h"

namespace gateway {
namespace {

constexpr std::string_view kCannot = "cannot be translated for the provider of this model";

// A text, or an array of exactly one text.
void ParsePrompt(RequestReader& reader, Conversation& conversation) {
  const Json* prompt = reader.Any("prompt");
  if (prompt == nullptr) return reader.Fail("prompt", "is missing");
  const Json& text = prompt->is_array() && prompt->size() == 1 ? prompt->front() : *prompt;
  if (!text.is_string()) {
    return reader.Fail("prompt", "must be one text for the provider of this model");
  }
  Part part;
  part.text = text.get<std::string>();
  part.path = "prompt";
  Message& message = conversation.messages.emplace_back();
  message.path = "prompt";
  message.parts.push_back(std::move(part));
}

std::string TextOf(const Choice& choice) {
  std::string text;
  for (const Part& part : choice.parts) {
    const bool is_text = part.kind == Part::Kind::kText || part.kind == Part::Kind::kRefusal;
    if (is_text) text += part.text;
  }
  return text;
}

class CompletionsStreamRenderer final : public StreamRenderer {
 public:
  explicit CompletionsStreamRenderer(const RenderContext& context) : context_(context) {}

  void Render(const Delta& delta, std::string& out) override {
    switch (delta.kind) {
      case Delta::Kind::kStart:
        start_ = delta;
        return;
      case Delta::Kind::kText:
      case Delta::Kind::kRefusal:
        return RenderChunk(delta.choice, delta.text, nullptr, out);
      case Delta::Kind::kUsage:
        usage_ = delta.usage;
        return;
      case Delta::Kind::kFinish:
        return RenderChunk(delta.choice, "", OpenAiFinishReason(delta.finish), out);
      default:
        return;  // reasoning and logprobs have no place in this dialect; tools cannot be asked for
    }
  }

  void RenderEnd(std::string& out) override {
    if (context_.conversation.wants_stream_usage) {
      Json chunk = Head();
      chunk["choices"] = Json::array();
      chunk["usage"] = RenderOpenAiUsage(usage_);
      out += common::Concat("data: ", RenderJson(chunk), "\n\n");
    }
    out += "data: [DONE]\n\n";
  }

 private:
  Json Head() const {
    return {{"id", AnswerId("cmpl-", start_.id, context_)},
            {"object", "text_completion"},
            {"created", CreatedAt(start_.created_at, context_)},
            {"model", AnswerModel(start_.model, context_)}};
  }

  void RenderChunk(int choice, std::string_view text, const Json& finish, std::string& out) const {
    Json chunk = Head();
    chunk["choices"] = {
        {{"text", text}, {"index", choice}, {"logprobs", nullptr}, {"finish_reason", finish}}};
    out += common::Concat("data: ", RenderJson(chunk), "\n\n");
  }

  RenderContext context_;
  Delta start_;
  Usage usage_;
};

}  // namespace

std::variant<Conversation, Failure> OpenAiCompletionsClient::ParseRequest(
    std::string_view body) const {
  const Json json = ParseJson(body);
  RequestReader::Findings findings;
  RequestReader reader(json, "", findings);
  Conversation conversation;
  reader.Ignore("model");
  ParsePrompt(reader, conversation);
  ParseOpenAiSampling(reader, conversation);
  conversation.max_output_tokens =
      reader.Integer("max_tokens", 1, std::numeric_limits<int32_t>::max());
  conversation.user = reader.Text("user").value_or("");
  reader.Refuse("suffix", kCannot);
  reader.Refuse("echo", kCannot);
  reader.Refuse("logprobs", kCannot);
  if (reader.Integer("best_of", 1, INT32_MAX).value_or(1) > 1) reader.Refuse("best_of", kCannot);
  reader.RefuseTheRest();
  if (findings.failure) return *std::move(findings.failure);
  conversation.dropped = std::move(findings.dropped);
  return conversation;
}

std::string OpenAiCompletionsClient::RenderAnswer(const Answer& answer,
                                                  const RenderContext& context) const {
  Json json = {{"id", AnswerId("cmpl-", answer.id, context)},
               {"object", "text_completion"},
               {"created", CreatedAt(answer.created_at, context)},
               {"model", AnswerModel(answer.model, context)},
               {"choices", Json::array()}};
  for (const Choice& choice : answer.choices) {
    json["choices"].push_back({{"text", TextOf(choice)},
                               {"index", json["choices"].size()},
                               {"logprobs", nullptr},
                               {"finish_reason", OpenAiFinishReason(choice.finish)}});
  }
  if (answer.usage.is_known) json["usage"] = RenderOpenAiUsage(answer.usage);
  return RenderJson(json);
}

std::unique_ptr<StreamRenderer> OpenAiCompletionsClient::NewStreamRenderer(
    const RenderContext& context) const {
  return std::make_unique<CompletionsStreamRenderer>(context);
}

}  // namespace gateway
