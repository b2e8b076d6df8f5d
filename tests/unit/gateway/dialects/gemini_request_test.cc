#include "gateway/dialects/gemini_request.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/unit/gateway/dialects/gemini_support.h"

namespace gateway {
namespace {

using candor_test::ParseChat;
using nlohmann::json;

constexpr char kHello[] = R"("messages":[{"role":"user","content":"hi"}])";

std::string With(const std::string& members) {
  return std::string(R"({"model":"m",)") + kHello + (members.empty() ? "" : ",") + members + "}";
}

// As chat completions ask it; then `want`, a part of what Gemini is asked (RFC 7396 turned round:
// every member of `want` must be there as it is).
struct RequestCase {
  std::string name;
  std::string model;
  std::string body;
  std::string want;
  std::vector<std::string> dropped;
};

const std::string kTools =
    R"("tools":[{"type":"function","function":{"name":"f","description":"d",)"
    R"("parameters":{"type":"object","properties":{"a":{"$ref":"#/$defs/A"}}}}}])";
const std::string kToolTalk =
    R"({"model":"m","messages":[{"role":"user","content":"hi"},)"
    R"({"role":"assistant","content":null,"tool_calls":[)"
    R"({"id":"c1","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}},)"
    R"({"id":"c2","type":"function","function":{"name":"g","arguments":""}}]},)"
    R"({"role":"tool","tool_call_id":"c1","content":"12345678901234567890"},)"
    R"({"role":"tool","tool_call_id":"c2","content":[{"type":"text","text":"x"},)"
    R"({"type":"text","text":"y"}]},{"role":"user","content":"so?"}]})";

