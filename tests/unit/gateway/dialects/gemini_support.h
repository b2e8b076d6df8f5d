// What the tests of Gemini's dialect have in common: a chat request on its way to Gemini, and
// Gemini's stream on its way to a chat client.
#pragma once

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "gateway/dialects/dialect.h"
#include "gateway/dialects/translated_stream.h"

namespace candor_test {

inline gateway::Conversation ParseChat(std::string_view body) {
  const auto* client = gateway::FindClientDialect(gateway::Endpoint::kChatCompletions);
  auto parsed = client->ParseRequest(body);
  if (const auto* failure = std::get_if<gateway::Failure>(&parsed)) {
    ADD_FAILURE() << failure->message;
    return {};
  }
  return std::get<gateway::Conversation>(std::move(parsed));
}

struct StreamResult {
  std::string client_bytes;
  bool is_committed = false;
  bool is_complete = false;
  std::optional<gateway::Failure> failure;
  int64_t tokens = 0;
};

// Gemini's stream, cut into `pieces`, for a client of chat completions.
inline StreamResult ReadGeminiStream(const std::vector<std::string_view>& pieces) {
  gateway::Conversation conversation;
  conversation.wants_stream_usage = true;
  const auto* client = gateway::FindClientDialect(gateway::Endpoint::kChatCompletions);
  gateway::TranslatedStream reader(
      gateway::FindDialect("gemini")->NewDeltaParser(),
      client->NewStreamRenderer({.conversation = conversation, .id = "id", .now_seconds = 1}));
  StreamResult result;
  const auto add = [&result](const gateway::StreamStep& step) {
    result.client_bytes += step.client_bytes;
    result.is_committed |= step.is_committed;
    result.is_complete |= step.is_complete;
    if (step.failure) result.failure = step.failure;
  };
  for (const std::string_view piece : pieces) {
    if (!result.is_complete && !result.failure) add(reader.Feed(std::string(piece)));
  }
  if (!result.is_complete && !result.failure) add(reader.Finish());
  result.tokens = reader.TokensUsed();
  return result;
}

}  // namespace candor_test
