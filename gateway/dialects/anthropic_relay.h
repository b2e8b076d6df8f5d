// What the events of a message's stream mean, for clients of the same dialect.
//
// A delta commits that carries output (text, thinking, a tool's input), and so does a block that is
// not filled later, a tool call for instance, or a stop reason. A stop reason "end_turn" without
// any output before it and without counted output tokens is no answer, as in a whole message.
#pragma once

#include <cstdint>

#include "gateway/dialects/anthropic_answer.h"
#include "gateway/dialects/relayed_stream.h"

namespace gateway {

class AnthropicJudge final : public EventJudge {
 public:
  EventMeaning Judge(const SseEvent& event, Care care) override;
  int64_t tokens_used() const override { return tokens_.Total(); }

 private:
  AnthropicTokens tokens_;
};

}  // namespace gateway