const std::vector<RequestCase> kCases = {
    {"plain text",
     "gemini-2.5-flash",
     With(""),
     R"({"contents":[{"role":"user","parts":[{"text":"hi"}]}]})",
     {}},
    {"system and developer messages are the instruction wherever they stand",
     "g",
     R"({"model":"m","messages":[{"role":"system","content":"a"},{"role":"user","content":"hi"},)"
     R"({"role":"developer","content":"b"}]})",
     R"({"systemInstruction":{"parts":[{"text":"a"},{"text":"b"}]},)"
     R"("contents":[{"role":"user","parts":[{"text":"hi"}]}]})",
     {}},
    {"a system message alone is the user's turn",
     "g",
     R"({"model":"m","messages":[{"role":"system","content":"a"}]})",
     R"({"contents":[{"role":"user","parts":[{"text":"a"}]}]})",
     {}},
    {"a conversation keeps its turns",
     "g",
     R"({"model":"m","messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"},)"
     R"({"role":"user","content":"c"}]})",
     R"({"contents":[{"role":"user","parts":[{"text":"a"}]},{"role":"model","parts":[{"text":"b"}]},)"
     R"({"role":"user","parts":[{"text":"c"}]}]})",
     {}},
    {"images by data and by URL",
     "g",
     R"({"model":"m","messages":[{"role":"user","content":[)"
     R"({"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA","detail":"low"}},)"
     R"({"type":"image_url","image_url":{"url":"https://x.example/a.JPG?b=c"}},)"
     R"({"type":"image_url","image_url":{"url":"gs://bucket/thing"}}]}]})",
     R"({"contents":[{"role":"user","parts":[{"inlineData":{"mimeType":"image/png","data":"AAAA"}},)"
     R"({"fileData":{"mimeType":"image/jpeg","fileUri":"https://x.example/a.JPG?b=c"}},)"
     R"({"fileData":{"fileUri":"gs://bucket/thing"}}]}]})",
     {"detail"}},
    {"audio",
     "g",
     R"({"model":"m","messages":[{"role":"user","content":[)"
     R"({"type":"input_audio","input_audio":{"data":"AAAA","format":"wav"}}]}]})",
     R"({"contents":[{"role":"user","parts":[{"inlineData":{"mimeType":"audio/wav","data":"AAAA"}}]}]})",
     {}},
    {"results find the names of their calls, and stay text",
     "gemini-2.5-flash",
     kToolTalk,
     R"({"contents":[{"role":"user","parts":[{"text":"hi"}]},{"role":"model","parts":[)"
     R"({"functionCall":{"id":"c1","name":"f","args":{"a":1}}},)"
     R"({"functionCall":{"id":"c2","name":"g","args":{}}}]},{"role":"user","parts":[)"
     R"({"functionResponse":{"id":"c1","name":"f","response":{"output":"12345678901234567890"}}},)"
     R"({"functionResponse":{"id":"c2","name":"g","response":{"output":"x\ny"}}}]},)"
     R"({"role":"user","parts":[{"text":"so?"}]}]})",
     {}},
    {"a signature comes back with its call",
     "gemini-3-flash-preview",
     R"({"model":"m","messages":[{"role":"user","content":"hi"},{"role":"assistant","tool_calls":[)"
     R"({"id":"c1","type":"function","function":{"name":"f","arguments":"{}"}},)"
     R"({"id":"c2","type":"function","function":{"name":"f","arguments":"{}"},)"
     R"("extra_content":{"google":{"thought_signature":"c2ln"}}}]}]})",
     R"({"contents":[{"role":"user","parts":[{"text":"hi"}]},{"role":"model","parts":[)"
     R"({"functionCall":{"id":"c1","name":"f","args":{}}},)"
     R"({"functionCall":{"id":"c2","name":"f","args":{}},"thoughtSignature":"c2ln"}]}]})",
     {}},
    {"a lost signature is said to be lost",
     "gemini-3-flash-preview",
     R"({"model":"m","messages":[{"role":"user","content":"hi"},{"role":"assistant","tool_calls":[)"
     R"({"id":"c1","type":"function","function":{"name":"f","arguments":"{}"}}]}]})",
     R"({"contents":[{"role":"user","parts":[{"text":"hi"}]},{"role":"model","parts":[)"
     R"({"functionCall":{"id":"c1","name":"f","args":{}},)"
     R"("thoughtSignature":"skip_thought_signature_validator"}]}]})",
     {}},
    {"thoughts are not sent back",
     "g",
     R"({"model":"m","messages":[{"role":"user","content":"hi"},)"
     R"({"role":"assistant","content":"b","reasoning_content":"r"}]})",
     R"({"contents":[{"role":"user","parts":[{"text":"hi"}]},{"role":"model","parts":[{"text":"b"}]}]})",
     {"reasoning"}},
    {"tools keep their JSON Schema",
     "g",
     With(kTools),
     R"({"tools":[{"functionDeclarations":[{"name":"f","description":"d","parametersJsonSchema":)"
     R"({"type":"object","properties":{"a":{"$ref":"#/$defs/A"}}}}]}],"toolConfig":null})",
     {}},
    {"tool choice auto",
     "g",
     With(kTools + R"(,"tool_choice":"auto")"),
     R"({"toolConfig":{"functionCallingConfig":{"mode":"AUTO"}}})",
     {}},
    {"tool choice none",
     "g",
     With(kTools + R"(,"tool_choice":"none","parallel_tool_calls":false)"),
     R"({"toolConfig":{"functionCallingConfig":{"mode":"NONE"}}})",
     {}},
    {"tool choice required",
     "g",
     With(kTools + R"(,"tool_choice":"required","parallel_tool_calls":true)"),
     R"({"toolConfig":{"functionCallingConfig":{"mode":"ANY"}}})",
     {}},
    {"tool choice by name",
     "g",
     With(kTools + R"(,"tool_choice":{"type":"function","function":{"name":"f"}})"),
     R"({"toolConfig":{"functionCallingConfig":{"mode":"ANY","allowedFunctionNames":["f"]}}})",
     {}},
    {"strict tools are validated",
     "gemini-2.5-pro",
     With(R"("tools":[{"type":"function","function":{"name":"f","strict":true}}])"),
     R"({"toolConfig":{"functionCallingConfig":{"mode":"VALIDATED"}}})",
     {}},
    {"strict tools where nothing validates",
     "gemini-2.0-flash",
     With(R"("tools":[{"type":"function","function":{"name":"f","strict":true}}])"),
     R"({"toolConfig":null})",
     {"strict"}},
    {"sampling",
     "g",
     With(R"("temperature":0.5,"top_p":0.25,"max_tokens":7,"stop":["a","b"],"seed":4294967297,)"
          R"("frequency_penalty":1,"presence_penalty":-1,"n":2,"logprobs":true,"top_logprobs":3)"),
     R"({"generationConfig":{"temperature":0.5,"topP":0.25,"maxOutputTokens":7,)"
     R"("stopSequences":["a","b"],"seed":1,"frequencyPenalty":1.0,"presencePenalty":-1.0,)"
     R"("candidateCount":2,"responseLogprobs":true,"logprobs":3}})",
     {}},
    {"JSON mode",
     "g",
     With(R"("response_format":{"type":"json_object"})"),
     R"({"generationConfig":{"responseMimeType":"application/json"}})",
     {}},
    {"JSON schema",
     "g",
     With(R"("response_format":{"type":"json_schema","json_schema":{"name":"n","strict":true,)"
          R"("schema":{"type":"object","additionalProperties":false}}})"),
     R"({"generationConfig":{"responseMimeType":"application/json","responseJsonSchema":)"
     R"({"type":"object","additionalProperties":false}}})",
     {}},
    {"effort by budget",
     "gemini-2.5-flash",
     With(R"("reasoning_effort":"medium")"),
     R"({"generationConfig":{"thinkingConfig":{"thinkingBudget":8192,"includeThoughts":true}}})",
     {}},
    {"effort by level",
     "gemini-3.1-pro-preview",
     With(R"("reasoning_effort":"high")"),
     R"({"generationConfig":{"thinkingConfig":{"thinkingLevel":"HIGH","includeThoughts":true}}})",
     {}},
    {"least effort of a pro",
     "gemini-3.1-pro-preview",
     With(R"("reasoning_effort":"minimal")"),
     R"({"generationConfig":{"thinkingConfig":{"thinkingLevel":"LOW","includeThoughts":true}}})",
     {}},
    {"no effort",
     "gemini-2.5-flash",
     With(R"("reasoning_effort":"none")"),
     R"({"generationConfig":{"thinkingConfig":{"thinkingBudget":0}}})",
     {}},
    {"no effort where there is no way without",
     "models/gemini-3-flash-preview",
     With(R"("reasoning_effort":"none")"),
     R"({"generationConfig":{"thinkingConfig":{"thinkingLevel":"MINIMAL"}}})",
     {"reasoning_effort"}},
    {"effort of a model that does not think",
     "gemini-2.0-flash",
     With(R"("reasoning_effort":"low")"),
     R"({"generationConfig":null})",
     {"reasoning_effort"}},
    {"hints are dropped by name",
     "g",
     With(R"("user":"u","metadata":{"a":"b"},"service_tier":"flex","verbosity":"low",)"
          R"("logit_bias":{})"),
     R"({"generationConfig":null})",
     {"user", "metadata", "service_tier", "verbosity"}}};

