// What a message and the events of a message's stream amount to, in one scan without a DOM: proves
// that a 2xx of the Messages API is an answer of the model. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "gateway/dialects/answer_verdict.h"

namespace gateway {

// Empty is a message without any output (text, thinking, any other block) unless something else
// shows that the model ran: a stop reason other than "end_turn", or counted output tokens.
AnswerVerdict JudgeAnthropicAnswer(std::string_view body);

// Of the answer to count_tokens: kAnswer when it has `input_tokens`.
AnswerVerdict JudgeAnthropicCount(std::string_view body);

// The counts of a `usage` object; nothing where a count is absent. The later ones of a stream
// replace the earlier ones, count by count.
struct AnthropicTokens {
  std::optional<int64_t> input;  // without those that a cache gave or took
  std::optional<int64_t> cache_read;
  std::optional<int64_t> cache_creation;
  std::optional<int64_t> output;

  void Replace(const AnthropicTokens& later);
  int64_t Total() const;
};

// Input (cached included) and output tokens of a complete message; 0 when it has none.
int64_t ReadAnthropicTokens(std::string_view body);

struct AnthropicEvent {
  enum class Type : uint8_t { kOther, kSilent, kOutput, kStopReason, kEnd, kError };
  Type type = Type::kOther;
  // kStopReason: it is "end_turn", which says nothing of its own.
  bool is_end_turn = false;
  AnthropicTokens tokens;
};

// For the data of one event. kOther: no JSON object, or of a type that is not known here.
AnthropicEvent ReadAnthropicEvent(std::string_view data);

}  // namespace gateway
