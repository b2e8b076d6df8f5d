#include "gateway/dialects/anthropic_messages.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <variant>
#include <vector>

#include "gateway/dialects/openai_chat.h"
#include "gateway/dialects/translated_stream.h"
#include "tests/support/parsed_request.h"
#include "tests/support/read_stream.h"
#include "tests/support/split_feed.h"

namespace gateway {
namespace {

using candor_test::StreamResult;
using Value = nlohmann::json;  // without order, for comparisons

constexpr int kRounds = 300;

Conversation Parsed(const Value& request) {
  return candor_test::Parsed(AnthropicMessagesClient(), request);
}

AnthropicBody Built(const Conversation& conversation, std::string_view model = "claude-opus-5") {
  return candor_test::Expect(BuildAnthropicMessages(model, conversation));
}

Conversation ParsedChat(const std::string& request) {
  return candor_test::Expect(OpenAiChatClient().ParseRequest(request));
}

// Requests and answers in the form in which they are built, chosen by a seeded generator.
class Generator {
 public:
  explicit Generator(uint32_t seed) : random_(seed) {}

  Value Request() {
    Value request = {
        {"model", "claude-opus-5"}, {"max_tokens", 1 + Number(9000)}, {"messages", Value::array()}};
    if (Chance()) request["system"] = {TextBlock(), TextBlock()};
    for (int turns = Number(2); turns >= 0; --turns) AddTurn(request["messages"]);
    request["messages"].push_back({{"role", "user"}, {"content", {TextBlock(), Media()}}});
    if (Chance()) AddTools(request);
    if (Chance()) AddOutput(request);
    if (Chance()) AddSampling(request);
    if (Chance()) request["stream"] = true;
    return request;
  }

  Value WholeAnswer() {
    Value content = Value::array();
    if (Chance()) content.push_back(Thinking());
    if (Chance()) content.push_back({{"type", "redacted_thinking"}, {"data", "QUJD"}});
    content.push_back(TextBlock());
    std::string reason = Chance() ? "end_turn" : "max_tokens";
    Value sequence = nullptr;
    if (Chance()) {
      content.push_back(Call("toolu_1"));
      content.push_back(Call("toolu_2"));
      reason = "tool_use";
    } else if (Chance()) {
      reason = "stop_sequence";
      sequence = "END";
    }
    Value usage = {{"input_tokens", Number(100)},
                   {"cache_creation_input_tokens", Number(100)},
                   {"cache_read_input_tokens", Number(100)},
                   {"output_tokens", 1 + Number(100)}};
    if (Chance()) usage["output_tokens_details"] = {{"thinking_tokens", 1 + Number(10)}};
    return {{"id", "msg_1"},
            {"type", "message"},
            {"role", "assistant"},
            {"model", "claude-opus-5"},
            {"content", content},
            {"stop_reason", reason},
            {"stop_sequence", sequence},
            {"usage", usage}};
  }

 private:
  bool Chance() { return Number(1) == 0; }
  int Number(int most) { return static_cast<int>(random_() % (static_cast<uint32_t>(most) + 1)); }
  std::string Text() {
    static const std::vector<std::string> kTexts = {
        "hello",   "two\nlines", "\"quoted\" \\ back", "\u00fcml\u00e4ut \u65e5\u672c",
        "data: x", " padded "};
    return kTexts[random_() % kTexts.size()];
  }

  Value TextBlock() { return {{"type", "text"}, {"text", Text()}}; }
  Value Thinking() {
    return {{"type", "thinking"}, {"thinking", Text()}, {"signature", "c2lnbmVk"}};
  }
  Value Call(const char* id) {
    return {{"type", "tool_use"},
            {"id", id},
            {"name", "look_up"},
            {"input", Chance() ? Value({{"a", {1, "x"}}}) : Value::object()}};
  }
  Value Result(const char* id) {
    Value result = {{"type", "tool_result"}, {"tool_use_id", id}};
    if (Chance()) result["content"] = {TextBlock(), Media()};
    if (Chance()) result["is_error"] = true;
    return result;
  }

  Value Media() {
    const Value base64 = {{"type", "base64"}, {"media_type", "image/png"}, {"data", "QUJD"}};
    const Value pdf = {{"type", "base64"}, {"media_type", "application/pdf"}, {"data", "QUJD"}};
    const Value url = {{"type", "url"}, {"url", "https://example.com/a"}};
    switch (Number(3)) {
      case 0:
        return {{"type", "image"}, {"source", base64}};
      case 1:
        return {{"type", "image"}, {"source", url}};
      case 2:
        return {{"type", "document"}, {"source", pdf}, {"title", "a.pdf"}};
      default:
        return {{"type", "document"}, {"source", url}};
    }
  }

  void AddTurn(Value& messages) {
    messages.push_back({{"role", "user"}, {"content", {TextBlock(), Media()}}});
    if (Chance()) {
      messages.push_back({{"role", "assistant"}, {"content", {TextBlock()}}});
      return;
    }
    messages.push_back({{"role", "assistant"},
                        {"content",
                         {Thinking(),
                          {{"type", "redacted_thinking"}, {"data", "QUJD"}},
                          TextBlock(),
                          Call("toolu_1"),
                          Call("toolu_2")}}});
    messages.push_back(
        {{"role", "user"}, {"content", {Result("toolu_1"), Result("toolu_2"), TextBlock()}}});
    messages.push_back({{"role", "assistant"}, {"content", {TextBlock()}}});
  }

