#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "common/concat.h"
#include "gateway/dialects/openai_responses.h"
#include "tests/support/responses_events.h"

namespace gateway {
namespace {

using candor_test::ReadResponsesEvents;
using candor_test::ResponsesChecker;
using Kind = Delta::Kind;

Delta Piece(Kind kind, int part, std::string text) {
  Delta delta;
  delta.kind = kind;
  delta.part = part;
  delta.text = std::move(text);
  return delta;
}

Delta Start() {
  Delta delta = Piece(Kind::kStart, 0, "");
  delta.id = "chatcmpl-7";
  delta.model = "m-2";
  delta.created_at = 1700000000;
  return delta;
}

Delta Call(int part, std::string id, std::string text) {
  Delta delta = Piece(Kind::kToolCall, part, std::move(text));
  delta.id = std::move(id);
  delta.name = "f";
  return delta;
}

Delta Finish(FinishReason reason) {
  Delta delta = Piece(Kind::kFinish, 0, "");
  delta.finish = reason;
  return delta;
}

Delta Counted() {
  Delta delta = Piece(Kind::kUsage, 0, "");
  delta.usage.is_known = true;
  delta.usage.input_tokens = 10;
  delta.usage.cached_input_tokens = 4;
  delta.usage.output_tokens = 5;
  delta.usage.reasoning_tokens = 2;
  return delta;
}

Delta Hidden(int part) {
  Delta delta = Piece(Kind::kSignature, part, "hid");
  delta.is_redacted = true;
  return delta;
}

Delta Logprobs(const char* token) {
  Delta delta = Piece(Kind::kLogprobs, 0, "");
  delta.logprobs = {{"content", {{{"token", token}, {"logprob", -0.1}, {"bytes", {104}}}}}};
  delta.logprobs["content"][0]["top_logprobs"] = Json::array();
  return delta;
}

struct StreamCase {
  const char* name;
  std::vector<Delta> deltas;
};

std::vector<StreamCase> Cases() {
  const Delta stop = Finish(FinishReason::kStop);
  return {
      {"text", {Start(), Piece(Kind::kText, 0, "he"), Piece(Kind::kText, 0, "y"), stop, Counted()}},
      {"no usage", {Start(), Piece(Kind::kText, 0, "\"q\"\n\x01\xC3\xA9"), stop}},
      {"nothing is known of the provider", {Piece(Kind::kText, 0, "a"), stop}},
      {"reasoning, text",
       {Start(), Piece(Kind::kReasoning, 0, "th"), Piece(Kind::kReasoning, 0, "ink"),
        Piece(Kind::kSignature, 0, "si"), Piece(Kind::kSignature, 0, "g"),
        Piece(Kind::kText, 1, "so"), stop, Counted()}},
      {"hidden reasoning, a signature before its text",
       {Start(), Hidden(0), Piece(Kind::kSignature, 1, "s"), Piece(Kind::kReasoning, 1, "r"),
        Piece(Kind::kText, 2, "so"), stop}},
      {"two texts, a refusal",
       {Start(), Piece(Kind::kText, 0, "a"), Piece(Kind::kText, 1, "b"),
        Piece(Kind::kRefusal, 2, "no"), Piece(Kind::kRefusal, 2, "pe"), stop}},
      {"text, calls by turns",
       {Start(), Piece(Kind::kText, 0, "a"), Call(1, "c1", ""), Call(2, "c2", "{"),
        Piece(Kind::kToolArguments, 1, "{\"x\":"), Piece(Kind::kToolArguments, 2, "}"),
        Piece(Kind::kToolArguments, 1, "1}"), Piece(Kind::kSignature, 2, "T"),
        Finish(FinishReason::kToolCalls), Counted()}},
      {"a call without an id, text behind it",
       {Start(), Call(0, "", "{}"), Piece(Kind::kText, 1, "a"), Finish(FinishReason::kToolCalls)}},
      {"cut short",
       {Start(), Piece(Kind::kText, 0, "a"), Finish(FinishReason::kLength), Counted()}},
      {"a call cut short",
       {Start(), Call(0, "c", "{"), Call(1, "d", "{\"a"), Finish(FinishReason::kLength)}},
      {"filtered", {Start(), Finish(FinishReason::kContentFilter)}},
      {"refused by a filter",
       {Start(), Piece(Kind::kText, 0, "a"), Finish(FinishReason::kRefusal)}},
      {"nothing to say", {Start(), Piece(Kind::kText, 0, ""), stop, Counted()}},
  };
}

Conversation NewConversation(const std::string& members) {
  auto parsed = OpenAiResponsesClient().ParseRequest(
      common::Concat(R"({"model":"m","input":"x")", members, "}"));
  Conversation conversation = std::get<Conversation>(std::move(parsed));
  conversation.model = "m";
  conversation.endpoint = Endpoint::kResponses;
  return conversation;
}

constexpr int64_t kNow = 1750000000;

std::string RenderStream(const std::vector<Delta>& deltas, const RenderContext& context) {
  const auto renderer = OpenAiResponsesClient().NewStreamRenderer(context);
  std::string out;
  for (const Delta& delta : deltas) renderer->Render(delta, out);
  renderer->RenderEnd(out);
  return out;
}

std::string RenderWhole(const std::vector<Delta>& deltas, const RenderContext& context) {
  AnswerBuilder builder;
  for (const Delta& delta : deltas) builder.Add(delta);
  return OpenAiResponsesClient().RenderAnswer(builder.answer(), context);
}

TEST(OpenAiResponsesRenderTest, EveryStreamIsInOrderAndEqualsTheWholeAnswer) {
  for (const char* members : {"", R"(,"reasoning":{"summary":"auto"})"}) {
    const Conversation conversation = NewConversation(members);
    const RenderContext context{conversation, "id-1", kNow};
    for (const StreamCase& c : Cases()) {
      SCOPED_TRACE(common::Concat(c.name, members));
      ResponsesChecker checker;
      for (const Json& event : ReadResponsesEvents(RenderStream(c.deltas, context))) {
        checker.Take(event);
      }
      checker.ExpectWhole();
      EXPECT_EQ(checker.response().dump(), Json::parse(RenderWhole(c.deltas, context)).dump());
    }
  }
}

TEST(OpenAiResponsesRenderTest, AFailureInTheStreamFindsTheNextNumber) {
  const Conversation conversation = NewConversation("");
  const RenderContext context{conversation, "id-1", kNow};
  for (const StreamCase& c : Cases()) {
    SCOPED_TRACE(c.name);
    const auto renderer = OpenAiResponsesClient().NewStreamRenderer(context);
    std::string out;
    for (const Delta& delta : c.deltas) {
      renderer->Render(delta, out);
      const auto events = ReadResponsesEvents(out);
      ASSERT_FALSE(events.empty());
      EXPECT_EQ(renderer->sequence_number(), events.size());
      EXPECT_EQ(renderer->response_id(), events.front()["response"]["id"]);
      EXPECT_EQ(out.find("response.completed"), std::string::npos);
      EXPECT_EQ(out.find("response.incomplete"), std::string::npos);
    }
  }
}

std::string Types(const std::string& stream) {
  std::string types;
  for (const Json& event : ReadResponsesEvents(stream)) {
    types += common::Concat(event["type"].get<std::string>().substr(9), '\n');
  }
  return types;
}

TEST(OpenAiResponsesRenderTest, EventsAreTheOfficialOnes) {
  const std::vector<Delta> deltas = {Start(),
                                     Piece(Kind::kReasoning, 0, "r"),
                                     Piece(Kind::kText, 1, "t"),
                                     Piece(Kind::kRefusal, 2, "no"),
                                     Call(3, "c", "{}"),
                                     Finish(FinishReason::kToolCalls)};
  const std::string rest =
      "output_item.added\ncontent_part.added\noutput_text.delta\noutput_text.done\n"
      "content_part.done\ncontent_part.added\nrefusal.delta\nrefusal.done\ncontent_part.done\n"
      "output_item.done\noutput_item.added\nfunction_call_arguments.delta\n"
      "function_call_arguments.done\noutput_item.done\ncompleted\n";
  const Conversation plain = NewConversation("");
  EXPECT_EQ(Types(RenderStream(deltas, {plain, "i", kNow})),
            "created\nin_progress\noutput_item.added\ncontent_part.added\nreasoning_text.delta\n"
            "reasoning_text.done\ncontent_part.done\noutput_item.done\n" +
                rest);
  const Conversation summary = NewConversation(R"(,"reasoning":{"summary":"auto"})");
  EXPECT_EQ(Types(RenderStream(deltas, {summary, "i", kNow})),
            "created\nin_progress\noutput_item.added\nreasoning_summary_part.added\n"
            "reasoning_summary_text.delta\nreasoning_summary_text.done\n"
            "reasoning_summary_part.done\noutput_item.done\n" +
                rest);
}

TEST(OpenAiResponsesRenderTest, LogprobsStandBesideTheirText) {
  const Conversation conversation =
      NewConversation(R"(,"include":["message.output_text.logprobs"])");
  const std::vector<Delta> deltas = {Start(),       Piece(Kind::kText, 0, "h"),
                                     Logprobs("h"), Piece(Kind::kText, 0, "i"),
                                     Logprobs("i"), Finish(FinishReason::kStop)};
  const RenderContext context{conversation, "i", kNow};
  const std::string stream = RenderStream(deltas, context);
  ResponsesChecker checker;
  std::vector<std::string> tokens;
  for (const Json& event : ReadResponsesEvents(stream)) {
    checker.Take(event);
    if (event["type"] != "response.output_text.delta") continue;
    ASSERT_EQ(event["logprobs"].size(), 1U);
    EXPECT_EQ(event["logprobs"][0]["token"], event["delta"]);
  }
  EXPECT_EQ(checker.response()["output"][0]["content"][0]["logprobs"].size(), 2U);
  EXPECT_EQ(checker.response().dump(), Json::parse(RenderWhole(deltas, context)).dump());
}

TEST(OpenAiResponsesRenderTest, AnAnswerHasEveryFieldThatClientsKnow) {
  const Conversation conversation = NewConversation(
      R"(,"instructions":"be brief","temperature":0.5,"metadata":{"k":"v"},"max_output_tokens":9,
         "tools":[{"type":"function","name":"f","parameters":{"type":"object"},"strict":true}],
         "tool_choice":"required","parallel_tool_calls":false,"user":"u","store":true,
         "reasoning":{"effort":"low"},"text":{"verbosity":"low"})");
  const auto deltas = Cases()[6].deltas;
  const Json json = Json::parse(RenderWhole(deltas, {conversation, "id-1", kNow}));
  EXPECT_EQ(json.dump(), Json::parse(R"({"id":"resp_chatcmpl-7","object":"response",
    "created_at":1700000000,"status":"completed","error":null,"incomplete_details":null,
    "model":"m-2","output":[
     {"id":"msg_chatcmpl-7_0","type":"message","status":"completed","role":"assistant","content":[
       {"type":"output_text","text":"a","annotations":[],"logprobs":[]}]},
     {"id":"fc_chatcmpl-7_1","type":"function_call","status":"completed","call_id":"c1","name":"f",
      "arguments":"{\"x\":1}"},
     {"id":"fc_chatcmpl-7_2","type":"function_call","status":"completed","call_id":"c2","name":"f",
      "arguments":"{}","extra_content":{"google":{"thought_signature":"T"}}}],
    "usage":{"input_tokens":10,"input_tokens_details":{"cached_tokens":4,"cache_write_tokens":0},
      "output_tokens":5,"output_tokens_details":{"reasoning_tokens":2},"total_tokens":15},
    "service_tier":null,"background":false,"instructions":"be brief","max_output_tokens":9,
    "max_tool_calls":null,"metadata":{"k":"v"},"parallel_tool_calls":false,
    "previous_response_id":null,"prompt_cache_key":null,
    "reasoning":{"effort":"low","summary":null},"safety_identifier":null,"store":false,
    "temperature":0.5,"text":{"format":{"type":"text"},"verbosity":"low"},
    "tool_choice":"required","tools":[{"type":"function","name":"f",
      "parameters":{"type":"object"},"strict":true}],"top_logprobs":0,"top_p":null,
    "truncation":"disabled","user":"u"})")
                             .dump());
}

struct EndingCase {
  FinishReason finish;
  const char* status;
  Json details;
};

TEST(OpenAiResponsesRenderTest, WhatWasCutIsIncomplete) {
  const EndingCase cases[] = {
      {FinishReason::kStop, "completed", nullptr},
      {FinishReason::kStopSequence, "completed", nullptr},
      {FinishReason::kToolCalls, "completed", nullptr},
      {FinishReason::kPause, "completed", nullptr},
      {FinishReason::kLength, "incomplete", {{"reason", "max_output_tokens"}}},
      {FinishReason::kContentFilter, "incomplete", {{"reason", "content_filter"}}},
      {FinishReason::kRefusal, "incomplete", {{"reason", "content_filter"}}},
  };
  const Conversation conversation = NewConversation("");
  for (const EndingCase& c : cases) {
    const Json json = Json::parse(
        RenderWhole({Piece(Kind::kText, 0, "a"), Finish(c.finish)}, {conversation, "id-1", kNow}));
    EXPECT_EQ(json["status"], c.status);
    EXPECT_EQ(json["incomplete_details"], c.details);
    EXPECT_EQ(json["output"][0]["status"], c.status);
    EXPECT_EQ(json["id"], "resp_id-1");
    EXPECT_EQ(json["created_at"], kNow);
    EXPECT_TRUE(json["usage"].is_null());
  }
}

// What a client sends back of an answer is what the model gave.
TEST(OpenAiResponsesRenderTest, OutputSentBackIsTheSameAnswerAgain) {
  const Conversation conversation = NewConversation("");
  for (const StreamCase& c : Cases()) {
    SCOPED_TRACE(c.name);
    AnswerBuilder builder;
    for (const Delta& delta : c.deltas) builder.Add(delta);
    const std::vector<Part>& given = builder.answer().choices.front().parts;
    Json output = Json::parse(RenderWhole(c.deltas, {conversation, "i", kNow}))["output"];
    output.push_back({{"role", "user"}, {"content", "go on"}});
    const Json request = {{"model", "m"}, {"input", output}};
    const auto parsed = OpenAiResponsesClient().ParseRequest(request.dump());
    ASSERT_TRUE(std::holds_alternative<Conversation>(parsed));
    const Conversation& again = std::get<Conversation>(parsed);
    if (output.size() == 1) continue;
    const std::vector<Part>& parts = again.messages.front().parts;
    ASSERT_EQ(parts.size(), given.size());
    for (size_t i = 0; i < parts.size(); ++i) {
      EXPECT_EQ(parts[i].kind, given[i].kind);
      EXPECT_EQ(parts[i].text, given[i].text);
      EXPECT_EQ(parts[i].name, given[i].name);
      EXPECT_EQ(parts[i].signature, given[i].signature);
      EXPECT_EQ(parts[i].is_redacted, given[i].is_redacted);
      if (!given[i].id.empty()) {
        EXPECT_EQ(parts[i].id, given[i].id);
      }
    }
  }
}

}  // namespace
}  // namespace gateway
