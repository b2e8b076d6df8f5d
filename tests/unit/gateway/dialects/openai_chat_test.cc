#include "gateway/dialects/openai_chat.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <variant>
#include <vector>

#include "gateway/dialects/openai_completions.h"
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
  return candor_test::Parsed(OpenAiChatClient(), request);
}

OpenAiChatBody Built(const Conversation& conversation) {
  return candor_test::Expect(
      BuildOpenAiChat("m", conversation, MaxTokensName::kMaxCompletionTokens));
}

Failure Refused(const std::string& request) {
  auto result = OpenAiChatClient().ParseRequest(request);
  if (std::holds_alternative<Conversation>(result)) {
    ADD_FAILURE() << "accepted: " << request;
    return {};
  }
  return std::get<Failure>(std::move(result));
}

// Requests in the form in which they are built, chosen by a seeded generator.
class Generator {
 public:
  explicit Generator(uint32_t seed) : random_(seed) {}

  Value Request() {
    Value request = {{"model", "m"}, {"messages", Value::array()}};
    if (Chance()) request["messages"].push_back({{"role", "system"}, {"content", Text()}});
    if (Chance()) request["messages"].push_back({{"role", "developer"}, {"content", Text()}});
    for (int turns = Number(3); turns >= 0; --turns) AddTurn(request["messages"]);
    if (Chance()) AddTools(request);
    if (Chance()) AddFormat(request);
    if (Chance()) AddSampling(request);
    if (Chance()) {
      request["stream"] = true;
      request["stream_options"] = {{"include_usage", true}};
    }
    return request;
  }

  Value WholeAnswer() {
    Value message = {{"role", "assistant"}, {"content", Text()}, {"refusal", nullptr}};
    std::string finish = Chance() ? "stop" : "length";
    if (Chance()) message["reasoning_content"] = Text();
    if (Chance()) {
      message["tool_calls"] = {Call(0), Call(1)};
      if (Chance()) message["content"] = nullptr;
      finish = "tool_calls";
    }
    const int in = Number(1000);
    const int out = 1 + Number(1000);
    Value logprobs = nullptr;
    if (Chance()) logprobs = {{"content", {{{"token", Text()}, {"logprob", -0.5}}}}};
    return {
        {"id", "chatcmpl-1"},
        {"object", "chat.completion"},
        {"created", 1700000000 + Number(1000)},
        {"model", "m-1"},
        {"choices",
         {{{"index", 0}, {"message", message}, {"logprobs", logprobs}, {"finish_reason", finish}}}},
        {"usage",
         {{"prompt_tokens", in},
          {"completion_tokens", out},
          {"total_tokens", in + out},
          {"prompt_tokens_details", {{"cached_tokens", Number(10)}}},
          {"completion_tokens_details", {{"reasoning_tokens", Number(10)}}}}}};
  }

 private:
  bool Chance() { return Number(1) == 0; }
  int Number(int most) { return static_cast<int>(random_() % (static_cast<uint32_t>(most) + 1)); }
  std::string Text() {
    static const std::vector<std::string> kTexts = {
        "hello",   "two\nlines", "\"quoted\" \\ back", "\u00fcml\u00e4ut \u65e5\u672c",
        "data: x", " "};
    return kTexts[random_() % kTexts.size()];
  }

  Value Call(int index) {
    return {{"id", "call_" + std::to_string(index)},
            {"type", "function"},
            {"function", {{"name", "look_up"}, {"arguments", R"({"a": [1, "x"]})"}}}};
  }

  Value Part() {
    switch (Number(3)) {
      case 0:
        return {{"type", "image_url"},
                {"image_url", {{"url", "https://example.com/a.png"}, {"detail", "low"}}}};
      case 1:
        return {{"type", "image_url"}, {"image_url", {{"url", "data:image/png;base64,QUJD"}}}};
      case 2:
        return {
            {"type", "file"},
            {"file", {{"filename", "a.pdf"}, {"file_data", "data:application/pdf;base64,QUJD"}}}};
      default:
        return {{"type", "input_audio"}, {"input_audio", {{"data", "QUJD"}, {"format", "wav"}}}};
    }
  }

