// Anthropic's Messages API in both roles: what a client asks becomes a neutral conversation, and a
// neutral conversation becomes what Anthropic is asked; answers go the other way.
// Source: platform.claude.com/docs/en/api/messages. Pure.
//
// One member is not Anthropic's own: `extra_content.google.thought_signature` of a tool_use block
// is the proof that Gemini wants back; SDKs return blocks as they got them.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "gateway/dialects/anthropic_answer.h"
#include "gateway/dialects/dialect.h"
#include "gateway/dialects/translation.h"

namespace gateway {

class AnthropicMessagesClient final : public ClientDialect {
 public:
  std::variant<Conversation, Failure> ParseRequest(std::string_view body) const override;
  std::string RenderAnswer(const Answer& answer, const RenderContext& context) const override;
  std::unique_ptr<StreamRenderer> NewStreamRenderer(const RenderContext& context) const override;
};

struct AnthropicBody {
  std::string body;
  std::vector<std::string> dropped;  // in the client's words
};

// The request's body for a provider. Failure kBadRequest: what the Messages API cannot express.
std::variant<AnthropicBody, Failure> BuildAnthropicMessages(std::string_view model,
                                                            const Conversation& conversation);

// Anthropic takes letters, digits, '_' and '-' in the id of a tool call. Other ids are rewritten,
// the same id always in the same way and different ids differently.
std::string AnthropicToolId(const std::string& id);

// A body that JudgeAnthropicAnswer has found to be an answer. Failure: its members are of other
// types than a message's.
std::variant<Answer, Failure> ReadAnthropicMessage(const UpstreamReply& reply);

class AnthropicDeltaParser final : public DeltaParser {
 public:
  EventVerdict Take(const SseEvent& event, std::vector<Delta>& deltas) override;

 private:
  // What has begun at the provider, by its index there.
  struct Block {
    std::string type;
    int part = -1;  // until it has content
    bool has_arguments = false;
  };

  EventVerdict TakeStart(const Json& event, std::vector<Delta>& deltas);
  EventVerdict TakeBlockStart(const Json& event, std::vector<Delta>& deltas);
  EventVerdict TakeBlockDelta(const Json& event, std::vector<Delta>& deltas);
  void TakeBlockStop(const Json& event, std::vector<Delta>& deltas);
  EventVerdict TakeMessageDelta(const Json& event, std::vector<Delta>& deltas);
  EventVerdict TakeStop(std::vector<Delta>& deltas);
  Delta& AddContent(Delta::Kind kind, Block& block, std::vector<Delta>& deltas);
  void AddUsage(const Json& usage, std::vector<Delta>& deltas);
  void AddFinish(FinishReason finish, std::string stop_sequence, std::vector<Delta>& deltas);

  absl::flat_hash_map<int64_t, Block> blocks_;
  int next_part_ = 0;
  Usage usage_;
  AnthropicTokens tokens_;
  bool has_tool_call_ = false;
  bool has_finish_ = false;
};

FinishReason ReadAnthropicStopReason(std::string_view text);

}  // namespace gateway
