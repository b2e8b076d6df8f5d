#include "gateway/dialects/translated_stream.h"

#include <utility>

namespace gateway {

bool TranslatedStream::TakeData(const SseEvent& event, StreamStep& step) {
  deltas_.clear();
  EventVerdict verdict = parser_->Take(event, deltas_);
  if (verdict.failure) {
    step.failure = std::move(verdict.failure);
    return false;
  }
  // What came in one event with an error is not the model's answer.
  if (verdict.kind == EventVerdict::Kind::kError) return TakeNoEvent(event, step);
  CountEvent();
  if (!RenderDeltas(step)) return false;
  return verdict.kind == EventVerdict::Kind::kGoesOn || CompleteWithEnd(step);
}

bool TranslatedStream::TakeEnd(StreamStep& step) {
  deltas_.clear();
  EventVerdict verdict = parser_->TakeEnd(deltas_);
  if (verdict.kind == EventVerdict::Kind::kGoesOn) return false;
  step.failure = std::move(verdict.failure);
  if (!step.failure && RenderDeltas(step)) CompleteWithEnd(step);
  return true;
}

bool TranslatedStream::RenderDeltas(StreamStep& step) {
  rendered_.clear();
  for (const Delta& delta : deltas_) {
    if (IsOutput(delta)) Commit();
    if (delta.kind == Delta::Kind::kUsage) tokens_used_ = delta.usage.Total();
    renderer_->Render(delta, rendered_);
  }
  if (!rendered_.empty() && !PassOrHold(rendered_, step)) return false;
  step.failure = renderer_->failure();
  return !step.failure;
}

bool TranslatedStream::CompleteWithEnd(StreamStep& step) {
  rendered_.clear();
  if (is_committed()) renderer_->RenderEnd(rendered_);
  step.failure = renderer_->failure();
  return !step.failure && Complete(rendered_, step);
}

}  // namespace gateway
