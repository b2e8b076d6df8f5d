#include <gtest/gtest.h>

#include <string>
#include <variant>

#include "common/concat.h"
#include "gateway/dialects/openai_responses.h"

namespace gateway {
namespace {

std::variant<Conversation, Failure> Parse(const std::string& members) {
  return OpenAiResponsesClient().ParseRequest(common::Concat(R"({"model":"m",)", members, "}"));
}

Conversation ParseGood(const std::string& members) {
  auto parsed = Parse(members);
  if (const auto* failure = std::get_if<Failure>(&parsed)) {
    ADD_FAILURE() << failure->message;
    return {};
  }
  return std::get<Conversation>(std::move(parsed));
}

// Roles and parts in short: "user[text:hi image:url] assistant[call:c/f{}]".
std::string Outline(const std::vector<Part>& parts) {
  constexpr const char* kNames[] = {"text", "refusal", "reasoning", "image",
                                    "file", "audio",   "call",      "result"};
  std::string text;
  for (const Part& part : parts) {
    if (!text.empty()) text += ' ';
    text += common::Concat(kNames[static_cast<size_t>(part.kind)], ':', part.id,
                           part.id.empty() ? "" : "/", part.name, part.text, part.url,
                           part.media_type, part.data, part.detail);
    if (!part.signature.empty()) text += common::Concat('!', part.signature);
    if (part.is_redacted) text += "(hidden)";
    if (!part.content.empty()) text += common::Concat('<', Outline(part.content), '>');
  }
  return text;
}

std::string Outline(const Conversation& conversation) {
  constexpr const char* kRoles[] = {"system", "developer", "user", "assistant", "tool"};
  std::string text;
  for (const Message& message : conversation.messages) {
    if (!text.empty()) text += ' ';
    text +=
        common::Concat(kRoles[static_cast<size_t>(message.role)], '[', Outline(message.parts), ']');
  }
  return text;
}

struct InputCase {
  const char* name;
  const char* members;
  const char* want;
};

TEST(OpenAiResponsesParseTest, InputsBecomeMessages) {
  const InputCase cases[] = {
      {"a text", R"("input":"hi")", "user[text:hi]"},
      {"instructions", R"("instructions":"be brief","input":"hi")",
       "system[text:be brief] user[text:hi]"},
      {"a message without a type", R"("input":[{"role":"user","content":"hi"}])", "user[text:hi]"},
      {"every role",
       R"("input":[{"role":"system","content":"a"},{"role":"developer","content":"b"},
          {"role":"user","content":"c"},{"type":"message","role":"assistant","content":"d"}])",
       "system[text:a] developer[text:b] user[text:c] assistant[text:d]"},
      {"two user messages stay two",
       R"("input":[{"role":"user","content":"a"},{"role":"user","content":"b"}])",
       "user[text:a] user[text:b]"},
      {"parts",
       R"("input":[{"type":"message","role":"user","content":[{"type":"input_text","text":"see"},
          {"type":"input_image","image_url":"https://x/y.png","detail":"low"},
          {"type":"input_image","image_url":"data:image/png;base64,AAA"},
          {"type":"input_audio","input_audio":{"data":"BBB","format":"wav"}},
          {"type":"input_file","filename":"f.pdf","file_data":"data:application/pdf;base64,CCC"},
          {"type":"input_file","file_url":"https://x/z.pdf"}]}])",
       "user[text:see image:https://x/y.pnglow image:image/pngAAA audio:audio/wavBBB "
       "file:f.pdfapplication/pdfCCC file:https://x/z.pdf]"},
      {"an answer that is sent back",
       R"("input":[{"role":"user","content":"a"},
          {"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"one"},
           {"type":"summary_text","text":"two"}],"encrypted_content":"sig","status":null},
          {"type":"message","id":"msg_1","role":"assistant","status":"completed","content":[
           {"type":"output_text","text":"b","annotations":[],"logprobs":[]},
           {"type":"refusal","refusal":"no"}]},
          {"type":"function_call","id":"fc_1","call_id":"c1","name":"f","arguments":"{}"},
          {"type":"function_call","call_id":"c2","name":"g","arguments":"{}","status":"completed",
           "extra_content":{"google":{"thought_signature":"T"}}},
          {"type":"function_call_output","call_id":"c1","output":"1"},
          {"type":"function_call_output","call_id":"c2","output":[{"type":"input_text","text":"2"},
           {"type":"input_image","image_url":"https://x/y.png"}]},
          {"role":"user","content":"c"}])",
       "user[text:a] assistant[reasoning:one\n\ntwo!sig text:b refusal:no call:c1/f{} "
       "call:c2/g{}!T] tool[result:c1/<text:1> result:c2/<text:2 image:https://x/y.png>] "
       "user[text:c]"},
      {"reasoning in full and hidden",
       R"("input":[{"type":"reasoning","summary":[],"content":[
           {"type":"reasoning_text","text":"t"}]},
          {"type":"reasoning","summary":[],"encrypted_content":"redacted:R"},
          {"type":"reasoning","id":"rs_2","summary":[]}, {"role":"user","content":"c"}])",
       "assistant[reasoning:t reasoning:!R(hidden)] user[text:c]"},
      {"calls by turns",
       R"("input":[{"type":"function_call","call_id":"1","name":"f","arguments":"{}"},
          {"type":"function_call_output","call_id":"1","output":""},
          {"type":"function_call","call_id":"2","name":"f","arguments":"{}"},
          {"type":"function_call_output","call_id":"2","output":"x"}])",
       "assistant[call:1/f{}] tool[result:1/<text:>] assistant[call:2/f{}] "
       "tool[result:2/<text:x>]"},
  };
  for (const InputCase& c : cases) {
    SCOPED_TRACE(c.name);
    EXPECT_EQ(Outline(ParseGood(c.members)), c.want);
  }
}