TEST(GeminiRequestTest, EveryFieldHasItsPlace) {
  for (const RequestCase& c : kCases) {
    SCOPED_TRACE(c.name);
    const auto built = BuildGeminiRequest(c.model, ParseChat(c.body));
    ASSERT_TRUE(std::holds_alternative<GeminiBody>(built)) << std::get<Failure>(built).message;
    const auto& body = std::get<GeminiBody>(built);
    const json got = json::parse(RenderJson(body.json));
    const json want = json::parse(c.want);
    for (const auto& [name, value] : want.items()) {
      EXPECT_EQ(got.value(name, json(nullptr)), value) << name;
    }
    EXPECT_EQ(body.dropped, c.dropped);
  }
}

struct RefusalCase {
  std::string name;
  std::string body;
  std::string param;
};

const std::vector<RefusalCase> kRefusals = {
    {"logit bias", With(R"("logit_bias":{"5":1})"), "logit_bias"},
    {"one call at a time", With(kTools + R"(,"parallel_tool_calls":false)"), "parallel_tool_calls"},
    {"a call that must be made without tools", With(R"("tool_choice":"required")"), "tool_choice"},
    {"an unknown effort", With(R"("reasoning_effort":"some")"), "reasoning_effort"},
    {"a URL that Google does not fetch",
     R"({"model":"m","messages":[{"role":"user","content":[)"
     R"({"type":"image_url","image_url":{"url":"http://x.example/a.png"}}]}]})",
     "messages[0].content[0]"},
    {"an image among instructions",
     R"({"model":"m","messages":[{"role":"user","content":"a"},{"role":"system","content":[)"
     R"({"type":"image_url","image_url":{"url":"https://x.example/a.png"}}]}]})",
     "messages[1].content[0]"},
    {"arguments that are no object",
     R"({"model":"m","messages":[{"role":"user","content":"a"},{"role":"assistant","tool_calls":[)"
     R"({"id":"c","type":"function","function":{"name":"f","arguments":"[1]"}}]}]})",
     "messages[1].tool_calls[0]"},
    {"arguments that are no JSON",
     R"({"model":"m","messages":[{"role":"user","content":"a"},{"role":"assistant","tool_calls":[)"
     R"({"id":"c","type":"function","function":{"name":"f","arguments":"{\"a\":"}}]}]})",
     "messages[1].tool_calls[0]"},
    {"a result without its call",
     R"({"model":"m","messages":[{"role":"tool","tool_call_id":"c","content":"r"}]})",
     "messages[0]"}};

TEST(GeminiRequestTest, WhatItCannotDoIsRefusedByName) {
  for (const RefusalCase& c : kRefusals) {
    SCOPED_TRACE(c.name);
    const auto built = BuildGeminiRequest("gemini-2.5-flash", ParseChat(c.body));
    ASSERT_TRUE(std::holds_alternative<Failure>(built));
    const auto& failure = std::get<Failure>(built);
    EXPECT_EQ(failure.kind, FailureKind::kBadRequest);
    EXPECT_EQ(failure.param, json(c.param).dump());
    EXPECT_NE(failure.message.find(c.param), std::string::npos);
  }
}

