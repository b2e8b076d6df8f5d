#include "gateway/dialects/openai_stream.h"

#include <cstring>
#include <utility>

#include "gateway/core/ascii.h"
#include "gateway/core/error_body.h"
#include "gateway/core/failure_classifier.h"
#include "gateway/dialects/openai_answer.h"

namespace gateway {
namespace {

// The status line of a stream has said success.
constexpr int kStreamStatus = 200;
constexpr size_t kMaxStrayBytes = 64 * 1024;

// Streams are long and mostly uneventful: these look for a member's name without parsing. Inside a
// JSON string the quotes would be escaped, so a hit is a name or a whole value.
bool HasToken(std::string_view json, std::string_view quoted) {
  return memmem(json.data(), json.size(), quoted.data(), quoted.size()) != nullptr;
}

// What follows the first member called `quoted`, without white space and colon.
std::string_view ValueOf(std::string_view json, std::string_view quoted) {
  const void* hit = memmem(json.data(), json.size(), quoted.data(), quoted.size());
  if (hit == nullptr) return {};
  std::string_view value = json.substr(static_cast<const char*>(hit) - json.data() + quoted.size());
  while (!value.empty() && (value.front() == ':' || IsSpace(value.front()))) value.remove_prefix(1);
  return value;
}

bool IsEndMarker(std::string_view data) { return data.starts_with("[DONE]"); }

Failure ClassifyStreamError(const ErrorBody& body) {
  // The stream's own headers were sent before the failure and say nothing about it. Without them
  // the body's moments have no clock to be compared with but the epoch, which makes them absurd.
  return ClassifyError(kStreamStatus, Headers(), body, common::WallTime());
}

Failure BrokenOff() {
  Failure failure = MalformedAnswer(kStreamStatus, "broke off");
  failure.kind = FailureKind::kUpstreamInterrupted;
  return failure;
}

// A chunk that cannot be an error, by its looks.
bool IsPlainChunk(const SseEvent& event) {
  const std::string_view data = event.data;
  return event.name != "error" && data.starts_with('{') && data.ends_with('}') &&
         HasToken(data, "\"choices\"") && !HasToken(data, "\"error\"");
}

}  // namespace

StreamStep OpenAiStreamReader::Feed(std::string_view bytes) {
  StreamStep step;
  if (is_committed_) step.client_bytes.reserve(bytes.size());
  events_.Feed(bytes);
  while (const auto event = events_.Next()) {
    if (!Take(*event, step)) break;
  }
  if (!step.failure && events_.IsOverLimit()) {
    step.failure = MalformedAnswer(kStreamStatus, "has an event that is too large");
  }
  step.is_committed = is_committed_;
  return step;
}

StreamStep OpenAiStreamReader::Finish() {
  StreamStep step;
  is_at_end_ = true;
  const auto rest = events_.TakeRest();
  const bool goes_on = !rest || Take(*rest, step);
  if (goes_on) step.failure = EndWithoutMarker();
  step.is_committed = is_committed_;
  return step;
}

bool OpenAiStreamReader::Take(const SseEvent& event, StreamStep& step) {
  if (event.has_stray_line) return KeepStray(event, step);
  if (!event.has_data) {
    const bool is_comment = event.name.empty();
    return !is_comment || PassOrHold(event.raw, step);
  }
  if (IsEndMarker(event.data)) return TakeEndMarker(event, step);
  return TakeData(event, step);
}

bool OpenAiStreamReader::TakeData(const SseEvent& event, StreamStep& step) {
  const bool is_plain = is_committed_ && !is_at_end_ && IsPlainChunk(event);
  if (!is_plain && !Inspect(event, step)) return false;
  if (ValueOf(event.data, "\"usage\"").starts_with('{')) {
    tokens_used_ = ReadOpenAiUsage(event.data);
  }
  if (!is_committed_) ++held_events_;
  return PassOrHold(event.raw, step);
}

// Passes `raw` on, behind what was held back, or holds it back, too.
bool OpenAiStreamReader::PassOrHold(std::string_view raw, StreamStep& step) {
  if (is_committed_) {
    step.client_bytes += std::exchange(held_, {});
    step.client_bytes += raw;
    return true;
  }
  held_ += raw;
  if (held_.size() <= kMaxHeldBytes && held_events_ <= kMaxHeldEvents) return true;
  step.failure = MalformedAnswer(kStreamStatus, "goes on and on without any output");
  return false;
}

// Parses the event: it may fail, commit, or be harmless.
bool OpenAiStreamReader::Inspect(const SseEvent& event, StreamStep& step) {
  if (event.name != "error") {
    const ChunkVerdict verdict = JudgeOpenAiChunk(event.data);
    is_committed_ |= verdict == ChunkVerdict::kOutput;
    if (verdict != ChunkVerdict::kOther) return true;
  }
  ErrorBody body = ReadErrorBody(event.data);
  const bool is_json = body.form == ErrorBody::Form::kJson;
  body.has_error |= event.name == "error";
  if (is_json && !body.has_error && event.data.starts_with('{')) return true;
  step.failure = ClassifyStreamError(body);
  if (is_json || step.failure->kind != FailureKind::kUpstreamMalformed) return false;
  step.failure =
      is_at_end_ ? BrokenOff() : MalformedAnswer(kStreamStatus, "has an event that is no JSON");
  return false;
}

bool OpenAiStreamReader::TakeEndMarker(const SseEvent& event, StreamStep& step) {
  step.failure = StrayFailure();
  if (!step.failure && !is_committed_) {
    step.failure = MalformedAnswer(kStreamStatus, "ended without any output");
  }
  if (step.failure) return false;
  step.client_bytes += event.raw;
  step.is_complete = true;
  return false;
}

bool OpenAiStreamReader::KeepStray(const SseEvent& event, StreamStep& step) {
  stray_ += event.raw;
  if (stray_.size() <= kMaxStrayBytes) return true;
  step.failure = MalformedAnswer(kStreamStatus, "is no event stream");
  return false;
}

std::optional<Failure> OpenAiStreamReader::StrayFailure() const {
  if (Trim(stray_).empty()) return std::nullopt;
  const ErrorBody body = ReadErrorBody(stray_);
  Failure failure = ClassifyStreamError(body);
  const bool says_nothing =
      failure.kind == FailureKind::kUpstreamMalformed && body.form == ErrorBody::Form::kText;
  return says_nothing ? MalformedAnswer(kStreamStatus, "is no event stream") : failure;
}

Failure OpenAiStreamReader::EndWithoutMarker() const {
  const bool has_begun = is_committed_ || held_events_ > 0;
  const std::optional<Failure> stray = StrayFailure();
  if (stray && (!has_begun || stray->kind != FailureKind::kUpstreamMalformed)) return *stray;
  if (!has_begun) return MalformedAnswer(kStreamStatus, "is empty");
  return BrokenOff();
}

}  // namespace gateway
