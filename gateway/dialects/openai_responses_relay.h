// What a provider's own Responses API says, for clients of the same dialect: proof that a 2xx is an
// answer of the model, what the events of a stream mean, and whether a provider has this API at
// all. Pure.
//
// A stream commits with the first output: a delta, an item other than a message or reasoning
// (those begin empty), an item that is done and has text. `response.completed` and
// `response.incomplete` complete it; `response.failed` and `error` are failures.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "gateway/dialects/openai_answer.h"
#include "gateway/dialects/relayed_stream.h"

namespace gateway {

// As JudgeOpenAiAnswer does. A response cut short is an answer; one that is still under way is
// none, since nobody could ask for the rest.
AnswerVerdict JudgeResponsesAnswer(std::string_view body);

class ResponsesJudge final : public EventJudge {
 public:
  EventMeaning Judge(const SseEvent& event, Care care) override;
  int64_t tokens_used() const override { return tokens_used_; }
  StreamPosition position() const override { return position_; }

 private:
  EventMeaning JudgeFully(const SseEvent& event);

  int64_t tokens_used_ = 0;
  StreamPosition position_;
};

// Whether an error answer to POST .../responses says that the provider has no such route, rather
// than that it does not know the model, or something that the request refers to.
bool HasNoSuchRoute(int status, std::string_view body);

}  // namespace gateway