  void AddTurn(Value& messages) {
    Value user = {{"role", "user"}, {"content", Text()}};
    if (Chance()) user["content"] = {{{"type", "text"}, {"text", Text()}}, Part()};
    if (Chance()) user["name"] = "anna";
    messages.push_back(user);
    if (Chance()) return messages.push_back({{"role", "assistant"}, {"content", Text()}});
    Value content = nullptr;
    if (Chance()) content = Text();
    messages.push_back(
        {{"role", "assistant"}, {"content", content}, {"tool_calls", {Call(0), Call(1)}}});
    for (const char* id : {"call_0", "call_1"}) {
      messages.push_back({{"role", "tool"}, {"tool_call_id", id}, {"content", Text()}});
    }
  }

  void AddTools(Value& request) {
    request["tools"] = {{{"type", "function"},
                         {"function",
                          {{"name", "look_up"},
                           {"description", Text()},
                           {"parameters", {{"type", "object"}, {"properties", Value::object()}}},
                           {"strict", Chance()}}}}};
    const std::vector<Value> choices = {
        "auto", "none", "required", {{"type", "function"}, {"function", {{"name", "look_up"}}}}};
    if (Chance()) request["tool_choice"] = choices[random_() % choices.size()];
    if (Chance()) request["parallel_tool_calls"] = Chance();
  }

  void AddFormat(Value& request) {
    if (Chance()) {
      request["response_format"] = {{"type", "json_object"}};
      return;
    }
    request["response_format"] = {{"type", "json_schema"},
                                  {"json_schema",
                                   {{"name", "shape"},
                                    {"description", Text()},
                                    {"schema", {{"type", "object"}}},
                                    {"strict", true}}}};
  }

  void AddSampling(Value& request) {
    request["temperature"] = 0.5;
    request["top_p"] = 0.25;
    request["max_completion_tokens"] = 1 + Number(100);
    request["stop"] = Chance() ? Value("END") : Value({"a", "b"});
    request["seed"] = Number(100);
    request["frequency_penalty"] = -1.5;
    request["presence_penalty"] = 2;
    request["n"] = 2;
    request["logprobs"] = true;
    request["top_logprobs"] = Number(20);
    request["logit_bias"] = {{"50256", -100}};
    request["reasoning_effort"] = "low";
    request["verbosity"] = "high";
    request["user"] = Text();
    request["service_tier"] = "flex";
  }

  std::mt19937 random_;
};

RenderContext ContextOf(const Conversation& conversation) { return {conversation, "0001", 1}; }

Answer Read(const Value& answer) {
  const std::string body = answer.dump();
  auto read = ReadOpenAiChatAnswer({200, Headers(), body, common::WallTime()});
  if (const auto* failure = std::get_if<Failure>(&read)) {
    ADD_FAILURE() << failure->message << " in " << body;
    return {};
  }
  return std::get<Answer>(std::move(read));
}

enum class Pieces { kCharacters, kParts };

// The answer as a stream in the client's dialect, the usage in the next to last event.
std::string Streamed(const Answer& answer, const RenderContext& context, Pieces pieces) {
  const auto renderer = OpenAiChatClient().NewStreamRenderer(context);
  std::string out;
  Delta start;
  start.kind = Delta::Kind::kStart;
  start.id = answer.id;
  start.model = answer.model;
  start.created_at = answer.created_at;
  renderer->Render(start, out);
  int part_number = 0;
  for (const Part& part : answer.choices[0].parts) {
    Delta delta;
    delta.part = part_number++;
    if (part.kind == Part::Kind::kToolCall) {
      delta.kind = Delta::Kind::kToolCall;
      delta.id = part.id;
      delta.name = part.name;
      renderer->Render(delta, out);
      delta.kind = Delta::Kind::kToolArguments;
    }
    if (part.kind == Part::Kind::kReasoning) delta.kind = Delta::Kind::kReasoning;
    for (const char c : part.text) {
      // Bytes of one character must stay together.
      delta.text += c;
      if (pieces == Pieces::kCharacters && static_cast<unsigned char>(c) < 0x80) {
        renderer->Render(delta, out);
        delta.text.clear();
      }
    }
    if (!delta.text.empty()) renderer->Render(delta, out);
  }
  Delta end;
  if (answer.choices[0].logprobs.is_object()) {
    end.kind = Delta::Kind::kLogprobs;
    end.logprobs = answer.choices[0].logprobs;
    renderer->Render(end, out);
  }
  end.kind = Delta::Kind::kFinish;
  end.finish = answer.choices[0].finish;
  renderer->Render(end, out);
  end.kind = Delta::Kind::kUsage;
  end.usage = answer.usage;
  renderer->Render(end, out);
  renderer->RenderEnd(out);
  return out;
}

