// Proves that a 2xx of the OpenAI API is an answer of the model, in one scan without a DOM. Pure.
#pragma once

#include <cstdint>
#include <string_view>

#include "gateway/core/endpoint.h"
#include "gateway/dialects/answer_verdict.h"

namespace gateway {

// For kChatCompletions, kCompletions and kEmbeddings.
//
// Empty is an answer without any output (text, reasoning, tool call, refusal, audio, image) unless
// something else shows that the model ran: a finish reason other than "stop", or completion tokens
// counted by the provider. A model may indeed choose to say nothing.
AnswerVerdict JudgeOpenAiAnswer(Endpoint endpoint, std::string_view body);

// Input and output tokens of a complete answer or of one chunk, from its `usage` object; 0 when it
// has none.
int64_t ReadOpenAiUsage(std::string_view json);

enum class ChunkVerdict : uint8_t {
  kOutput,  // carries output or a finish reason
  kSilent,  // a chunk of a stream that carries neither: a role, usage, a filter's result
  kOther,   // an error, no JSON, or JSON of another shape
};

// For the data of one event of a stream of chat or text completions.
ChunkVerdict JudgeOpenAiChunk(std::string_view data);

}  // namespace gateway
