// Reads Gemini's answers (GenerateContentResponse, ai.google.dev/api/generate-content): a whole
// answer and a chunk of a stream are the same JSON object, so both go through one reader. Pure; not
// thread-safe.
//
// A stream has no end marker. It is whole when the body has ended well-formed and every candidate
// has given a finish reason; older models give one in every chunk, so that only the last counts.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/core/outcome.h"
#include "gateway/dialects/translation.h"

namespace gateway {

// `text` as a value; nothing when it is no JSON, no UTF-8, or nested deeper than kMaxJsonDepth.
std::optional<Json> ParseGeminiJson(std::string_view text);

class GeminiAnswerReader {
 public:
  // Whether `json` is an answer or a part of one, and no error or foreign object.
  static bool IsAnswer(const Json& json);

  // Takes a JSON object for which IsAnswer. Failure: the prompt was blocked, the model has ended
  // for a reason that means failure, or has given what no client of another dialect can be given.
  std::optional<Failure> Take(const Json& json, std::vector<Delta>& deltas);
  // Whether there is a candidate, and every one has given a finish reason.
  bool IsFinished() const;
  // After the last object: appends the finish reasons. Failure: the answer is not whole or is
  // empty.
  std::optional<Failure> End(std::vector<Delta>& deltas);

 private:
  struct Candidate {
    int next_part = 0;
    int open_part = -1;  // of text or reasoning that may go on
    Delta::Kind open_kind = Delta::Kind::kText;
    int calls = 0;
    bool has_output = false;
    std::optional<FinishReason> finish;
  };

  void TakeStart(const Json& json, std::vector<Delta>& deltas);
  void TakeUsage(const Json& json, std::vector<Delta>& deltas);
  std::optional<Failure> TakeCandidate(const Json& json, std::vector<Delta>& deltas);
  bool TakePart(int index, const Json& part, std::vector<Delta>& deltas);
  void TakeText(int index, const Json& part, std::vector<Delta>& deltas);
  void TakeCall(int index, const Json& part, std::vector<Delta>& deltas);
  std::string CallId(int index, const Json& call, std::string_view arguments) const;
  std::optional<Failure> TakeFinish(Candidate& candidate, const Json& json);
  bool HasOutput() const;

  std::vector<Candidate> candidates_;
  std::string id_;
  std::string filter_reason_;  // why a candidate was cut off by a filter
  Usage usage_;
  int64_t candidate_tokens_ = 0;  // without thoughts
  bool has_started_ = false;
};

class GeminiDeltaParser final : public DeltaParser {
 public:
  EventVerdict Take(const SseEvent& event, std::vector<Delta>& deltas) override;
  EventVerdict TakeEnd(std::vector<Delta>& deltas) override;

 private:
  GeminiAnswerReader reader_;
};

}  // namespace gateway
