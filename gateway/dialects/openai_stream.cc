#include "gateway/dialects/openai_stream.h"

#include <cstring>
#include <utility>

#include "gateway/core/ascii.h"
#include "gateway/core/error_body.h"
#include "gateway/core/failure_classifier.h"
#include "gateway/core/small_json.h"
#include "gateway/dialects/openai_answer.h"

namespace gateway {
namespace {

// The status line of a stream has said success.
constexpr int kStreamStatus = 200;
constexpr size_t kMaxStrayBytes = 64 * 1024;
constexpr std::string_view kEndMarker = "data: [DONE]\n\n";

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

bool IsEmptyJson(const Json& value) {
  return value.is_null() || (value.is_string() && value.get_ref<const std::string&>().empty()) ||
         (value.is_structured() && value.empty());
}

bool HasOutput(const Json& delta) {
  if (!delta.is_object()) return false;
  for (const auto& [name, value] : delta.items()) {
    if (IsOutputMember(name) && !IsEmptyJson(value)) return true;
  }
  return false;
}

struct ChoiceFacts {
  bool has_choices = false;
  bool has_output = false;
  bool has_finish_reason = false;
};

ChoiceFacts ReadChoices(const Json& chunk) {
  ChoiceFacts facts;
  const auto choices = chunk.find("choices");
  if (choices == chunk.end() || !choices->is_array()) return facts;
  for (const Json& choice : *choices) {
    if (!choice.is_object()) continue;
    facts.has_choices = true;
    const auto member = [&choice](const char* name) {
      const auto found = choice.find(name);
      return found == choice.end() ? Json() : *found;
    };
    facts.has_finish_reason |= !IsEmptyJson(member("finish_reason"));
    facts.has_output |=
        HasOutput(member("delta")) || HasOutput(member("message")) || !IsEmptyJson(member("text"));
  }
  return facts;
}

Failure ClassifyStreamError(const ErrorBody& body) {
  // The stream's own headers were sent before the failure and say nothing about it. Without them
  // the body's moments have no clock to be compared with but the epoch, which makes them absurd.
  return ClassifyError(kStreamStatus, Headers(), body, common::WallTime());
}

// An event named "error" is one whatever it holds.
Failure ClassifyEvent(const SseEvent& event, ErrorBody body) {
  body.has_error |= event.name == "error";
  return ClassifyStreamError(body);
}

bool IsJsonObject(std::string_view data) {
  return data.starts_with('{') && Trim(data).ends_with('}');
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
  if (goes_on) EndWithoutMarker(step);
  step.is_committed = is_committed_;
  return step;
}

bool OpenAiStreamReader::Take(const SseEvent& event, StreamStep& step) {
  if (event.has_stray_line) return KeepStray(event, step);
  if (!event.has_data) {
    const bool is_comment = event.name.empty();
    if (is_committed_ && is_comment) step.client_bytes += event.raw;
    return true;
  }
  if (IsEndMarker(event.data)) return TakeEndMarker(event, step);
  return is_committed_ ? TakeAfterCommit(event, step) : TakeBeforeCommit(event, step);
}

bool OpenAiStreamReader::TakeBeforeCommit(const SseEvent& event, StreamStep& step) {
  if (!TakeSuspicious(event, step)) return false;
  held_ += event.raw;
  ++held_events_;
  if (is_committed_) {
    step.client_bytes += std::exchange(held_, {});
    return true;
  }
  if (held_.size() <= kMaxHeldBytes && held_events_ <= kMaxHeldEvents) return true;
  step.failure = MalformedAnswer(kStreamStatus, "goes on and on without any output");
  return false;
}

bool OpenAiStreamReader::TakeAfterCommit(const SseEvent& event, StreamStep& step) {
  const std::string_view data = event.data;
  const bool is_plain_chunk = !is_at_end_ && event.name != "error" && IsJsonObject(data) &&
                              HasToken(data, "\"choices\"") && !HasToken(data, "\"error\"");
  if (!is_plain_chunk) {
    if (!TakeSuspicious(event, step)) return false;
  } else {
    const std::string_view finish_reason = ValueOf(data, "\"finish_reason\"");
    const bool has_reason = finish_reason.starts_with('"');
    const bool has_choice = !ValueOf(data, "\"choices\"").starts_with("[]");
    if (has_choice) has_finish_reason_ = has_reason;
    if (ValueOf(data, "\"usage\"").starts_with('{')) tokens_used_ = ReadOpenAiUsage(data);
  }
  step.client_bytes += event.raw;
  return true;
}

// Parses the event: it may fail, commit, or be harmless.
bool OpenAiStreamReader::TakeSuspicious(const SseEvent& event, StreamStep& step) {
  const auto json = event.data.size() <= kMaxErrorBytes ? ParseSmallJson(event.data) : std::nullopt;
  if (!json) {
    const bool is_huge_chunk = event.data.size() > kMaxErrorBytes && IsJsonObject(event.data);
    if (is_huge_chunk && event.name != "error") {
      is_committed_ = true;
      return true;
    }
    step.failure = ClassifyEvent(event, ReadErrorBody(event.data));
    return false;
  }
  ErrorBody body = ReadErrorJson(*json);
  if (event.name == "error" || body.has_error || !json->is_object()) {
    step.failure = ClassifyEvent(event, std::move(body));
    return false;
  }
  const ChoiceFacts facts = ReadChoices(*json);
  if (facts.has_choices) has_finish_reason_ = facts.has_finish_reason;
  is_committed_ |= facts.has_output || facts.has_finish_reason;
  if (const int64_t tokens = ReadOpenAiUsage(event.data); tokens > 0) tokens_used_ = tokens;
  return true;
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
  return ClassifyStreamError(ReadErrorBody(stray_));
}

void OpenAiStreamReader::EndWithoutMarker(StreamStep& step) {
  step.failure = StrayFailure();
  if (step.failure) return;
  if (is_committed_ && has_finish_reason_) {
    step.client_bytes += kEndMarker;
    step.is_complete = true;
    return;
  }
  const bool is_empty = !is_committed_ && held_events_ == 0;
  step.failure = MalformedAnswer(kStreamStatus, is_empty ? "is empty" : "broke off");
  if (!is_empty) step.failure->kind = FailureKind::kUpstreamInterrupted;
}

}  // namespace gateway