TEST(OpenAiResponsesParseTest, EveryFieldIsRead) {
  const Conversation conversation = ParseGood(R"("input":"hi","stream":true,
    "tools":[{"type":"function","name":"f","description":"d","parameters":{"type":"object"},
              "strict":true},
             {"type":"function","name":"g","parameters":null,"strict":null}],
    "tool_choice":{"type":"function","name":"f"},"parallel_tool_calls":false,
    "text":{"format":{"type":"json_schema","name":"n","schema":{"type":"object"},"strict":true,
                      "description":"s"},"verbosity":"low"},
    "reasoning":{"effort":"high","summary":"auto"},
    "include":["reasoning.encrypted_content","message.output_text.logprobs"],"top_logprobs":3,
    "temperature":0.5,"top_p":0.9,"max_output_tokens":50,"max_tool_calls":4,
    "metadata":{"k":"v"},"user":"u","service_tier":"flex","background":false,"store":false,
    "previous_response_id":null,"truncation":"disabled",
    "stream_options":{"include_obfuscation":false})");
  ASSERT_EQ(conversation.tools.size(), 2U);
  EXPECT_EQ(conversation.tools[0].name, "f");
  EXPECT_EQ(conversation.tools[0].description, "d");
  EXPECT_EQ(conversation.tools[0].parameters.dump(), R"({"type":"object"})");
  EXPECT_EQ(conversation.tools[0].strict, true);
  EXPECT_TRUE(conversation.tools[1].parameters.is_null());
  EXPECT_FALSE(conversation.tools[1].strict.has_value());
  EXPECT_EQ(conversation.tool_choice.kind, ToolChoice::Kind::kNamed);
  EXPECT_EQ(conversation.tool_choice.name, "f");
  EXPECT_EQ(conversation.parallel_tool_calls, false);
  EXPECT_EQ(conversation.format.kind, OutputFormat::Kind::kJsonSchema);
  EXPECT_EQ(conversation.format.name, "n");
  EXPECT_EQ(conversation.format.strict, true);
  EXPECT_EQ(conversation.verbosity, "low");
  EXPECT_EQ(conversation.reasoning.effort, "high");
  EXPECT_EQ(conversation.reasoning.summary, "auto");
  EXPECT_TRUE(conversation.logprobs);
  EXPECT_EQ(conversation.top_logprobs, 3);
  EXPECT_EQ(conversation.temperature, 0.5);
  EXPECT_EQ(conversation.top_p, 0.9);
  EXPECT_EQ(conversation.max_output_tokens, 50);
  EXPECT_EQ(conversation.metadata.dump(), R"({"k":"v"})");
  EXPECT_EQ(conversation.user, "u");
  EXPECT_EQ(conversation.service_tier, "flex");
  EXPECT_TRUE(conversation.dropped.empty());
}

