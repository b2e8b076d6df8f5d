// How much a model of Anthropic's is told to think, and how many tokens it may write.
//
// Up to Claude 4.5 thinking is a budget of tokens inside `max_tokens`; later models take an effort
// and decide themselves (platform.claude.com/docs/en/build-with-claude/adaptive-thinking). The
// model's name tells which; a name without a version is taken for a later model. Pure.
//
// | effort  | budget | effort of later models |
// | ------- | ------ | ---------------------- |
// | none    | none   | thinking disabled      |
// | minimal |  1024  | low                    |
// | low     |  2048  | low                    |
// | medium  |  8192  | medium                 |
// | high    | 16384  | high                   |
// | xhigh   | 24576  | xhigh                  |
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "gateway/dialects/conversation.h"

namespace gateway {

struct AnthropicThinking {
  Json config;         // of the member `thinking`; null: not said
  std::string effort;  // of output_config; empty: not said
  int64_t max_tokens = 0;
  // The client's wish for reasoning cannot be met: the tool choice forces a call, the limit of
  // output tokens leaves no room, or the turn has begun without thinking.
  bool is_dropped = false;

  bool IsOn() const { return config.is_object() && config["type"] != "disabled"; }
};

// Whether `effort` is in the table above; true for an empty one.
bool IsKnownEffort(std::string_view effort);

// Without a limit by the client, `max_tokens`, which Anthropic requires, is 16384 (Claude 3 and
// older: 4096), and with a budget 4096 more than that.
AnthropicThinking DecideAnthropicThinking(std::string_view model, const Conversation& conversation);

}  // namespace gateway
