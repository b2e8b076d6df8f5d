#include "gateway/dialects/gemini_answer.h"

#include <algorithm>
#include <array>
#include <utility>

#include "common/concat.h"
#include "gateway/core/failure_classifier.h"
#include "gateway/core/json_scan.h"
#include "gateway/dialects/gemini_finish.h"
#include "gateway/dialects/gemini_logprobs.h"
#include "gateway/dialects/openai_chat_values.h"

namespace gateway {
namespace {

constexpr int kSuccess = 200;
// Gemini gives at most 8.
constexpr int64_t kMostCandidates = 128;

// Members of a part that carry nothing of the answer by themselves.
constexpr std::array<std::string_view, 5> kSilentMembers = {"text", "thought", "thoughtSignature",
                                                            "partMetadata", "videoMetadata"};

Delta MakeDelta(Delta::Kind kind, int choice, int part) {
  Delta delta;
  delta.kind = kind;
  delta.choice = choice;
  delta.part = part;
  return delta;
}

// Image, code and whatever else is new.
bool IsForeignPart(const Json& part) {
  return std::any_of(part.items().begin(), part.items().end(), [](const auto& member) {
    const bool is_silent = std::find(kSilentMembers.begin(), kSilentMembers.end(), member.key()) !=
                           kSilentMembers.end();
    return !is_silent && !member.value().is_null();
  });
}

Failure ForeignPartFailure() {
  Failure failure = MalformedAnswer(
      kSuccess, "holds more than text and tool calls, which clients of this API cannot be given");
  failure.is_permanent = true;
  return failure;
}

bool IsTrue(const Json& json) { return json.is_boolean() && json.get<bool>(); }

// FNV-1a: only to tell the calls of one conversation apart.
uint64_t HashOf(std::string_view text, uint64_t hash = 14695981039346656037u) {
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211u;
  return hash;
}

}  // namespace

std::optional<Json> ParseGeminiJson(std::string_view text) {
  Json json = ParseJson(text);
  if (json.is_discarded()) return std::nullopt;
  return json;
}

bool GeminiAnswerReader::IsAnswer(const Json& json) {
  if (!json.is_object() || !MemberOf(json, "error").is_null()) return false;
  return MemberOf(json, "candidates").is_array() || MemberOf(json, "promptFeedback").is_object() ||
         MemberOf(json, "usageMetadata").is_object();
}

std::optional<Failure> GeminiAnswerReader::Take(const Json& json, std::vector<Delta>& deltas) {
  TakeStart(json, deltas);
  TakeUsage(json, deltas);
  const Json& feedback = MemberOf(json, "promptFeedback");
  if (std::string reason = TextAt(feedback, "blockReason"); !reason.empty() && !HasOutput()) {
    return GeminiBlockFailure(reason, TextAt(feedback, "blockReasonMessage"));
  }
  const Json& candidates = MemberOf(json, "candidates");
  if (!candidates.is_array()) return std::nullopt;
  for (const Json& candidate : candidates) {
    if (auto failure = TakeCandidate(candidate, deltas)) return failure;
  }
  if (!filter_reason_.empty() && IsFinished() && !HasOutput()) {
    return GeminiFinishFailure(FailureKind::kContentFilter, filter_reason_, "");
  }
  return std::nullopt;
}

std::optional<Failure> GeminiAnswerReader::End(std::vector<Delta>& deltas) {
  if (candidates_.empty()) return MalformedAnswer(kSuccess, "has no candidates");
  if (!IsFinished()) return MalformedAnswer(kSuccess, "has no finish reason");
  const bool has_ended_early =
      std::any_of(candidates_.begin(), candidates_.end(),
                  [](const Candidate& one) { return one.finish != FinishReason::kStop; });
  if (!HasOutput() && candidate_tokens_ == 0 && !has_ended_early) {
    return MalformedAnswer(kSuccess, "has no output");
  }
  for (size_t i = 0; i < candidates_.size(); ++i) {
    Delta delta = MakeDelta(Delta::Kind::kFinish, static_cast<int>(i), 0);
    const bool has_called =
        candidates_[i].calls > 0 && candidates_[i].finish == FinishReason::kStop;
    delta.finish = has_called ? FinishReason::kToolCalls : *candidates_[i].finish;
    deltas.push_back(std::move(delta));
  }
  return std::nullopt;
}

void GeminiAnswerReader::TakeStart(const Json& json, std::vector<Delta>& deltas) {
  if (std::exchange(has_started_, true)) return;
  Delta start = MakeDelta(Delta::Kind::kStart, 0, 0);
  id_ = start.id = TextAt(json, "responseId");
  start.model = TextAt(json, "modelVersion");
  deltas.push_back(std::move(start));
}

// candidatesTokenCount leaves thoughts out; toolUsePromptTokenCount is fed to the model as well.
void GeminiAnswerReader::TakeUsage(const Json& json, std::vector<Delta>& deltas) {
  const Json& counts = MemberOf(json, "usageMetadata");
  if (!counts.is_object()) return;
  candidate_tokens_ = CountAt(counts, "candidatesTokenCount");
  usage_.is_known = true;
  usage_.input_tokens =
      CountAt(counts, "promptTokenCount") + CountAt(counts, "toolUsePromptTokenCount");
  usage_.cached_input_tokens = CountAt(counts, "cachedContentTokenCount");
  usage_.reasoning_tokens = CountAt(counts, "thoughtsTokenCount");
  usage_.output_tokens = candidate_tokens_ + usage_.reasoning_tokens;
  Delta delta = MakeDelta(Delta::Kind::kUsage, 0, 0);
  delta.usage = usage_;
  deltas.push_back(std::move(delta));
}

std::optional<Failure> GeminiAnswerReader::TakeCandidate(const Json& json,
                                                         std::vector<Delta>& deltas) {
  const int64_t index = CountAt(json, "index");
  if (!json.is_object() || index >= kMostCandidates) {
    return MalformedAnswer(kSuccess, "has a candidate of another shape");
  }
  if (candidates_.size() <= static_cast<size_t>(index)) {
    candidates_.resize(static_cast<size_t>(index) + 1);
  }
  const auto choice = static_cast<int>(index);
  const Json& parts = MemberOf(MemberOf(json, "content"), "parts");
  if (parts.is_array()) {
    for (const Json& part : parts) {
      if (!TakePart(choice, part, deltas)) return ForeignPartFailure();
    }
  }
  Json logprobs = ReadGeminiLogprobs(MemberOf(json, "logprobsResult"));
  if (!logprobs.is_null()) {
    Delta delta = MakeDelta(Delta::Kind::kLogprobs, choice, 0);
    delta.logprobs = std::move(logprobs);
    deltas.push_back(std::move(delta));
  }
  return TakeFinish(candidates_[static_cast<size_t>(index)], json);
}

bool GeminiAnswerReader::TakePart(int index, const Json& part, std::vector<Delta>& deltas) {
  if (!part.is_object()) return false;
  if (MemberOf(part, "functionCall").is_object()) {
    TakeCall(index, part, deltas);
    return true;
  }
  TakeText(index, part, deltas);
  return !IsForeignPart(part);
}

// A signature of plain text has no place in any client's dialect, and Google asks for it back for
// tool calls only (ai.google.dev/gemini-api/docs/thought-signatures).
void GeminiAnswerReader::TakeText(int index, const Json& part, std::vector<Delta>& deltas) {
  const bool is_thought = IsTrue(MemberOf(part, "thought"));
  const auto kind = is_thought ? Delta::Kind::kReasoning : Delta::Kind::kText;
  std::string text = TextAt(part, "text");
  if (text.empty()) return;
  Candidate& candidate = candidates_[static_cast<size_t>(index)];
  if (candidate.open_part < 0 || candidate.open_kind != kind) {
    candidate.open_part = candidate.next_part++;
    candidate.open_kind = kind;
  }
  candidate.has_output = true;
  Delta delta = MakeDelta(kind, index, candidate.open_part);
  delta.text = std::move(text);
  deltas.push_back(std::move(delta));
  std::string signature = TextAt(part, "thoughtSignature");
  if (!is_thought || signature.empty()) return;
  delta = MakeDelta(Delta::Kind::kSignature, index, candidate.open_part);
  delta.text = std::move(signature);
  deltas.push_back(std::move(delta));
  candidate.open_part = -1;
}

void GeminiAnswerReader::TakeCall(int index, const Json& part, std::vector<Delta>& deltas) {
  const Json& call = MemberOf(part, "functionCall");
  const Json& arguments = MemberOf(call, "args");
  Candidate& candidate = candidates_[static_cast<size_t>(index)];
  Delta delta = MakeDelta(Delta::Kind::kToolCall, index, candidate.next_part++);
  delta.name = TextAt(call, "name");
  delta.text = arguments.is_object() ? RenderJson(arguments) : "{}";
  delta.id = CallId(index, call, delta.text);
  candidate.open_part = -1;
  candidate.has_output = true;
  ++candidate.calls;
  const int number = delta.part;
  deltas.push_back(std::move(delta));
  std::string signature = TextAt(part, "thoughtSignature");
  if (signature.empty()) return;
  delta = MakeDelta(Delta::Kind::kSignature, index, number);
  delta.text = std::move(signature);
  deltas.push_back(std::move(delta));
}

// Many models give calls no id. An answer's own id is unique; where even that is missing, what is
// called tells calls apart.
std::string GeminiAnswerReader::CallId(int index, const Json& call,
                                       std::string_view arguments) const {
  std::string id = TextAt(call, "id");
  if (!id.empty()) return id;
  const int number = candidates_[static_cast<size_t>(index)].calls;
  const uint64_t hash = HashOf(arguments, HashOf(TextAt(call, "name")));
  return id_.empty() ? common::Concat("call_", hash, "_", index, "_", number)
                     : common::Concat("call_", id_, "_", index, "_", number);
}

std::optional<Failure> GeminiAnswerReader::TakeFinish(Candidate& candidate, const Json& json) {
  const std::string reason = TextAt(json, "finishReason");
  if (reason.empty() || reason == "FINISH_REASON_UNSPECIFIED") return std::nullopt;
  const GeminiFinish finish = ReadGeminiFinish(reason);
  if (!finish.finish) {
    Failure failure = GeminiFinishFailure(finish.kind, reason, TextAt(json, "finishMessage"));
    failure.has_unknown_code = !finish.is_known;
    return failure;
  }
  candidate.finish = finish.finish;
  if (finish.finish == FinishReason::kContentFilter) filter_reason_ = reason;
  return std::nullopt;
}

bool GeminiAnswerReader::HasOutput() const {
  return std::any_of(candidates_.begin(), candidates_.end(),
                     [](const Candidate& one) { return one.has_output; });
}

bool GeminiAnswerReader::IsFinished() const {
  return !candidates_.empty() &&
         std::all_of(candidates_.begin(), candidates_.end(),
                     [](const Candidate& one) { return one.finish.has_value(); });
}

EventVerdict GeminiDeltaParser::Take(const SseEvent& event, std::vector<Delta>& deltas) {
  if (event.name == "error") return {EventVerdict::Kind::kError};
  const std::optional<Json> json = ParseGeminiJson(event.data);
  if (!json || !GeminiAnswerReader::IsAnswer(*json)) return {EventVerdict::Kind::kError};
  if (auto failure = reader_.Take(*json, deltas)) {
    return {EventVerdict::Kind::kError, std::move(failure)};
  }
  return {EventVerdict::Kind::kGoesOn};
}

EventVerdict GeminiDeltaParser::TakeEnd(std::vector<Delta>& deltas) {
  if (!reader_.IsFinished()) return {EventVerdict::Kind::kGoesOn};
  if (auto failure = reader_.End(deltas)) return {EventVerdict::Kind::kError, std::move(failure)};
  return {EventVerdict::Kind::kComplete};
}

}  // namespace gateway