StreamResult Translated(const std::vector<std::string_view>& pieces, const RenderContext& context) {
  TranslatedStream stream(std::make_unique<OpenAiChatDeltaParser>(),
                          OpenAiCompletionsClient().NewStreamRenderer(context));
  return candor_test::ReadStream(stream, pieces);
}

TEST(OpenAiChatTest, RequestsComeBackUnchanged) {
  for (uint32_t seed = 0; seed < kRounds; ++seed) {
    const Value request = Generator(seed).Request();
    const Conversation conversation = Parsed(request);
    EXPECT_EQ(Value::parse(Built(conversation).body), request) << "seed " << seed;
    EXPECT_TRUE(conversation.dropped.empty()) << "seed " << seed;
  }
}

TEST(OpenAiChatTest, AnswersComeBackUnchanged) {
  for (uint32_t seed = 0; seed < kRounds; ++seed) {
    const Value answer = Generator(seed).WholeAnswer();
    const Conversation conversation;
    EXPECT_EQ(Value::parse(OpenAiChatClient().RenderAnswer(Read(answer), ContextOf(conversation))),
              answer)
        << "seed " << seed;
  }
}

TEST(OpenAiChatTest, AStreamAmountsToTheWholeAnswer) {
  for (uint32_t seed = 0; seed < kRounds; ++seed) {
    const Answer answer = Read(Generator(seed).WholeAnswer());
    Conversation conversation;
    conversation.wants_stream_usage = true;
    const std::string stream = Streamed(answer, ContextOf(conversation), Pieces::kCharacters);
    OpenAiChatDeltaParser parser;
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
    EXPECT_EQ(OpenAiChatClient().RenderAnswer(builder.answer(), ContextOf(conversation)),
              OpenAiChatClient().RenderAnswer(answer, ContextOf(conversation)))
        << "seed " << seed << "\n"
        << stream;
  }
}

TEST(OpenAiChatTest, HoweverAStreamIsCutTheClientGetsTheSame) {
  for (uint32_t seed = 0; seed < 4; ++seed) {
    Conversation conversation;
    conversation.wants_stream_usage = true;
    const RenderContext context = ContextOf(conversation);
    const std::string stream =
        Streamed(Read(Generator(seed).WholeAnswer()), context, Pieces::kParts);
    const StreamResult whole = Translated({stream}, context);
    EXPECT_TRUE(whole.is_complete);
    candor_test::ForEverySplit(stream, [&](const std::vector<std::string_view>& pieces) {
      ASSERT_TRUE(Translated(pieces, context) == whole) << "seed " << seed;
    });
  }
}

TEST(OpenAiChatTest, AStreamThatEndsAnywhereBeforeItsMarkerIsAFailure) {
  Conversation conversation;
  const RenderContext context = ContextOf(conversation);
  const std::string stream = Streamed(Read(Generator(1).WholeAnswer()), context, Pieces::kParts);
  const size_t marker = stream.rfind("data: [DONE]");
  for (size_t cut = 0; cut < marker + 6; ++cut) {
    const StreamResult result = Translated({std::string_view(stream).substr(0, cut)}, context);
    ASSERT_TRUE(result.failure.has_value()) << cut;
    ASSERT_FALSE(result.is_complete) << cut;
    ASSERT_EQ(result.client_bytes.find("[DONE]"), std::string::npos) << cut;
  }
}