  void AddTools(Value& request) {
    Value tool = {{"name", "look_up"},
                  {"description", Text()},
                  {"input_schema", {{"type", "object"}, {"properties", Value::object()}}}};
    if (Chance()) tool["strict"] = true;
    request["tools"] = {tool};
    std::vector<Value> choices = {
        {{"type", "auto"}}, {{"type", "any"}}, {{"type", "tool"}, {"name", "look_up"}}};
    Value choice = choices[random_() % choices.size()];
    if (Chance()) choice["disable_parallel_tool_use"] = true;
    if (Chance()) choice = {{"type", "none"}};
    if (Chance()) request["tool_choice"] = choice;
  }

  void AddOutput(Value& request) {
    const bool may_think = !request.contains("tool_choice");
    if (may_think && Chance()) {
      request["thinking"] = {{"type", "enabled"}, {"budget_tokens", 1024 + Number(1000)}};
    } else if (may_think) {
      request["thinking"] = {{"type", "adaptive"}};
      request["output_config"]["effort"] = Chance() ? "low" : "xhigh";
    } else {
      request["thinking"] = {{"type", "disabled"}};
    }
    if (Chance()) {
      request["output_config"]["format"] = {{"type", "json_schema"},
                                            {"schema", {{"type", "object"}}}};
    }
  }

  void AddSampling(Value& request) {
    const bool may_sample =
        !request.contains("thinking") || request["thinking"]["type"] == "disabled";
    if (may_sample) request["temperature"] = 0.5;
    if (may_sample) request["top_k"] = Number(100);
    request["top_p"] = may_sample ? 0.25 : 0.95;
    request["stop_sequences"] = {"a", "b"};
    request["metadata"] = {{"user_id", "u-1"}};
    request["service_tier"] = Chance() ? "auto" : "standard_only";
  }

