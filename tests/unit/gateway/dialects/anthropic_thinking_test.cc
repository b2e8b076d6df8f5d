#include "gateway/dialects/anthropic_thinking.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>

namespace gateway {
namespace {

Conversation Asking(std::string effort, std::optional<int64_t> max_tokens = std::nullopt) {
  Conversation conversation;
  conversation.reasoning.effort = std::move(effort);
  conversation.max_output_tokens = max_tokens;
  return conversation;
}

TEST(AnthropicThinkingTest, TheVersionOfTheModelDecidesBetweenBudgetAndEffort) {
  struct Case {
    const char* model;
    const char* want;
  };
  const Case cases[] = {
      {"claude-3-7-sonnet-20250219", "enabled"},
      {"claude-sonnet-4-20250514", "enabled"},
      {"claude-opus-4-1-20250805", "enabled"},
      {"claude-haiku-4-5", "enabled"},
      {"anthropic.claude-sonnet-4-5-20250929-v1:0", "enabled"},
      {"claude-opus-4-6", "adaptive"},
      {"claude-opus-4.7", "adaptive"},
      {"claude-sonnet-5", "adaptive"},
      {"claude-sonnet-10-20290101", "adaptive"},
      {"claude-latest", "adaptive"},
      {"my-deployment", "adaptive"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.model);
    const AnthropicThinking thinking = DecideAnthropicThinking(c.model, Asking("medium"));
    ASSERT_TRUE(thinking.config.is_object());
    EXPECT_EQ(thinking.config["type"], c.want);
    EXPECT_EQ(thinking.effort, thinking.config["type"] == "adaptive" ? "medium" : "");
    EXPECT_TRUE(thinking.IsOn());
  }
}

TEST(AnthropicThinkingTest, ABudgetLeavesRoomForTheAnswer) {
  struct Case {
    const char* effort;
    std::optional<int64_t> limit;
    int64_t want_budget;  // 0: thinking is left out
    int64_t want_max_tokens;
  };
  const Case cases[] = {
      {"", std::nullopt, 0, 16384},
      {"none", std::nullopt, 0, 16384},
      {"minimal", std::nullopt, 1024, 5120},
      {"low", std::nullopt, 2048, 6144},
      {"medium", std::nullopt, 8192, 12288},
      {"high", std::nullopt, 16384, 20480},
      {"xhigh", std::nullopt, 24576, 28672},
      {"medium", 20000, 8192, 20000},
      {"medium", 8193, 8192, 8193},
      {"medium", 8192, 4096, 8192},
      {"high", 2048, 1024, 2048},
      {"high", 2047, 0, 2047},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.effort);
    const AnthropicThinking thinking =
        DecideAnthropicThinking("claude-sonnet-4-5", Asking(c.effort, c.limit));
    EXPECT_EQ(thinking.max_tokens, c.want_max_tokens);
    EXPECT_EQ(thinking.IsOn(), c.want_budget > 0);
    if (c.want_budget > 0) {
      EXPECT_EQ(thinking.config["budget_tokens"], c.want_budget);
      EXPECT_LT(c.want_budget, thinking.max_tokens);
    }
    const bool asks = *c.effort != '\0' && std::string(c.effort) != "none";
    EXPECT_EQ(thinking.is_dropped, asks && c.want_budget == 0);
  }
  EXPECT_EQ(DecideAnthropicThinking("claude-3-haiku-20240307", Asking("")).max_tokens, 4096);
}

TEST(AnthropicThinkingTest, LaterModelsAreToldNotToThink) {
  EXPECT_EQ(DecideAnthropicThinking("claude-sonnet-5", Asking("none")).config["type"], "disabled");
  EXPECT_FALSE(DecideAnthropicThinking("claude-sonnet-5", Asking("none")).IsOn());
  EXPECT_TRUE(DecideAnthropicThinking("claude-sonnet-5", Asking("")).config.is_null());
}

TEST(AnthropicThinkingTest, AForcedCallLeavesNoThinking) {
  Conversation conversation = Asking("high");
  conversation.tool_choice.kind = ToolChoice::Kind::kRequired;
  EXPECT_TRUE(DecideAnthropicThinking("claude-sonnet-4-5", conversation).is_dropped);
  const AnthropicThinking later = DecideAnthropicThinking("claude-sonnet-5", conversation);
  EXPECT_FALSE(later.is_dropped);
  EXPECT_TRUE(later.config.is_null());
  EXPECT_EQ(later.effort, "high");
}

TEST(AnthropicThinkingTest, ATurnThatBeganWithoutThinkingGoesOnWithoutIt) {
  Conversation conversation = Asking("high");
  Part call;
  call.kind = Part::Kind::kToolCall;
  Part result;
  result.kind = Part::Kind::kToolResult;
  conversation.messages = {
      {Role::kUser, {Part()}, {}}, {Role::kAssistant, {call}, {}}, {Role::kTool, {result}, {}}};
  EXPECT_TRUE(DecideAnthropicThinking("claude-sonnet-4-5", conversation).is_dropped);
  EXPECT_TRUE(DecideAnthropicThinking("claude-sonnet-5", conversation).IsOn());
  Part thought;
  thought.kind = Part::Kind::kReasoning;
  thought.signature = "signed";
  conversation.messages[1].parts = {thought, call};
  EXPECT_TRUE(DecideAnthropicThinking("claude-sonnet-4-5", conversation).IsOn());
}

}  // namespace
}  // namespace gateway