Part ResultPart(const std::string& id, bool is_error) {
  Part result;
  result.kind = Part::Kind::kToolResult;
  result.id = id;
  result.name = "f";
  result.is_error = is_error;
  Part text;
  text.text = "t";
  Part image;
  image.kind = Part::Kind::kImage;
  image.media_type = "image/png";
  image.data = "AAAA";
  result.content = {text, image};
  return result;
}

TEST(GeminiRequestTest, ResultsMayFailAndHoldImages) {
  Conversation conversation;
  conversation.messages.push_back({Role::kTool, {ResultPart("a", true)}, ""});
  conversation.messages.push_back({Role::kTool, {ResultPart("b", false)}, ""});
  const auto built = BuildGeminiRequest("gemini-3-flash-preview", conversation);
  const json got = json::parse(RenderJson(std::get<GeminiBody>(built).json));
  EXPECT_EQ(got["contents"], json::parse(R"([{"role":"user","parts":[
    {"functionResponse":{"id":"a","name":"f","response":{"error":"t"},
      "parts":[{"inlineData":{"mimeType":"image/png","data":"AAAA"}}]}},
    {"functionResponse":{"id":"b","name":"f","response":{"output":"t"},
      "parts":[{"inlineData":{"mimeType":"image/png","data":"AAAA"}}]}}]}])"));
}

TEST(GeminiRequestTest, ThinkingInTokensIsBounded) {
  Conversation conversation = ParseChat(With(""));
  const auto budget = [&](const std::string& model, int64_t tokens) {
    conversation.reasoning.budget_tokens = tokens;
    const auto built = BuildGeminiRequest(model, conversation);
    return std::get<GeminiBody>(built)
        .json["generationConfig"]["thinkingConfig"]["thinkingBudget"]
        .get<int64_t>();
  };
  EXPECT_EQ(budget("gemini-2.5-flash", 2000), 2000);
  EXPECT_EQ(budget("gemini-2.5-flash", 1000000), 24576);
  EXPECT_EQ(budget("gemini-2.5-pro", 1000000), 32768);
  EXPECT_EQ(budget("gemini-3-flash-preview", 1024), 1024);
}

TEST(GeminiRequestTest, ResponsesGetsThoughtsOnlyWhenItAsksForThem) {
  Conversation conversation = ParseChat(With(""));
  conversation.endpoint = Endpoint::kResponses;
  conversation.reasoning.effort = "low";
  auto built = BuildGeminiRequest("gemini-2.5-flash", conversation);
  const json silent = json::parse(RenderJson(std::get<GeminiBody>(built).json));
  EXPECT_EQ(silent["generationConfig"]["thinkingConfig"], json({{"thinkingBudget", 1024}}));
  conversation.reasoning.summary = "auto";
  built = BuildGeminiRequest("gemini-2.5-flash", conversation);
  const json told = json::parse(RenderJson(std::get<GeminiBody>(built).json));
  EXPECT_EQ(told["generationConfig"]["thinkingConfig"]["includeThoughts"], true);
}

struct PathCase {
  std::string base_path;
  std::string model;
  bool is_stream;
  std::string want;
};

TEST(GeminiRequestTest, AnyBaseUrlAndNameOfAModelGiveThePath) {
  const std::vector<PathCase> cases = {
      {"", "gemini-2.5-flash", false, "/v1beta/models/gemini-2.5-flash:generateContent"},
      {"/v1beta", "models/gemini-2.5-flash", true,
       "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse"},
      {"/v1", "a/b c", false, "/v1/models/a%2Fb%20c:generateContent"},
      {"/proxy", "tunedModels/x", false, "/proxy/v1beta/tunedModels/x:generateContent"},
      {"/v1/publishers/google", "m", false, "/v1/publishers/google/models/m:generateContent"}};
  for (const PathCase& c : cases) {
    SCOPED_TRACE(c.want);
    const ProviderEndpoint provider{"h", c.base_path, "", "secret"};
    Conversation conversation = ParseChat(With(""));
    conversation.is_stream = c.is_stream;
    const auto built = FindDialect("gemini")->BuildConversation(provider, c.model, conversation);
    const std::string& head = std::get<TranslatedRequest>(built).request.head;
    EXPECT_TRUE(head.starts_with("POST " + c.want + " HTTP/1.1\r\n")) << head;
    EXPECT_NE(head.find("\r\nx-goog-api-key: secret\r\n"), std::string::npos);
  }
}

}  // namespace
}  // namespace gateway