  std::mt19937 random_;
};

RenderContext ContextOf(const Conversation& conversation) { return {conversation, "0001", 1}; }

Answer Read(const Value& answer) {
  const std::string body = answer.dump();
  auto read = ReadAnthropicMessage({200, Headers(), body, common::WallTime()});
  if (const auto* failure = std::get_if<Failure>(&read)) {
    ADD_FAILURE() << failure->message << " in " << body;
    return {};
  }
  return std::get<Answer>(std::move(read));
}

Delta MakeDelta(Delta::Kind kind, int part, std::string text = {}) {
  Delta delta;
  delta.kind = kind;
  delta.part = part;
  delta.text = std::move(text);
  return delta;
}

Delta CallDelta(int part, std::string id, std::string arguments = {}) {
  Delta delta = MakeDelta(Delta::Kind::kToolCall, part, std::move(arguments));
  delta.id = std::move(id);
  delta.name = "look_up";
  return delta;
}

std::string Rendered(const std::vector<Delta>& deltas) {
  const Conversation conversation;
  const auto renderer = AnthropicMessagesClient().NewStreamRenderer(ContextOf(conversation));
  std::string out;
  for (const Delta& delta : deltas) renderer->Render(delta, out);
  renderer->RenderEnd(out);
  return out;
}

// An answer as deltas; texts come in pieces, but no character is cut.
std::vector<Delta> DeltasOf(const Answer& answer) {
  std::vector<Delta> deltas;
  Delta& start = deltas.emplace_back();
  start.kind = Delta::Kind::kStart;
  start.id = answer.id;
  start.model = answer.model;
  int number = 0;
  for (const Part& part : answer.choices[0].parts) {
    auto kind = Delta::Kind::kText;
    if (part.kind == Part::Kind::kReasoning) kind = Delta::Kind::kReasoning;
    if (part.kind == Part::Kind::kToolCall) {
      deltas.push_back(CallDelta(number, part.id));
      kind = Delta::Kind::kToolArguments;
    }
    std::string piece;
    for (const char c : part.text) {
      piece += c;
      if (static_cast<unsigned char>(c) >= 0x80) continue;
      deltas.push_back(MakeDelta(kind, number, std::exchange(piece, {})));
    }
    if (!piece.empty()) deltas.push_back(MakeDelta(kind, number, piece));
    if (!part.signature.empty()) {
      deltas.push_back(MakeDelta(Delta::Kind::kSignature, number, part.signature));
      deltas.back().is_redacted = part.is_redacted;
    }
    ++number;
  }
  Delta& finish = deltas.emplace_back();
  finish.kind = Delta::Kind::kFinish;
  finish.finish = answer.choices[0].finish;
  finish.stop_sequence = answer.choices[0].stop_sequence;
  Delta& usage = deltas.emplace_back();
  usage.kind = Delta::Kind::kUsage;
  usage.usage = answer.usage;
  return deltas;
}

struct Event {
  std::string name;
  Value data;
};

std::vector<Event> EventsOf(std::string_view stream) {
  SseReader reader(1 << 20);
  reader.Feed(stream);
  std::vector<Event> events;
  while (const auto event = reader.Next()) {
    events.push_back({std::string(event->name), Value::parse(event->data)});
  }
  return events;
}

// What an SDK makes of the events, with the rules that they keep to: a message first, blocks one
// after the other, a stop reason, the end.
Value Accumulated(std::string_view stream) {
  Value message;
  std::vector<std::string> inputs;
  bool is_open = false;
  bool is_over = false;
  for (const Event& event : EventsOf(stream)) {
    const Value& data = event.data;
    EXPECT_EQ(data["type"], event.name);
    EXPECT_FALSE(is_over);
    if (event.name == "message_start") {
      EXPECT_TRUE(message.is_null());
      message = data["message"];
    } else if (event.name == "content_block_start") {
      EXPECT_FALSE(std::exchange(is_open, true));
      EXPECT_EQ(data["index"], message["content"].size());
      message["content"].push_back(data["content_block"]);
      inputs.emplace_back();
    } else if (event.name == "content_block_delta") {
      EXPECT_TRUE(is_open);
      EXPECT_EQ(data["index"], message["content"].size() - 1);
      Value& block = message["content"].back();
      const Value& delta = data["delta"];
      if (delta["type"] == "text_delta") {
        block["text"] = block["text"].get<std::string>() + delta["text"].get<std::string>();
      } else if (delta["type"] == "thinking_delta") {
        block["thinking"] =
            block["thinking"].get<std::string>() + delta["thinking"].get<std::string>();
      } else if (delta["type"] == "signature_delta") {
        block["signature"] = delta["signature"];
      } else {
        inputs.back() += delta["partial_json"].get<std::string>();
      }
    } else if (event.name == "content_block_stop") {
      EXPECT_TRUE(std::exchange(is_open, false));
      if (!inputs.back().empty()) message["content"].back()["input"] = Value::parse(inputs.back());
    } else if (event.name == "message_delta") {
      EXPECT_FALSE(is_open);
      message["stop_reason"] = data["delta"]["stop_reason"];
      message["stop_sequence"] = data["delta"]["stop_sequence"];
      message["usage"] = data["usage"];
    } else {
      EXPECT_EQ(event.name, "message_stop");
      EXPECT_FALSE(message["stop_reason"].is_null());
      is_over = true;
    }
  }
  EXPECT_TRUE(is_over) << stream;
  return message;
}

StreamResult Translated(const std::vector<std::string_view>& pieces) {
  const Conversation conversation;
  TranslatedStream stream(std::make_unique<AnthropicDeltaParser>(),
                          OpenAiChatClient().NewStreamRenderer(ContextOf(conversation)));
  return candor_test::ReadStream(stream, pieces);
}

TEST(AnthropicMessagesTest, RequestsComeBackUnchanged) {
  for (uint32_t seed = 0; seed < kRounds; ++seed) {
    const Value request = Generator(seed).Request();
    const Conversation conversation = Parsed(request);
    const AnthropicBody built = Built(conversation);
    EXPECT_EQ(Value::parse(built.body), request) << "seed " << seed;
    EXPECT_TRUE(conversation.dropped.empty() && built.dropped.empty()) << "seed " << seed;
  }
}

TEST(AnthropicMessagesTest, AnswersComeBackUnchanged) {
  for (uint32_t seed = 0; seed < kRounds; ++seed) {
    const Value answer = Generator(seed).WholeAnswer();
    const Conversation conversation;
    EXPECT_EQ(
        Value::parse(AnthropicMessagesClient().RenderAnswer(Read(answer), ContextOf(conversation))),
        answer)
        << "seed " << seed;
  }
}

TEST(AnthropicMessagesTest, AStreamAmountsToTheWholeAnswer) {
  for (uint32_t seed = 0; seed < kRounds; ++seed) {
    SCOPED_TRACE(seed);
    const Value whole = Generator(seed).WholeAnswer();
    const std::string stream = Rendered(DeltasOf(Read(whole)));
    EXPECT_EQ(Accumulated(stream), whole);
    AnthropicDeltaParser parser;
    SseReader events(1 << 20);
    AnswerBuilder builder;
    events.Feed(stream);
    bool is_complete = false;
    while (const auto event = events.Next()) {
      std::vector<Delta> deltas;
      const EventVerdict verdict = parser.Take(*event, deltas);
      EXPECT_NE(verdict.kind, EventVerdict::Kind::kError) << event->data;
      for (const Delta& delta : deltas) builder.Add(delta);
      is_complete = verdict.kind == EventVerdict::Kind::kComplete;
    }
    EXPECT_TRUE(is_complete);
    const Conversation conversation;
    EXPECT_EQ(Value::parse(AnthropicMessagesClient().RenderAnswer(builder.answer(),
                                                                  ContextOf(conversation))),
              whole);
  }
}

TEST(AnthropicMessagesTest, HoweverAStreamIsCutTheClientGetsTheSame) {
  for (uint32_t seed = 0; seed < 2; ++seed) {
    const std::string stream = Rendered(DeltasOf(Read(Generator(seed).WholeAnswer())));
    const StreamResult whole = Translated({stream});
    EXPECT_TRUE(whole.is_complete);
    EXPECT_GT(whole.tokens, 0);
    candor_test::ForEverySplit(stream, [&](const std::vector<std::string_view>& pieces) {
      ASSERT_TRUE(Translated(pieces) == whole) << "seed " << seed;
    });
  }
}

TEST(AnthropicMessagesTest, AStreamThatEndsAnywhereBeforeItsMarkerIsAFailure) {
  const std::string stream = Rendered(DeltasOf(Read(Generator(1).WholeAnswer())));
  const size_t marker = stream.rfind("data: {");
  for (size_t cut = 0; cut < stream.size() - 3; ++cut) {
    const StreamResult result = Translated({std::string_view(stream).substr(0, cut)});
    ASSERT_TRUE(result.failure.has_value()) << cut << " of " << marker;
    ASSERT_FALSE(result.is_complete) << cut;
    ASSERT_EQ(result.client_bytes.find("[DONE]"), std::string::npos) << cut;
  }
}

TEST(AnthropicMessagesTest, AnErrorAtAnyPlaceOfAStreamIsThatError) {
  const std::string stream = Rendered(DeltasOf(Read(Generator(1).WholeAnswer())));
  const std::string errors[] = {
      "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\","
      "\"message\":\"Overloaded\"}}\n\n",
      "data: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"x\"}}\n\n"};
  for (const std::string& error : errors) {
    for (size_t at = 0; at < stream.rfind("event: message_stop");
         at = stream.find("\n\n", at) + 2) {
      const StreamResult result = Translated({stream.substr(0, at) + error + stream.substr(at)});
      ASSERT_EQ(result.kind(), FailureKind::kOverloaded) << at;
      ASSERT_EQ(result.client_bytes.find("[DONE]"), std::string::npos) << at;
    }
  }
}

TEST(AnthropicMessagesTest, AStreamWithoutAnyOutputIsNoAnswer) {
  const std::string start =
      "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\","
      "\"content\":[],\"usage\":{\"input_tokens\":5,\"output_tokens\":0}}}\n\n";
  const std::string end = "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
  const auto stop = [](const char* reason, int tokens) {
    return std::string(
               "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{"
               "\"stop_reason\":\"") +
           reason + "\"},\"usage\":{\"output_tokens\":" + std::to_string(tokens) + "}}\n\n";
  };
  EXPECT_EQ(Translated({start + end}).kind(), FailureKind::kUpstreamMalformed);
  EXPECT_EQ(Translated({start + stop("end_turn", 0) + end}).kind(),
            FailureKind::kUpstreamMalformed);
  EXPECT_TRUE(Translated({start + stop("end_turn", 2) + end}).is_complete);
  EXPECT_TRUE(Translated({start + stop("max_tokens", 0) + end}).is_complete);
}

TEST(AnthropicMessagesTest, ParallelCallsThatInterleaveBecomeBlocksInARow) {
  using enum Delta::Kind;
  const Value message = Accumulated(Rendered(
      {MakeDelta(kText, 0, "hm"), CallDelta(1, "a"), CallDelta(2, "b"),
       MakeDelta(kToolArguments, 2, R"({"of":)"), MakeDelta(kToolArguments, 1, R"({"of":"}{)"),
       MakeDelta(kToolArguments, 2, R"("b"})"), CallDelta(3, "c"),
       MakeDelta(kToolArguments, 1, R"(\""})"), MakeDelta(kToolArguments, 3, "{}")}));
  EXPECT_EQ(message["content"], Value::parse(R"([{"type":"text","text":"hm"},
                {"type":"tool_use","id":"a","name":"look_up","input":{"of":"}{\""}},
                {"type":"tool_use","id":"b","name":"look_up","input":{"of":"b"}},
                {"type":"tool_use","id":"c","name":"look_up","input":{}}])"));
  EXPECT_EQ(message["stop_reason"], "tool_use");
}

TEST(AnthropicMessagesTest, ACallWhoseArgumentsAreCompleteEndsWithTheNextOne) {
  const Conversation conversation;
  const auto renderer = AnthropicMessagesClient().NewStreamRenderer(ContextOf(conversation));
  std::string out;
  renderer->Render(CallDelta(0, "a", "{}"), out);
  renderer->Render(CallDelta(1, "b"), out);
  EXPECT_NE(out.find("content_block_stop"), std::string::npos) << out;
}

Delta FinishDelta(FinishReason finish) {
  Delta delta = MakeDelta(Delta::Kind::kFinish, 0);
  delta.finish = finish;
  return delta;
}

TEST(AnthropicMessagesTest, HalfOfACallNeverLooksLikeAllOfIt) {
  using enum Delta::Kind;
  const std::string large(2 * 1024 * 1024, 'x');
  std::vector<Delta> many = {CallDelta(0, "a", "{")};
  for (int part = 1; part < 200; ++part) many.push_back(CallDelta(part, "b", "{}"));
  struct Case {
    const char* name;
    std::vector<Delta> deltas;
  };
  const Case cases[] = {
      {"more than a megabyte waits behind an open call",
       {CallDelta(0, "a", R"({"of":)"), CallDelta(1, "b", R"({"of":")"),
        MakeDelta(kToolArguments, 1, large), MakeDelta(kToolArguments, 0, R"("a"})"),
        MakeDelta(kToolArguments, 1, R"("})"), FinishDelta(FinishReason::kToolCalls)}},
      {"too many calls wait behind an open one", many},
      {"the first of two calls is never complete",
       {CallDelta(0, "a", R"({"of":)"), CallDelta(1, "b", "{}"),
        FinishDelta(FinishReason::kToolCalls)}},
      {"the last of two calls is never complete",
       {CallDelta(0, "a", "{}"), CallDelta(1, "b", R"({"of":)"), FinishDelta(FinishReason::kStop)}},
      {"the only call is never complete", {CallDelta(0, "a", R"({"of":"})")}},
      {"the first of two calls was cut off, which only the last can be",
       {CallDelta(0, "a", R"({"of":)"), CallDelta(1, "b", R"({"of":)"),
        FinishDelta(FinishReason::kLength)}},
      {"a call goes on after its end",
       {CallDelta(0, "a", "{}"), CallDelta(1, "b", "{}"), MakeDelta(kToolArguments, 0, "{}")}},
      {"more than a megabyte that is no object",
       {CallDelta(0, "a", "["), MakeDelta(kToolArguments, 0, large)}},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    const Conversation conversation;
    const auto renderer = AnthropicMessagesClient().NewStreamRenderer(ContextOf(conversation));
    std::string out;
    for (const Delta& delta : c.deltas) renderer->Render(delta, out);
    renderer->RenderEnd(out);
    ASSERT_TRUE(renderer->failure());
    EXPECT_EQ(renderer->failure()->kind, FailureKind::kUpstreamMalformed);
    EXPECT_EQ(out.find("message_stop"), std::string::npos);
    EXPECT_EQ(out.find("message_delta"), std::string::npos);
  }
}

// The whole way from OpenAI's stream to a client of Anthropic's API.
TEST(AnthropicMessagesTest, AStreamWithHalfACallFailsInTheStream) {
  const auto chunk = [](std::string_view delta, std::string_view finish) {
    return std::string("data: {\"choices\":[{\"index\":0,\"delta\":") + std::string(delta) +
           ",\"finish_reason\":" + std::string(finish) + "}]}\n\n";
  };
  const std::string stream =
      chunk(R"({"content":"hm"})", "null") +
      chunk(R"({"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{\"x\":"}},)"
            R"({"index":1,"id":"b","function":{"name":"f","arguments":"{}"}}]})",
            "null") +
      chunk("{}", R"("tool_calls")") + "data: [DONE]\n\n";
  const Conversation conversation;
  TranslatedStream reader(std::make_unique<OpenAiChatDeltaParser>(),
                          AnthropicMessagesClient().NewStreamRenderer(ContextOf(conversation)));
  const StreamResult result = candor_test::ReadStream(reader, {stream});
  EXPECT_TRUE(result.is_committed && !result.is_complete && result.is_sound);
  EXPECT_EQ(result.kind(), FailureKind::kUpstreamMalformed);
  EXPECT_EQ(result.client_bytes.find("message_stop"), std::string::npos) << result.client_bytes;
}

TEST(AnthropicMessagesTest, ACallThatTheLimitCutsOffEndsAsAtAnthropic) {
  const Value message = Accumulated(
      Rendered({CallDelta(0, "a", "{}"), CallDelta(1, "b"), FinishDelta(FinishReason::kLength)}));
  EXPECT_EQ(message["stop_reason"], "max_tokens");
  EXPECT_EQ(message["content"].size(), 2U);
  const std::string stream =
      Rendered({CallDelta(0, "a", R"({"of":)"), FinishDelta(FinishReason::kLength)});
  EXPECT_NE(stream.find(R"("partial_json":"{\"of\":")"), std::string::npos) << stream;
  EXPECT_NE(stream.find("message_stop"), std::string::npos) << stream;
}

TEST(AnthropicMessagesTest, ArgumentsThatAreNoObjectAreAMemberOfOneInAStreamToo) {
  using enum Delta::Kind;
  const Value message = Accumulated(
      Rendered({CallDelta(0, "a", " [1,"), CallDelta(1, "b", "{}"),
                MakeDelta(kToolArguments, 0, "2]"), FinishDelta(FinishReason::kToolCalls)}));
  EXPECT_EQ(message["content"][0]["input"], Value({{"arguments", " [1,2]"}}));
  EXPECT_EQ(message["content"][1]["input"], Value::object());
}

TEST(AnthropicMessagesTest, AWholeAnswerLeavesOutACallThatTheLimitCutOff) {
  struct Case {
    const char* name;
    FinishReason finish;
    const char* arguments;
    size_t blocks;
  };
  const Case cases[] = {
      {"cut off", FinishReason::kLength, R"({"of":)", 1},
      {"cut off before it began", FinishReason::kLength, "", 1},
      {"whole", FinishReason::kLength, R"({"of":1})", 2},
      {"filtered", FinishReason::kContentFilter, R"({"of":)", 1},
      {"no arguments", FinishReason::kToolCalls, "", 2},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    Answer answer;
    Choice& choice = answer.choices.emplace_back();
    choice.finish = c.finish;
    choice.parts.resize(2);
    choice.parts[0].text = "hm";
    choice.parts[1].kind = Part::Kind::kToolCall;
    choice.parts[1].text = c.arguments;
    const Conversation conversation;
    const Value message =
        Value::parse(AnthropicMessagesClient().RenderAnswer(answer, ContextOf(conversation)));
    EXPECT_EQ(message["content"].size(), c.blocks) << message;
  }
}

TEST(AnthropicMessagesTest, ASignatureOfACallStandsInItsStart) {
  using enum Delta::Kind;
  const Value message =
      Accumulated(Rendered({CallDelta(0, "a", R"({"x":1})"), MakeDelta(kSignature, 0, "proof")}));
  const Value want = Value::parse(
      R"([{"type":"tool_use","id":"a","name":"look_up","input":{"x":1},
           "extra_content":{"google":{"thought_signature":"proof"}}}])");
  EXPECT_EQ(message["content"], want);
  const Conversation parsed = Parsed(
      {{"max_tokens", 1},
       {"messages",
        {{{"role", "assistant"}, {"content", want}}, {{"role", "user"}, {"content", "x"}}}}});
  EXPECT_EQ(parsed.messages[0].parts[0].signature, "proof");
}

TEST(AnthropicMessagesTest, OddAnswersOfOtherProvidersBecomeMessages) {
  Answer answer;
  Choice& choice = answer.choices.emplace_back();
  Part call;
  call.kind = Part::Kind::kToolCall;
  call.id = "a";
  call.name = "f";
  call.text = R"({"cut of)";
  choice.parts = {call};
  answer.usage.input_tokens = 3;
  answer.usage.cached_input_tokens = 5;
  Conversation conversation;
  conversation.model = "smart";
  const Value message =
      Value::parse(AnthropicMessagesClient().RenderAnswer(answer, ContextOf(conversation)));
  EXPECT_EQ(message["id"], "msg_0001");
  EXPECT_EQ(message["model"], "smart");
  EXPECT_EQ(message["stop_reason"], "tool_use");
  EXPECT_EQ(message["usage"]["input_tokens"], 0);
  EXPECT_EQ(message["content"][0]["input"], Value({{"arguments", R"({"cut of)"}}));
}

TEST(AnthropicMessagesTest, BlocksThatNoClientCanBeGivenFailTheAnswer) {
  const Value answer = {{"type", "message"},
                        {"role", "assistant"},
                        {"content",
                         {{{"type", "text"}, {"text", "hm"}, {"citations", {{{"type", "x"}}}}},
                          {{"type", "server_tool_use"}, {"id", "a"}, {"name", "web_search"}}}},
                        {"stop_reason", "end_turn"},
                        {"usage", {{"input_tokens", 1}, {"output_tokens", 1}}}};
  const std::string body = answer.dump();
  const Headers headers;
  const auto read = ReadAnthropicMessage({200, headers, body, {}});
  ASSERT_TRUE(std::holds_alternative<Failure>(read));
  EXPECT_EQ(std::get<Failure>(read).kind, FailureKind::kUpstreamMalformed);
  EXPECT_FALSE(IsRetryable(std::get<Failure>(read)));
  const std::string start =
      "data: {\"type\":\"message_start\",\"message\":{}}\n\n"
      "data: {\"type\":\"content_block_start\",\"index\":0,"
      "\"content_block\":{\"type\":\"text\",\"text\":\"hm\"}}\n\n";
  const auto delta = [](const char* json) {
    return std::string("data: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":") + json +
           "}\n\n";
  };
  const std::string end =
      "data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"}}\n\n"
      "data: {\"type\":\"message_stop\"}\n\n";
  EXPECT_TRUE(
      Translated({start + delta(R"({"type":"citations_delta","citation":{}})") + end}).is_complete);
  EXPECT_EQ(Translated({start + delta(R"({"type":"smell_delta","smell":"roses"})") + end}).kind(),
            FailureKind::kUpstreamMalformed);
  EXPECT_EQ(Translated({start +
                        "data: {\"type\":\"content_block_start\",\"index\":1,"
                        "\"content_block\":{\"type\":\"server_tool_use\"}}\n\n" +
                        end})
                .kind(),
            FailureKind::kUpstreamMalformed);
}

TEST(AnthropicMessagesTest, NumbersOfAnySizeAreKeptAsTheyWereWritten) {
  const std::string input = R"({"n":-123456789012345678901234567890,"m":18446744073709551615})";
  auto parsed = AnthropicMessagesClient().ParseRequest(
      R"({"max_tokens":1,"messages":[{"role":"assistant","content":[
          {"type":"tool_use","id":"a","name":"f","input":)" +
      input + R"(}]},{"role":"user","content":"x"}]})");
  const Conversation& conversation = std::get<Conversation>(parsed);
  EXPECT_EQ(conversation.messages[0].parts[0].text, input);
  EXPECT_NE(Built(conversation).body.find(input), std::string::npos);
}

TEST(AnthropicMessagesTest, FinishReasonsBecomeStopReasons) {
  struct Case {
    FinishReason finish;
    const char* want;
  };
  const Case cases[] = {
      {FinishReason::kStop, "end_turn"},         {FinishReason::kStopSequence, "stop_sequence"},
      {FinishReason::kLength, "max_tokens"},     {FinishReason::kToolCalls, "tool_use"},
      {FinishReason::kContentFilter, "refusal"}, {FinishReason::kRefusal, "refusal"},
      {FinishReason::kPause, "pause_turn"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.want);
    Delta finish = MakeDelta(Delta::Kind::kFinish, 0);
    finish.finish = c.finish;
    EXPECT_EQ(Accumulated(Rendered({MakeDelta(Delta::Kind::kText, 0, "x"), finish}))["stop_reason"],
              c.want);
  }
  EXPECT_EQ(Accumulated(Rendered({MakeDelta(Delta::Kind::kRefusal, 0, "no")}))["stop_reason"],
            "refusal");
}

TEST(AnthropicMessagesTest, WhatCannotBeTranslatedIsRefusedByItsName) {
  struct Case {
    const char* name;
    const char* fields;
    const char* param;
  };
  const Case cases[] = {
      {"unknown field", R"("shape_of_things":1)", "shape_of_things"},
      {"search", R"("tools":[{"type":"web_search_20250305","name":"web_search"}])",
       "tools[0].type"},
      {"no schema", R"("tools":[{"name":"f"}])", "tools[0].input_schema"},
      {"container", R"("container":"c")", "container"},
      {"servers", R"("mcp_servers":[{"url":"u"}])", "mcp_servers"},
      {"region", R"("inference_geo":"eu")", "inference_geo"},
      {"temperature", R"("temperature":1.5)", "temperature"},
      {"effort", R"("output_config":{"effort":"banana"})", "output_config.effort"},
      {"budget", R"("thinking":{"type":"enabled","budget_tokens":5})", "thinking.budget_tokens"},
      {"no budget", R"("thinking":{"type":"enabled"})", "thinking.budget_tokens"},
      {"thinking", R"("thinking":{"type":"hard"})", "thinking.type"},
      {"choice", R"("tool_choice":{"type":"function"})", "tool_choice.type"},
      {"format", R"("output_config":{"format":{"type":"xml","schema":{}}})",
       "output_config.format.type"},
      {"system image",
       R"("system":[{"type":"image","source":{"type":"url","url":"https://example.com/a"}}])",
       "system"},
      {"stop", R"("stop_sequences":[1])", "stop_sequences"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    const auto result = AnthropicMessagesClient().ParseRequest(
        std::string(R"({"max_tokens":1,"messages":[{"role":"user","content":"x"}],)") + c.fields +
        "}");
    ASSERT_TRUE(std::holds_alternative<Failure>(result));
    const Failure& failure = std::get<Failure>(result);
    EXPECT_EQ(failure.kind, FailureKind::kBadRequest);
    EXPECT_EQ(failure.param, Value(c.param).dump()) << failure.message;
    EXPECT_NE(failure.message.find(c.param), std::string::npos) << failure.message;
  }
}

TEST(AnthropicMessagesTest, MessagesThatCannotBeTranslatedAreRefusedByTheirPlace) {
  struct Case {
    const char* name;
    const char* message;
    const char* param;
  };
  const Case cases[] = {
      {"role", R"({"role":"boss","content":"x"})", "messages[0].role"},
      {"mood", R"({"role":"user","content":"x","mood":"good"})", "messages[0].mood"},
      {"block", R"({"role":"user","content":[{"type":"search_result"}]})",
       "messages[0].content[0].type"},
      {"file",
       R"({"role":"user","content":[{"type":"image","source":{"type":"file","file_id":"f"}}]})",
       "messages[0].content[0].source.type"},
      {"citations",
       R"({"role":"user","content":[{"type":"document","citations":{"enabled":true},
           "source":{"type":"url","url":"u"}}]})",
       "messages[0].content[0].citations.enabled"},
      {"document that is none",
       R"({"role":"user","content":[{"type":"document","source":{"type":"base64",
           "media_type":"image/png","data":"QUJD"}}]})",
       "messages[0].content[0].source.media_type"},
      {"a user's call",
       R"({"role":"user","content":[{"type":"tool_use","id":"a","name":"f","input":{}}]})",
       "messages[0].content"},
      {"an assistant's result",
       R"({"role":"assistant","content":[{"type":"tool_result","tool_use_id":"a"}]})",
       "messages[0].content"},
      {"prefill", R"({"role":"assistant","content":"The answer is"})", "messages"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    const auto result = AnthropicMessagesClient().ParseRequest(
        std::string(R"({"max_tokens":1,"messages":[)") + c.message + "]}");
    ASSERT_TRUE(std::holds_alternative<Failure>(result));
    EXPECT_EQ(std::get<Failure>(result).param, Value(c.param).dump())
        << std::get<Failure>(result).message;
  }
}