TEST(OpenAiResponsesParseTest, ToolChoicesAreTold) {
  using Kind = ToolChoice::Kind;
  const std::string tools =
      R"("tools":[{"type":"function","name":"f"},{"type":"function","name":"g"}],"input":"x")";
  EXPECT_EQ(ParseGood(tools).tool_choice.kind, Kind::kUnset);
  EXPECT_EQ(ParseGood(tools + R"(,"tool_choice":"auto")").tool_choice.kind, Kind::kAuto);
  EXPECT_EQ(ParseGood(tools + R"(,"tool_choice":"none")").tool_choice.kind, Kind::kNone);
  EXPECT_EQ(ParseGood(tools + R"(,"tool_choice":"required")").tool_choice.kind, Kind::kRequired);
  const Conversation allowed =
      ParseGood(tools + R"(,"tool_choice":{"type":"allowed_tools","mode":"required",
                 "tools":[{"type":"function","name":"g"}]})");
  EXPECT_EQ(allowed.tool_choice.kind, Kind::kRequired);
  ASSERT_EQ(allowed.tools.size(), 1U);
  EXPECT_EQ(allowed.tools[0].name, "g");
}

TEST(OpenAiResponsesParseTest, AFunctionIsStrictByDefaultWhereItsSchemaAllowsIt) {
  struct Case {
    const char* parameters;
    bool is_strict;
  };
  const Case cases[] = {
      {R"({"type":"object","properties":{},"additionalProperties":false})", true},
      {R"({"type":"object","properties":{"a":{"type":"string"}},"required":["a"],
           "additionalProperties":false})",
       true},
      {R"({"type":"object","properties":{"a":{"type":"string"}},"required":["a"]})", false},
      {R"({"type":"object","properties":{"a":{}},"required":[],"additionalProperties":false})",
       false},
      {R"({"type":"object","properties":{"a":{"type":"array","items":{"type":"object"}}},
           "required":["a"],"additionalProperties":false})",
       false},
      {R"({"type":"object","properties":{"a":{"anyOf":[{"type":"null"},{"type":"object"}]}},
           "required":["a"],"additionalProperties":false})",
       false},
      {R"({"type":"object","properties":{"a":{"$ref":"#/$defs/b"}},"required":["a"],
           "additionalProperties":false,"$defs":{"b":{"type":"object"}}})",
       false},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.parameters);
    const Conversation conversation = ParseGood(
        std::string(R"("input":"x","tools":[{"type":"function","name":"f","parameters":)") +
        c.parameters + "}]");
    EXPECT_EQ(conversation.tools[0].strict, c.is_strict ? std::optional(true) : std::nullopt);
    const std::vector<std::string> told = {"tools[].strict"};
    EXPECT_EQ(conversation.dropped, c.is_strict ? std::vector<std::string>() : told);
  }
}

TEST(OpenAiResponsesParseTest, PartsKnowWhereTheyStandInTheRequest) {
  const Conversation conversation = ParseGood(
      R"("instructions":"i","input":[{"role":"user","content":"a"},
          {"role":"user","content":[{"type":"input_text","text":"b"}]},
          {"type":"function_call","call_id":"1","name":"f","arguments":"{}"},
          {"type":"function_call","call_id":"2","name":"f","arguments":"{}"},
          {"type":"function_call_output","call_id":"2","output":[{"type":"input_text","text":"c"}]}])");
  std::vector<std::string> paths;
  for (const Message& message : conversation.messages) {
    paths.push_back(message.path + ":");
    for (const Part& part : message.parts) {
      paths.push_back(part.path);
      for (const Part& inner : part.content) paths.push_back(inner.path);
    }
  }
  EXPECT_EQ(paths, (std::vector<std::string>{
                       "instructions:", "instructions", "input[0]:", "input[0].content",
                       "input[1]:", "input[1].content[0]", "input[2]:", "input[2]", "input[3]",
                       "input[4]:", "input[4]", "input[4].output[0]"}));
}

TEST(OpenAiResponsesParseTest, WhatChangesNothingIsDroppedByName) {
  const Conversation conversation = ParseGood(
      R"("input":[{"role":"assistant","phase":"commentary","content":"a"}],"store":true,
         "truncation":"auto","prompt_cache_key":"k","safety_identifier":"s","top_logprobs":2)");
  const std::vector<std::string> want = {"store", "input[].phase", "truncation",
                                         "prompt_cache_key"};
  EXPECT_EQ(conversation.dropped, want);
  EXPECT_EQ(conversation.user, "s");
  EXPECT_FALSE(conversation.top_logprobs.has_value());
}

struct RefusedCase {
  const char* members;
  const char* param;
};

