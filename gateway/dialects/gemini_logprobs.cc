#include "gateway/dialects/gemini_logprobs.h"

#include "gateway/dialects/openai_chat_values.h"

namespace gateway {
namespace {

Json ReadToken(const Json& candidate) {
  const std::string token = TextAt(candidate, "token");
  const Json& probability = MemberOf(candidate, "logProbability");
  Json bytes = Json::array();
  for (const char c : token) bytes.push_back(static_cast<unsigned char>(c));
  // What is certain has the probability 1, whose logarithm protobuf's JSON leaves out.
  return {{"token", token},
          {"logprob", probability.is_number() ? probability : Json(0.0)},
          {"bytes", std::move(bytes)}};
}

// The alternatives at one place of the text.
Json ReadAlternatives(const Json& top, size_t place) {
  Json alternatives = Json::array();
  if (!top.is_array() || place >= top.size()) return alternatives;
  const Json& candidates = MemberOf(top[place], "candidates");
  if (!candidates.is_array()) return alternatives;
  for (const Json& candidate : candidates) alternatives.push_back(ReadToken(candidate));
  return alternatives;
}

}  // namespace

Json ReadGeminiLogprobs(const Json& result) {
  const Json& chosen = MemberOf(result, "chosenCandidates");
  if (!chosen.is_array() || chosen.empty()) return nullptr;
  Json content = Json::array();
  for (const Json& candidate : chosen) {
    Json token = ReadToken(candidate);
    token["top_logprobs"] = ReadAlternatives(MemberOf(result, "topCandidates"), content.size());
    content.push_back(std::move(token));
  }
  return {{"content", std::move(content)}};
}

}  // namespace gateway