TEST(AnthropicMessagesTest, WhatIsDroppedIsNamed) {
  const Conversation conversation = Parsed(Value::parse(
      R"({"max_tokens":1,"system":[{"type":"text","text":"x","cache_control":{"type":"ephemeral"}}],
          "messages":[{"role":"user","content":"x"}],"speed":"fast",
          "thinking":{"type":"adaptive","display":"omitted"}})"));
  EXPECT_EQ(conversation.dropped,
            (std::vector<std::string>{"system[].cache_control", "thinking.display", "speed"}));
}

TEST(AnthropicMessagesTest, TextDocumentsAndSystemMessagesAreTextsInTheirPlace) {
  const Conversation conversation = Parsed(Value::parse(
      R"({"max_tokens":1,"system":"be brief","messages":[
          {"role":"user","content":[{"type":"document","title":"t","source":
            {"type":"text","media_type":"text/plain","data":"d"}}]},
          {"role":"system","content":"now in French"},
          {"role":"user","content":[{"type":"document","source":{"type":"content","content":"c"}}]}
          ]})"));
  ASSERT_EQ(conversation.messages.size(), 4U);
  EXPECT_EQ(conversation.messages[0].role, Role::kSystem);
  EXPECT_EQ(conversation.messages[1].parts[0].text, "t");
  EXPECT_EQ(conversation.messages[1].parts[1].text, "d");
  EXPECT_EQ(conversation.messages[2].role, Role::kSystem);
  EXPECT_EQ(conversation.messages[3].parts[0].text, "c");
}

