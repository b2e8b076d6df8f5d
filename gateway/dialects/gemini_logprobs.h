// Gemini's log probabilities in OpenAI's shape. Pure.
#pragma once

#include "gateway/dialects/conversation.h"

namespace gateway {

// `logprobsResult` of a candidate as OpenAI's {"content": [...]}; null when it holds no tokens.
Json ReadGeminiLogprobs(const Json& result);

}  // namespace gateway
