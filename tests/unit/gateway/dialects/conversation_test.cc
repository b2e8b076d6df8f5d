#include "gateway/dialects/conversation.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>

#include "gateway/dialects/translation.h"

namespace gateway {
namespace {

// What FindContradiction names in a chat request around `fields`; empty: nothing.
std::string NamedIn(const std::string& request) {
  auto parsed = FindClientDialect(Endpoint::kChatCompletions)->ParseRequest(request);
  const std::optional<Failure> failure = FindContradiction(std::get<Conversation>(parsed));
  if (!failure) return {};
  EXPECT_EQ(failure->kind, FailureKind::kBadRequest);
  EXPECT_NE(failure->message.find(Json::parse(failure->param).get<std::string>()),
            std::string::npos);
  return failure->param;
}

TEST(ConversationTest, WhatNobodyCanAnswerIsNamed) {
  struct Case {
    const char* request;
    const char* want;
  };
  const Case cases[] = {
      {R"({"messages":[]})", R"("messages")"},
      {R"({"messages":[{"role":"system","content":" "},{"role":"user","content":"\n"}]})",
       R"("messages")"},
      {R"({"messages":[{"role":"assistant","reasoning_content":"hm","content":""}]})",
       R"("messages")"},
      {R"({"messages":[{"role":"user","content":"x"},{"role":"user","content":[]}]})",
       R"("messages[1]")"},
      {R"({"messages":[{"role":"user","content":" "},{"role":"system","content":"x"}]})",
       R"("messages[0]")"},
      {R"({"messages":[{"role":"user","content":" "},{"role":"user","content":"x"}]})", ""},
      {R"({"messages":[{"role":"system","content":"x"}]})", ""},
      {R"({"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"u"}}]}]})",
       ""},
      {R"({"messages":[{"role":"user","content":"x"}],"tool_choice":"required"})",
       R"("tool_choice")"},
      {R"({"messages":[{"role":"user","content":"x"}],"tool_choice":"none"})", ""},
      {R"({"messages":[{"role":"user","content":"x"}],"stop":["a",""]})", R"("stop")"},
      {R"({"messages":[{"role":"user","content":"x"}],"stop":"\n"})", ""},
      {R"({"messages":[{"role":"user","content":"x"}],
           "tools":[{"type":"function","function":{"name":"f"}}],
           "tool_choice":{"type":"function","function":{"name":"g"}}})",
       R"("tool_choice")"},
  };
  for (const Case& c : cases) EXPECT_EQ(NamedIn(c.request), c.want) << c.request;
}

}  // namespace
}  // namespace gateway