TEST(AnthropicMessagesTest, ResultsKnowTheNameOfTheirCall) {
  const Conversation conversation = Parsed(Value::parse(
      R"({"max_tokens":1,"messages":[
          {"role":"assistant","content":[{"type":"tool_use","id":"a","name":"f","input":{}}]},
          {"role":"user","content":[{"type":"text","text":"also"},
            {"type":"tool_result","tool_use_id":"a","content":"r"}]}]})"));
  ASSERT_EQ(conversation.messages.size(), 3U);
  EXPECT_EQ(conversation.messages[1].role, Role::kTool);
  EXPECT_EQ(conversation.messages[1].parts[0].name, "f");
  EXPECT_EQ(conversation.messages[2].role, Role::kUser);
}

TEST(AnthropicMessagesTest, AChatBecomesTurnsThatAnthropicTakes) {
  const AnthropicBody built = Built(ParsedChat(R"({"model":"m","messages":[
      {"role":"system","content":"be brief"},
      {"role":"user","content":"a"},
      {"role":"user","content":[{"type":"text","text":"b"},
        {"type":"image_url","image_url":{"url":"data:image/png;base64,QUJD","detail":"low"}}]},
      {"role":"assistant","content":"","reasoning_content":"why","tool_calls":[
        {"id":"call.1","type":"function","function":{"name":"f","arguments":"{\"x\": 1}"}},
        {"id":"call_1","type":"function","function":{"name":"g","arguments":""}}]},
      {"role":"tool","tool_call_id":"call.1","content":"one"},
      {"role":"tool","tool_call_id":"call_1","content":"two"},
      {"role":"developer","content":"be kind"},
      {"role":"user","content":"and?","name":"anna"}]})"));
  const std::string id = AnthropicToolId("call.1");
  EXPECT_EQ(id.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_"), std::string::npos) << id;
  EXPECT_NE(id, AnthropicToolId("call:1"));
  EXPECT_EQ(AnthropicToolId("call_1"), "call_1");
  const Value body = Value::parse(built.body);
  EXPECT_EQ(body["system"], Value::parse(R"([{"type":"text","text":"be brief"},
                                            {"type":"text","text":"be kind"}])"));
  Value want = Value::parse(R"([
      {"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"},
        {"type":"image","source":{"type":"base64","media_type":"image/png","data":"QUJD"}}]},
      {"role":"assistant","content":[{"type":"tool_use","id":"","name":"f","input":{"x":1}},
        {"type":"tool_use","id":"call_1","name":"g","input":{}}]},
      {"role":"user","content":[
        {"type":"tool_result","tool_use_id":"","content":[{"type":"text","text":"one"}]},
        {"type":"tool_result","tool_use_id":"call_1","content":[{"type":"text","text":"two"}]},
        {"type":"text","text":"and?"}]}])");
  want[1]["content"][0]["id"] = want[2]["content"][0]["tool_use_id"] = id;
  EXPECT_EQ(body["messages"], want);
  EXPECT_EQ(built.dropped, (std::vector<std::string>{"detail", "reasoning", "name"}));
}