TEST(OpenAiChatTest, AnErrorAtAnyPlaceOfAStreamIsThatError) {
  Conversation conversation;
  const RenderContext context = ContextOf(conversation);
  const std::string stream = Streamed(Read(Generator(1).WholeAnswer()), context, Pieces::kParts);
  constexpr char kError[] =
      "data: {\"error\":{\"message\":\"slow down\",\"code\":\"rate_limit_exceeded\"}}\n\n";
  for (size_t at = stream.find("\n\n"); at != std::string::npos; at = stream.find("\n\n", at + 2)) {
    if (stream.find("[DONE]") < at) break;
    const std::string broken = stream.substr(0, at + 2) + kError + stream.substr(at + 2);
    const StreamResult result = Translated({broken}, context);
    ASSERT_EQ(result.kind(), FailureKind::kRateLimited) << at;
    ASSERT_EQ(result.client_bytes.find("[DONE]"), std::string::npos) << at;
  }
}

TEST(OpenAiChatTest, WhatCannotBeTranslatedIsRefusedByItsName) {
  struct Case {
    const char* name;
    const char* request;
    const char* param;
  };
  const Case cases[] = {
      {"unknown field", R"({"messages":[],"shape_of_things":1})", "shape_of_things"},
      {"search", R"({"messages":[],"web_search_options":{"a":1}})", "web_search_options"},
      {"audio", R"({"messages":[],"modalities":["text","audio"]})", "modalities"},
      {"hosted tool", R"({"messages":[],"tools":[{"type":"custom"}]})", "tools[0].type"},
      {"unknown part", R"({"messages":[{"role":"user","content":[{"type":"smell"}]}]})",
       "messages[0].content[0].type"},
      {"file by id",
       R"({"messages":[{"role":"user","content":[{"type":"file","file":{"file_id":"f"}}]}]})",
       "messages[0].content[0].file.file_id"},
      {"role", R"({"messages":[{"role":"boss","content":"x"}]})", "messages[0].role"},
      {"no call id", R"({"messages":[{"role":"tool","content":"x"}]})", "messages[0].tool_call_id"},
      {"temperature", R"({"messages":[],"temperature":3})", "temperature"},
      {"type", R"({"messages":[],"temperature":"hot"})", "temperature"},
      {"nested unknown", R"({"messages":[{"role":"user","content":"x","mood":"good"}]})",
       "messages[0].mood"},
      {"n", R"({"messages":[],"n":0})", "n"},
      {"huge number", R"({"messages":[],"max_tokens":18446744073709551615})", "max_tokens"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    const Failure failure = Refused(c.request);
    EXPECT_EQ(failure.kind, FailureKind::kBadRequest);
    EXPECT_EQ(failure.param, Value(c.param).dump()) << failure.message;
    EXPECT_NE(failure.message.find(c.param), std::string::npos) << failure.message;
  }
}

TEST(OpenAiChatTest, WhatIsDroppedIsNamed) {
  const Conversation conversation = Parsed(Value::parse(
      R"({"messages":[{"role":"user","content":[{"type":"text","text":"x","cache_control":{"type":"ephemeral"}}]}],
          "store":true,"prompt_cache_key":"k","top_k":3,"metadata":{"a":"b"}})"));
  EXPECT_EQ(conversation.dropped, (std::vector<std::string>{"messages[].content[].cache_control",
                                                            "store", "prompt_cache_key"}));
  EXPECT_EQ(Built(conversation).dropped, (std::vector<std::string>{"top_k", "metadata"}));
}

TEST(OpenAiChatTest, EmptyAndNullFieldsOfEarlierAnswersAreHarmless) {
  const Conversation conversation = Parsed(Value::parse(
      R"({"messages":[{"role":"assistant","content":"x","refusal":null,"audio":null,
          "annotations":[],"function_call":null,"tool_calls":[]}]})"));
  EXPECT_EQ(Value::parse(Built(conversation).body)["messages"],
            Value::parse(R"([{"role":"assistant","content":"x"}])"));
  EXPECT_TRUE(conversation.dropped.empty());
}

