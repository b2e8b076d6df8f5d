#include "gateway/dialects/event_stream.h"

#include <utility>

#include "gateway/core/ascii.h"
#include "gateway/core/failure_classifier.h"

namespace gateway {
namespace {

constexpr size_t kMaxStrayBytes = 64 * 1024;

Failure BrokenOff() {
  Failure failure = MalformedAnswer(kStreamStatus, "broke off");
  failure.kind = FailureKind::kUpstreamInterrupted;
  return failure;
}

}  // namespace

Failure ClassifyStreamError(ErrorBody body) {
  // Without headers the body's moments have no clock to be compared with but the epoch, which makes
  // them absurd.
  return ClassifyError(kStreamStatus, Headers(), std::move(body), common::WallTime());
}

StreamStep EventStream::Feed(std::string_view bytes) {
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

StreamStep EventStream::Finish() {
  StreamStep step;
  is_at_end_ = true;
  const auto rest = events_.TakeRest();
  const bool goes_on = !rest || Take(*rest, step);
  if (goes_on && !(Trim(stray_).empty() && TakeEnd(step))) step.failure = EndWithoutMarker();
  step.is_committed = is_committed_;
  return step;
}

bool EventStream::Take(const SseEvent& event, StreamStep& step) {
  if (event.has_stray_line) return KeepStray(event, step);
  if (event.has_data) return TakeData(event, step);
  // A name without data makes clients fail.
  return !event.name.empty() || TakeComment(event, step);
}

bool EventStream::PassOrHold(std::string_view bytes, StreamStep& step) {
  if (is_committed_) {
    step.client_bytes += std::exchange(held_, {});
    step.client_bytes += bytes;
    return true;
  }
  held_ += bytes;
  if (held_.size() <= kMaxHeldBytes && held_events_ <= kMaxHeldEvents) return true;
  step.failure = MalformedAnswer(kStreamStatus, "goes on and on without any output");
  return false;
}

bool EventStream::Complete(std::string_view bytes, StreamStep& step) {
  step.failure = StrayFailure();
  if (!step.failure && !is_committed_) {
    step.failure = MalformedAnswer(kStreamStatus, "ended without any output");
  }
  if (step.failure) return false;
  step.client_bytes += std::exchange(held_, {});
  step.client_bytes += bytes;
  step.is_complete = true;
  return false;
}

bool EventStream::TakeNoEvent(const SseEvent& event, StreamStep& step) {
  ErrorBody body = ReadErrorBody(event.data);
  const bool is_json = body.form == ErrorBody::Form::kJson;
  body.has_error |= event.name == "error";
  if (is_json && !body.has_error && event.data.starts_with('{')) return true;
  step.failure = ClassifyStreamError(std::move(body));
  if (is_json || step.failure->kind != FailureKind::kUpstreamMalformed) return false;
  step.failure =
      is_at_end_ ? BrokenOff() : MalformedAnswer(kStreamStatus, "has an event that is no JSON");
  return false;
}

bool EventStream::KeepStray(const SseEvent& event, StreamStep& step) {
  stray_ += event.raw;
  if (stray_.size() <= kMaxStrayBytes) return true;
  step.failure = MalformedAnswer(kStreamStatus, "is no event stream");
  return false;
}

std::optional<Failure> EventStream::StrayFailure() const {
  if (Trim(stray_).empty()) return std::nullopt;
  const ErrorBody body = ReadErrorBody(stray_);
  Failure failure = ClassifyStreamError(body);
  const bool says_nothing =
      failure.kind == FailureKind::kUpstreamMalformed && body.form == ErrorBody::Form::kText;
  return says_nothing ? MalformedAnswer(kStreamStatus, "is no event stream") : failure;
}

Failure EventStream::EndWithoutMarker() const {
  const bool has_begun = is_committed_ || held_events_ > 0;
  const std::optional<Failure> stray = StrayFailure();
  if (stray && (!has_begun || stray->kind != FailureKind::kUpstreamMalformed)) return *stray;
  if (!has_begun) return MalformedAnswer(kStreamStatus, "is empty");
  return BrokenOff();
}

}  // namespace gateway
