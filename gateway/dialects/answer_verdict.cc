#include "gateway/dialects/answer_verdict.h"

#include "gateway/core/error_body.h"
#include "gateway/core/failure_classifier.h"

namespace gateway {
namespace {

std::string_view WhatIsWrong(AnswerVerdict verdict) {
  switch (verdict) {
    case AnswerVerdict::kEmpty:
      return "has no output";
    case AnswerVerdict::kNotJson:
      return "is no complete JSON";
    default:
      return "is of another shape";
  }
}

}  // namespace

Failure ClassifyBadSuccess(const UpstreamReply& reply, AnswerVerdict verdict) {
  const ErrorBody body = ReadErrorBody(reply.body);
  if (body.form == ErrorBody::Form::kEmpty) return MalformedAnswer(reply.status, "is empty");
  Failure failure = ClassifyError(reply.status, reply.headers, body, reply.received_at);
  const bool says_nothing = failure.kind == FailureKind::kUpstreamMalformed;
  if (!says_nothing && (body.has_error || body.form == ErrorBody::Form::kText)) return failure;
  if (body.form == ErrorBody::Form::kPage) {
    failure.kind = FailureKind::kUpstreamMalformed;
    return failure;
  }
  return MalformedAnswer(reply.status, WhatIsWrong(verdict));
}

}  // namespace gateway
