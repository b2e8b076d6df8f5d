// OpenAI's chat completions in both roles: what a client asks becomes a neutral conversation, and a
// neutral conversation becomes what an OpenAI-compatible provider is asked; answers go the other
// way. Source: platform.openai.com/docs/api-reference/chat. Pure.
//
// Two fields are not OpenAI's own but what compatible servers agree on: `reasoning_content` holds
// the model's reasoning (DeepSeek, vLLM, llama.cpp ...; `reasoning` is read, too), and
// `extra_content.google.thought_signature` of a tool call the proof that Gemini wants back
// (ai.google.dev/gemini-api/docs/openai).
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "gateway/dialects/dialect.h"
#include "gateway/dialects/translation.h"

namespace gateway {

class OpenAiChatClient final : public ClientDialect {
 public:
  std::variant<Conversation, Failure> ParseRequest(std::string_view body) const override;
  std::string RenderAnswer(const Answer& answer, const RenderContext& context) const override;
  std::unique_ptr<StreamRenderer> NewStreamRenderer(const RenderContext& context) const override;
};

struct OpenAiChatBody {
  std::string body;
  std::vector<std::string> dropped;  // in the client's words
};

// OpenAI's newer models take `max_completion_tokens` only, many compatible servers know
// `max_tokens` only.
enum class MaxTokensName : uint8_t { kMaxCompletionTokens, kMaxTokens };

// The request's body for a provider. Failure kBadRequest: what chat completions cannot express.
std::variant<OpenAiChatBody, Failure> BuildOpenAiChat(std::string_view model,
                                                      const Conversation& conversation,
                                                      MaxTokensName max_tokens_name);

// A body that JudgeOpenAiAnswer has found to be an answer. Failure: its members are of other types
// than an answer's.
std::variant<Answer, Failure> ReadOpenAiChatAnswer(const UpstreamReply& reply);

class OpenAiChatDeltaParser final : public DeltaParser {
 public:
  EventVerdict Take(const SseEvent& event, std::vector<Delta>& deltas) override;

 private:
  struct ChoiceState {
    int next_part = 0;
    int open_part = -1;  // of text, refusal or reasoning
    Delta::Kind open_kind = Delta::Kind::kText;
    absl::flat_hash_map<int64_t, int> part_of_call;  // by the call's `index`
    absl::flat_hash_map<int64_t, std::string> call_ids;
    bool is_finished = false;
  };

  void TakeChoice(const Json& choice, std::vector<Delta>& deltas);
  void TakeText(int index, std::string text, Delta::Kind kind, std::vector<Delta>& deltas);
  void TakeToolCall(int index, size_t position, const Json& call, std::vector<Delta>& deltas);
  void TakeUsage(const Json& chunk, std::vector<Delta>& deltas);
  EventVerdict TakeDone(std::vector<Delta>& deltas);
  ChoiceState& StateOf(int index);

  std::vector<ChoiceState> choices_;
  std::string id_;
  bool has_started_ = false;
};

// Shared with text completions.
std::string_view OpenAiFinishReason(FinishReason finish);
Json RenderOpenAiUsage(const Usage& usage);
// Ids of answers: the provider's own, else one made of ours.
std::string AnswerId(std::string_view prefix, const std::string& provider_id,
                     const RenderContext& context);
const std::string& AnswerModel(const std::string& provider_model, const RenderContext& context);
int64_t CreatedAt(int64_t provider_time, const RenderContext& context);

}  // namespace gateway