TEST(OpenAiChatTest, ImagesThatAToolGaveFollowInAUsersMessage) {
  Conversation conversation;
  Part image;
  image.kind = Part::Kind::kImage;
  image.url = "https://example.com/a.png";
  Part text;
  text.text = "seen";
  Part result;
  result.kind = Part::Kind::kToolResult;
  result.id = "call_0";
  result.is_error = true;
  result.content = {text, image};
  conversation.messages.push_back({Role::kTool, {result}, ""});
  const OpenAiChatBody built = Built(conversation);
  EXPECT_EQ(Value::parse(built.body)["messages"], Value::parse(R"([
      {"role":"tool","tool_call_id":"call_0","content":"seen"},
      {"role":"user","content":[{"type":"image_url","image_url":{"url":"https://example.com/a.png"}}]}])"));
  EXPECT_EQ(built.dropped, std::vector<std::string>{"is_error"});
}

TEST(OpenAiChatTest, OddAnswersOfCompatibleServersAreRead) {
  struct Case {
    const char* name;
    const char* message;
    const char* want;
  };
  const Case cases[] = {
      {"reasoning under its other name", R"({"content":"x","reasoning":"why"})",
       R"({"role":"assistant","content":"x","refusal":null,"reasoning_content":"why"})"},
      {"Mistral's array",
       R"({"content":[{"type":"thinking","thinking":[{"type":"text","text":"why"}]},{"type":"text","text":"x"}]})",
       R"({"role":"assistant","content":"x","refusal":null,"reasoning_content":"why"})"},
      {"arguments as an object, no id",
       R"({"content":"","tool_calls":[{"function":{"name":"f","arguments":{"a":1}}}]})",
       R"({"role":"assistant","content":null,"refusal":null,
           "tool_calls":[{"id":"call_1_0","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}}]})"},
      {"Gemini's signature",
       R"({"content":null,"tool_calls":[{"id":"c","extra_content":{"google":{"thought_signature":"s"}},
           "function":{"name":"f","arguments":"{}"}}]})",
       R"({"role":"assistant","content":null,"refusal":null,
           "tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{}"},
                          "extra_content":{"google":{"thought_signature":"s"}}}]})"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    const Value answer = {
        {"id", "1"},
        {"choices", {{{"message", Value::parse(c.message)}, {"finish_reason", "stop"}}}}};
    const Conversation conversation;
    const Value rendered =
        Value::parse(OpenAiChatClient().RenderAnswer(Read(answer), ContextOf(conversation)));
    EXPECT_EQ(rendered["choices"][0]["message"], Value::parse(c.want));
  }
}

