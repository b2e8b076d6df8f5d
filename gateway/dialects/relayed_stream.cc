#include "gateway/dialects/relayed_stream.h"

namespace gateway {

bool RelayedStream::TakeData(const SseEvent& event, StreamStep& step) {
  const Care care = is_committed() && !is_at_end() ? Care::kErrorsOnly : Care::kFull;
  switch (judge_->Judge(event, care)) {
    case EventMeaning::kOutput:
      Commit();
      break;
    case EventMeaning::kSilent:
      break;
    case EventMeaning::kOurs:
      CountEvent();
      return true;
    case EventMeaning::kLast:
      Commit();
      return Complete(event.raw, step);
    case EventMeaning::kEnd:
      return Complete(event.raw, step);
    case EventMeaning::kNoEvent:
      if (!TakeNoEvent(event, step)) return false;
      break;
  }
  CountEvent();
  return PassOrHold(event.raw, step);
}

bool RelayedStream::TakeComment(const SseEvent& event, StreamStep& step) {
  return PassOrHold(event.raw, step);
}

}  // namespace gateway