TEST(AnthropicMessagesTest, ResultsStandFirstInTheirTurn) {
  const Value body = Value::parse(Built(ParsedChat(R"({"messages":[
      {"role":"assistant","tool_calls":[{"id":"a","function":{"name":"f","arguments":"{}"}}]},
      {"role":"user","content":"also"},
      {"role":"tool","tool_call_id":"a","content":"one"}]})"))
                                      .body);
  EXPECT_EQ(body["messages"][1]["content"], Value::parse(R"([
      {"type":"tool_result","tool_use_id":"a","content":[{"type":"text","text":"one"}]},
      {"type":"text","text":"also"}])"));
}

TEST(AnthropicMessagesTest, InstructionsAloneAreTheUsersTurn) {
  const Value body = Value::parse(
      Built(ParsedChat(R"({"messages":[{"role":"system","content":"say hi"}]})")).body);
  EXPECT_FALSE(body.contains("system"));
  EXPECT_EQ(body["messages"],
            Value::parse(R"([{"role":"user","content":[{"type":"text","text":"say hi"}]}])"));
}

TEST(AnthropicMessagesTest, FieldsOfOpenAiAreTranslatedOrDroppedByName) {
  const AnthropicBody built = Built(ParsedChat(R"({"messages":[{"role":"user","content":"x"}],
      "temperature":0.5,"top_p":0.5,"stop":"END","seed":1,"frequency_penalty":1,
      "presence_penalty":0,"user":"u","metadata":{"a":"b"},"service_tier":"flex","verbosity":"low",
      "max_completion_tokens":7,"parallel_tool_calls":false,
      "tools":[{"type":"function","function":{"name":"f","strict":true}}],
      "response_format":{"type":"json_schema","json_schema":{"name":"n","description":"d",
        "schema":{"type":"object"}}}})"));
  EXPECT_EQ(Value::parse(built.body), Value::parse(R"({"model":"claude-opus-5","max_tokens":7,
      "messages":[{"role":"user","content":[{"type":"text","text":"x"}]}],
      "tools":[{"name":"f","input_schema":{"type":"object"},"strict":true}],
      "tool_choice":{"type":"auto","disable_parallel_tool_use":true},
      "output_config":{"format":{"type":"json_schema",
        "schema":{"type":"object","description":"d"}}},
      "stop_sequences":["END"],"temperature":0.5,"top_p":0.5,"metadata":{"user_id":"u"}})"));
  EXPECT_EQ(built.dropped, (std::vector<std::string>{"seed", "frequency_penalty", "metadata",
                                                     "verbosity", "service_tier"}));
}