TEST(OpenAiResponsesParseTest, WhatCannotBeHonouredIsRefusedByItsPlace) {
  const RefusedCase cases[] = {
      {R"("input":"x","previous_response_id":"resp_1")", "previous_response_id"},
      {R"("input":"x","conversation":"conv_1")", "conversation"},
      {R"("input":"x","conversation":{"id":"conv_1"})", "conversation"},
      {R"("input":"x","prompt":{"id":"pmpt_1"})", "prompt"},
      {R"("input":"x","background":true)", "background"},
      {R"("input":"x","tools":[{"type":"function","name":"f"},{"type":"web_search"}])",
       "tools[1].type"},
      {R"("input":"x","tools":[{"type":"file_search","vector_store_ids":["v"]}])", "tools[0].type"},
      {R"("input":"x","tools":[{"type":"mcp","server_label":"s"}])", "tools[0].type"},
      {R"("input":"x","tools":[{"type":"custom","name":"c"}])", "tools[0].type"},
      {R"("input":"x","tools":[{"type":"function","name":"f","defer_loading":true}])",
       "tools[0].defer_loading"},
      {R"("input":"x","tool_choice":{"type":"web_search"})", "tool_choice.type"},
      {R"("input":"x","tool_choice":{"type":"allowed_tools","mode":"auto",
          "tools":[{"type":"function","name":"f"}]})",
       "tool_choice.tools[0].name"},
      {R"("input":"x","tool_choice":"sometimes")", "tool_choice"},
      {R"("input":"x","include":["file_search_call.results"])", "include[0]"},
      {R"("input":"x","include":[7])", "include[0]"},
      {R"("input":"x","truncation":"always")", "truncation"},
      {R"("input":"x","text":{"format":{"type":"grammar"}})", "text.format.type"},
      {R"("input":"x","text":{"format":{"type":"json_schema","name":"n"}})", "text.format.schema"},
      {R"("input":"x","reasoning":{"mode":"pro"})", "reasoning.mode"},
      {R"("input":"x","stream_options":{"include_usage":true})", "stream_options.include_usage"},
      {R"("input":"x","stop":["a"])", "stop"},
      {R"("input":"x","context_management":[{"type":"compaction"}])", "context_management"},
      {R"("input":"x","max_output_tokens":0)", "max_output_tokens"},
      {R"("input":"x","temperature":3)", "temperature"},
      {R"("input":"x","temperature":"hot")", "temperature"},
      {R"("input":"x","instructions":["a"])", "instructions"},
      {R"("input":[])", "input"},
      {R"("input":[{"content":"x"}])", "input[0].role"},
      {R"("input":[{"role":"tool","content":"x"}])", "input[0].role"},
      {R"("input":[{"role":"user"}])", "input[0].content"},
      {R"("input":[{"role":"user","content":7}])", "input[0].content"},
      {R"("input":[{"role":"user","content":[{"type":"video"}]}])", "input[0].content[0].type"},
      {R"("input":[{"role":"user","content":[{"type":"input_image","file_id":"file_1"}]}])",
       "input[0].content[0].file_id"},
      {R"("input":[{"role":"user","content":[{"type":"input_file","file_id":"file_1"}]}])",
       "input[0].content[0].file_id"},
      {R"("input":[{"role":"user","content":[{"type":"input_file","file_data":"AAA"}]}])",
       "input[0].content[0].file_data"},
      {R"("input":["x"])", "input[0]"},
      {R"("input":[{"type":"item_reference","id":"msg_1"}])", "input[0].type"},
      {R"("input":[{"type":"web_search_call","id":"ws_1"}])", "input[0].type"},
      {R"("input":[{"type":"function_call","call_id":"1","name":"f"}])", "input[0].arguments"},
      {R"("input":[{"type":"function_call_output","output":"x"}])", "input[0].call_id"},
      {R"("input":[{"type":"reasoning","summary":[{"type":"text","text":"x"}]}])",
       "input[0].summary[0].type"},
      {R"("input":[{"role":"user","content":"x","colour":"red"}])", "input[0].colour"},
      {R"("input":"x","colour":"red")", "colour"},
  };
  for (const RefusedCase& c : cases) {
    SCOPED_TRACE(c.members);
    const auto parsed = Parse(c.members);
    const auto* failure = std::get_if<Failure>(&parsed);
    ASSERT_NE(failure, nullptr);
    EXPECT_EQ(RuleFor(failure->kind).name, RuleFor(FailureKind::kBadRequest).name);
    EXPECT_EQ(failure->param, Json(c.param).dump());
    EXPECT_FALSE(failure->message.empty());
  }
}

}  // namespace
}  // namespace gateway
