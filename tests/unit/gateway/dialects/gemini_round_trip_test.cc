// Properties over many conversations and answers, chosen by a seeded generator: what a caller says
// reaches Gemini unchanged, and what Gemini says reaches the caller unchanged, whole or streamed.
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "gateway/dialects/dialect.h"
#include "gateway/dialects/gemini_answer.h"
#include "gateway/dialects/gemini_request.h"

namespace gateway {
namespace {

constexpr uint32_t kRounds = 300;

class Generator {
 public:
  explicit Generator(uint32_t seed) : random_(seed) {}

  int Number(int most) { return static_cast<int>(random_() % (static_cast<uint32_t>(most) + 1)); }
  bool Chance() { return Number(1) == 0; }

  std::string Text() {
    static const std::vector<std::string> kTexts = {
        "hello",   "two\nlines", "\"quoted\" \\ back", "\u00fcml\u00e4ut \u65e5\u672c",
        "data: x", " "};
    return kTexts[random_() % kTexts.size()];
  }

  Part TextPart(Part::Kind kind) {
    Part part;
    part.kind = kind;
    part.text = Text() + Text();
    return part;
  }

  Part Call(const std::string& id) {
    Part part;
    part.kind = Part::Kind::kToolCall;
    part.id = id;
    part.name = Chance() ? "look_up" : "tell";
    part.text = Json({{"a", {1, Text()}}, {"z", nullptr}}).dump();
    if (Chance()) part.signature = "c2lnbmF0dXJl";
    return part;
  }

  // Thoughts, text and calls in any order; neighbours of one kind would be one part.
  Choice AnyChoice() {
    Choice choice;
    for (int left = 1 + Number(4); left > 0; --left) {
      const auto kind = static_cast<int>(random_() % 3);
      if (kind == 0) {
        choice.parts.push_back(Call("id" + std::to_string(left)));
      } else {
        AddText(kind == 1 ? Part::Kind::kText : Part::Kind::kReasoning, choice.parts);
      }
    }
    const bool has_called =
        std::any_of(choice.parts.begin(), choice.parts.end(),
                    [](const Part& part) { return part.kind == Part::Kind::kToolCall; });
    choice.finish = has_called ? FinishReason::kToolCalls : FinishReason::kStop;
    if (Chance()) choice.finish = FinishReason::kLength;
    return choice;
  }

  Answer AnyAnswer() {
    Answer answer;
    answer.id = "r1";
    answer.model = "gemini-x";
    for (int left = Number(2); left >= 0; --left) answer.choices.push_back(AnyChoice());
    answer.usage.is_known = true;
    answer.usage.input_tokens = Number(1000);
    answer.usage.cached_input_tokens = Number(10);
    answer.usage.reasoning_tokens = Number(100);
    answer.usage.output_tokens = answer.usage.reasoning_tokens + 1 + Number(100);
    return answer;
  }

 private:
  void AddText(Part::Kind kind, std::vector<Part>& parts) {
    if (!parts.empty() && parts.back().kind == kind) return;
    parts.push_back(TextPart(kind));
  }