TEST(AnthropicMessagesTest, WhatAnthropicCannotDoIsRefusedByItsName) {
  struct Case {
    const char* fields;
    const char* param;
  };
  const Case cases[] = {
      {R"("n":2)", "n"},
      {R"("logprobs":true)", "logprobs"},
      {R"("logit_bias":{"1":2})", "logit_bias"},
      {R"("temperature":1.5)", "temperature"},
      {R"("response_format":{"type":"json_object"})", "response_format"},
      {R"("reasoning_effort":"banana")", "reasoning_effort"},
      {R"("stop":["a"," \n"])", "stop"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.param);
    const auto built = BuildAnthropicMessages(
        "m", ParsedChat(std::string(R"({"messages":[{"role":"user","content":"x"}],)") + c.fields +
                        "}"));
    ASSERT_TRUE(std::holds_alternative<Failure>(built));
    EXPECT_EQ(std::get<Failure>(built).param, Value(c.param).dump());
  }
  const Case contents[] = {
      {R"({"role":"user","content":[{"type":"input_audio","input_audio":{"data":"a","format":"wav"}}]})",
       "messages[0].content[0]"},
      {R"({"role":"user","content":[{"type":"file","file":{"file_data":"data:image/x;base64,QUJD"}}]})",
       "messages[0].content[0]"},
      {R"({"role":"user","content":[{"type":"text","text":"x"},
           {"type":"image_url","image_url":{"url":"data:image/tiff;base64,QUJD"}}]})",
       "messages[0].content[1]"},
      {R"({"role":"user","content":[{"type":"image_url","image_url":{"url":"http://a/b"}}]})",
       "messages[0].content[0]"},
      {R"({"role":"user","content":[{"type":"image_url","image_url":{"url":"https:///b"}}]})",
       "messages[0].content[0]"},
      {R"({"role":"assistant","tool_calls":[{"id":"a","function":{"name":"f","arguments":"{\"cut"}}]})",
       "messages[0].tool_calls[0]"},
  };
  for (const Case& c : contents) {
    SCOPED_TRACE(c.fields);
    const auto built =
        BuildAnthropicMessages("m", ParsedChat(std::string(R"({"messages":[)") + c.fields + "]}"));
    ASSERT_TRUE(std::holds_alternative<Failure>(built));
    EXPECT_EQ(std::get<Failure>(built).param, Value(c.param).dump());
  }
}

TEST(AnthropicMessagesTest, ATextFileBecomesADocumentOfText) {
  const AnthropicBody built = Built(ParsedChat(R"({"messages":[{"role":"user","content":[
      {"type":"file","file":{"filename":"a.txt","file_data":"data:text/plain;base64,aGk="}}]}]})"));
  EXPECT_EQ(Value::parse(built.body)["messages"][0]["content"][0],
            Value::parse(R"({"type":"document","title":"a.txt",
                             "source":{"type":"text","media_type":"text/plain","data":"hi"}})"));
}

}  // namespace
}  // namespace gateway