TEST(OpenAiChatTest, ParallelCallsThatInterleaveStayApart) {
  constexpr char kStream[] =
      "data: {\"id\":\"1\",\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":["
      "{\"index\":0,\"id\":\"a\",\"function\":{\"name\":\"f\",\"arguments\":\"\"}},"
      "{\"index\":1,\"id\":\"b\",\"function\":{\"name\":\"g\",\"arguments\":\"\"}}]}}]}\n\n"
      "data: {\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":["
      "{\"index\":1,\"function\":{\"arguments\":\"[2\"}},{\"index\":0,\"function\":{\"arguments\":"
      "\"[1\"}}]}}]}\n\n"
      "data: {\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":["
      "{\"index\":0,\"function\":{\"arguments\":\"]\"}},{\"index\":1,\"function\":{\"arguments\":"
      "\"]\"}}]}}]}\n\n"
      "data: [DONE]\n\n";
  OpenAiChatDeltaParser parser;
  SseReader events(1 << 20);
  events.Feed(kStream);
  AnswerBuilder builder;
  while (const auto event = events.Next()) {
    std::vector<Delta> deltas;
    parser.Take(*event, deltas);
    for (const Delta& delta : deltas) builder.Add(delta);
  }
  ASSERT_EQ(builder.answer().choices.size(), 1U);
  const Choice& choice = builder.answer().choices[0];
  ASSERT_EQ(choice.parts.size(), 2U);
  EXPECT_EQ(choice.parts[0].text, "[1]");
  EXPECT_EQ(choice.parts[1].text, "[2]");
  EXPECT_EQ(choice.parts[1].name, "g");
  EXPECT_EQ(choice.finish, FinishReason::kToolCalls);
}

TEST(OpenAiChatTest, ContentThatIsAnArrayIsReadFromStreamsToo) {
  constexpr char kStream[] =
      "data: "
      "{\"choices\":[{\"index\":0,\"delta\":{\"content\":[{\"type\":\"thinking\",\"thinking\":"
      "[{\"type\":\"text\",\"text\":\"why\"}]},{\"type\":\"text\",\"text\":\"x\"}]}}]}\n\n"
      "data: "
      "{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"y\"},\"finish_reason\":\"stop\"}]}\n\n"
      "data: [DONE]\n\n";
  OpenAiChatDeltaParser parser;
  SseReader events(1 << 20);
  events.Feed(kStream);
  AnswerBuilder builder;
  while (const auto event = events.Next()) {
    std::vector<Delta> deltas;
    parser.Take(*event, deltas);
    for (const Delta& delta : deltas) builder.Add(delta);
  }
  const std::vector<Part>& parts = builder.answer().choices.at(0).parts;
  ASSERT_EQ(parts.size(), 2U);
  EXPECT_EQ(parts[0].text, "why");
  EXPECT_EQ(parts[1].text, "xy");
}

TEST(OpenAiChatTest, OutputThatCannotBeTranslatedIsAFailureAndNoEmptyAnswer) {
  for (const char* output : {R"("function_call":{"name":"f","arguments":"{}"})",
                             R"("images":[{"type":"image_url"}])", R"("audio":{"id":"a"})"}) {
    SCOPED_TRACE(output);
    const std::string message = std::string("{\"content\":\"\",") + output + "}";
    const std::string whole = "{\"choices\":[{\"message\":" + message + "}]}";
    const auto read = ReadOpenAiChatAnswer({200, Headers(), whole, common::WallTime()});
    ASSERT_TRUE(std::holds_alternative<Failure>(read));
    EXPECT_TRUE(std::get<Failure>(read).is_permanent);
    const Conversation conversation;
    const std::string stream = "data: {\"choices\":[{\"index\":0,\"delta\":" + message +
                               "}]}\n\ndata: {\"choices\":[{\"index\":0,\"delta\":{},"
                               "\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
    const StreamResult result = Translated({stream}, ContextOf(conversation));
    EXPECT_EQ(result.kind(), FailureKind::kUpstreamMalformed);
    EXPECT_EQ(result.client_bytes, "");
  }
}

TEST(OpenAiChatTest, AUserThatIsTooLongIsLeftOutByName) {
  Conversation conversation;
  conversation.user = std::string(65, 'u');
  EXPECT_EQ(Built(conversation).dropped, std::vector<std::string>{"user"});
  conversation.user.pop_back();
  EXPECT_EQ(Value::parse(Built(conversation).body)["user"], conversation.user);
}

TEST(OpenAiCompletionsTest, ThePromptBecomesOneUsersMessage) {
  auto parsed = OpenAiCompletionsClient().ParseRequest(
      R"({"model":"m","prompt":["Say hi"],"max_tokens":5,"stop":"\n"})");
  const auto* conversation = std::get_if<Conversation>(&parsed);
  ASSERT_NE(conversation, nullptr);
  EXPECT_EQ(Value::parse(Built(*conversation).body),
            Value::parse(R"({"model":"m","messages":[{"role":"user","content":"Say hi"}],
                             "max_completion_tokens":5,"stop":"\n"})"));
}

TEST(OpenAiCompletionsTest, SeveralPromptsAndOtherFormsAreRefused) {
  for (const char* request : {R"({"prompt":["a","b"]})", R"({"prompt":[1,2]})",
                              R"({"prompt":"a","suffix":"b"})", R"({"prompt":"a","echo":true})",
                              R"({"prompt":"a","logprobs":3})", R"({"prompt":"a","best_of":2})"}) {
    SCOPED_TRACE(request);
    const auto parsed = OpenAiCompletionsClient().ParseRequest(request);
    ASSERT_TRUE(std::holds_alternative<Failure>(parsed));
    EXPECT_FALSE(std::get<Failure>(parsed).param.empty());
  }
}

}  // namespace
}  // namespace gateway