  std::mt19937 random_;
};

Json PartJson(const Part& part) {
  Json json = Json::object();
  if (part.kind == Part::Kind::kToolCall) {
    json["functionCall"] = {{"id", part.id}, {"name", part.name}, {"args", Json::parse(part.text)}};
    if (!part.signature.empty()) json["thoughtSignature"] = part.signature;
    return json;
  }
  json["text"] = part.text;
  if (part.kind == Part::Kind::kReasoning) json["thought"] = true;
  return json;
}

Json UsageJson(const Usage& usage) {
  return {{"promptTokenCount", usage.input_tokens},
          {"cachedContentTokenCount", usage.cached_input_tokens},
          {"thoughtsTokenCount", usage.reasoning_tokens},
          {"candidatesTokenCount", usage.output_tokens - usage.reasoning_tokens}};
}

Json CandidateJson(size_t index, const Json& parts) {
  return {{"index", index}, {"content", {{"role", "model"}, {"parts", parts}}}};
}

Json AnswerJson(const Answer& answer, Json candidates) {
  return {{"responseId", answer.id},
          {"modelVersion", answer.model},
          {"usageMetadata", UsageJson(answer.usage)},
          {"candidates", std::move(candidates)}};
}

std::string_view FinishName(FinishReason finish) {
  return finish == FinishReason::kLength ? "MAX_TOKENS" : "STOP";
}

Json WholeJson(const Answer& answer) {
  Json candidates = Json::array();
  for (const Choice& choice : answer.choices) {
    Json parts = Json::array();
    for (const Part& part : choice.parts) parts.push_back(PartJson(part));
    Json candidate = CandidateJson(candidates.size(), parts);
    candidate["finishReason"] = FinishName(choice.finish);
    candidates.push_back(std::move(candidate));
  }
  return AnswerJson(answer, std::move(candidates));
}

// A text may come in several pieces; each piece is a chunk of its own.
std::vector<Json> ChunksOf(const Answer& answer, Generator& generator) {
  std::vector<Json> chunks;
  const auto add = [&](size_t index, const Part& part) {
    Json candidate = CandidateJson(index, Json::array({PartJson(part)}));
    if (generator.Number(3) == 0) candidate["finishReason"] = "STOP";
    chunks.push_back(AnswerJson(answer, Json::array({std::move(candidate)})));
  };
  for (size_t i = 0; i < answer.choices.size(); ++i) {
    for (const Part& part : answer.choices[i].parts) {
      // Between whole characters.
      const bool is_cut = part.kind != Part::Kind::kToolCall && part.text[0] == 'h';
      Part first = part;
      if (is_cut) first.text = part.text.substr(0, 2);
      add(i, first);
      if (!is_cut) continue;
      Part rest = part;
      rest.text = part.text.substr(2);
      add(i, rest);
    }
    Json end = CandidateJson(i, Json::array());
    end["finishReason"] = FinishName(answer.choices[i].finish);
    chunks.push_back(AnswerJson(answer, Json::array({std::move(end)})));
  }
  return chunks;
}

void ExpectSame(const Answer& got, const Answer& want) {
  EXPECT_EQ(got.id, want.id);
  EXPECT_EQ(got.model, want.model);
  EXPECT_EQ(UsageJson(got.usage), UsageJson(want.usage));
  ASSERT_EQ(got.choices.size(), want.choices.size());
  EXPECT_EQ(WholeJson(got), WholeJson(want));
  for (size_t i = 0; i < want.choices.size(); ++i) {
    EXPECT_EQ(got.choices[i].finish, want.choices[i].finish);
  }
}

TEST(GeminiRoundTripTest, AWholeAnswerComesBackUnchanged) {
  for (uint32_t seed = 0; seed < kRounds; ++seed) {
    SCOPED_TRACE(seed);
    const Answer answer = Generator(seed).AnyAnswer();
    const Headers headers;
    const std::string body = WholeJson(answer).dump();
    auto read = FindDialect("gemini")->ReadAnswer({200, headers, body, {}});
    ASSERT_TRUE(std::holds_alternative<Answer>(read));
    ExpectSame(std::get<Answer>(read), answer);
  }
}

TEST(GeminiRoundTripTest, AStreamAmountsToTheWholeAnswer) {
  for (uint32_t seed = 0; seed < kRounds; ++seed) {
    SCOPED_TRACE(seed);
    Generator generator(seed);
    const Answer answer = generator.AnyAnswer();
    GeminiAnswerReader reader;
    AnswerBuilder builder;
    std::vector<Delta> deltas;
    for (const Json& chunk : ChunksOf(answer, generator)) {
      ASSERT_FALSE(reader.Take(chunk, deltas));
    }
    ASSERT_FALSE(reader.End(deltas));
    for (const Delta& delta : deltas) builder.Add(delta);
    ExpectSame(builder.answer(), answer);
  }
}

// Parts of a conversation as Gemini is asked them, read back.
TEST(GeminiRoundTripTest, AConversationReachesGeminiUnchanged) {
  for (uint32_t seed = 0; seed < kRounds; ++seed) {
    SCOPED_TRACE(seed);
    Generator generator(seed);
    Conversation conversation;
    Json want = Json::array();
    const auto add = [&](Role role, std::string_view name, std::vector<Part> parts) {
      Json json = Json::array();
      for (const Part& part : parts) json.push_back(PartJson(part));
      want.push_back({{"role", name}, {"parts", std::move(json)}});
      conversation.messages.push_back({role, std::move(parts), ""});
    };
    for (int turn = generator.Number(3); turn >= 0; --turn) {
      add(Role::kUser, "user", {generator.TextPart(Part::Kind::kText)});
      add(Role::kAssistant, "model",
          {generator.TextPart(Part::Kind::kText), generator.Call("a"), generator.Call("b")});
    }
    const auto built = BuildGeminiRequest("gemini-2.5-flash", conversation);
    ASSERT_TRUE(std::holds_alternative<GeminiBody>(built));
    EXPECT_EQ(std::get<GeminiBody>(built).json["contents"], want);
  }
}

}  // namespace
}  // namespace gateway
