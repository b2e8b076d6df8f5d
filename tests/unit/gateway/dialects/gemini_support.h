// What the tests of Gemini's dialect have in common: a chat request on its way to Gemini, and
// Gemini's stream on its way to a chat client.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "gateway/dialects/dialect.h"
#include "gateway/dialects/translated_stream.h"
#include "tests/support/read_stream.h"

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

// Gemini's stream, cut into `pieces`, for a client of chat completions.
inline StreamResult ReadGeminiStream(const std::vector<std::string_view>& pieces) {
  gateway::Conversation conversation;
  conversation.wants_stream_usage = true;
  const auto* client = gateway::FindClientDialect(gateway::Endpoint::kChatCompletions);
  gateway::TranslatedStream reader(
      gateway::FindDialect("gemini")->NewDeltaParser(),
      client->NewStreamRenderer({.conversation = conversation, .id = "id", .now_seconds = 1}));
  return ReadStream(reader, pieces);
}

}  // namespace candor_test
