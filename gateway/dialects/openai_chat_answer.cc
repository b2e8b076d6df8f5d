#include <algorithm>
#include <utility>

#include "common/concat.h"
#include "gateway/core/failure_classifier.h"
#include "gateway/dialects/openai_chat.h"
#include "gateway/dialects/openai_chat_values.h"
#include "gateway/dialects/openai_fields.h"

namespace gateway {
namespace {

Part ReadToolCall(const Json& call, size_t index, const std::string& answer_id) {
  Part part;
  part.kind = Part::Kind::kToolCall;
  const Json& function = MemberOf(call, "function");
  part.name = TextAt(function, "name");
  part.text = ArgumentsOf(function);
  part.id = TextAt(call, "id");
  if (part.id.empty()) part.id = MadeUpCallId(answer_id, index);
  part.signature = ReadThoughtSignature(call);
  return part;
}

Choice ReadChoice(const Json& json, const std::string& answer_id) {
  Choice choice;
  const Json& message = MemberOf(json, "message");
  AddText(Part::Kind::kReasoning, ReasoningOf(message), choice.parts);
  for (Part& part : ContentOf(message)) choice.parts.push_back(std::move(part));
  AddText(Part::Kind::kRefusal, TextAt(message, "refusal"), choice.parts);
  const Json& calls = MemberOf(message, "tool_calls");
  if (calls.is_array()) {
    for (const Json& call : calls) {
      choice.parts.push_back(ReadToolCall(call, choice.parts.size(), answer_id));
    }
  }
  const bool has_calls = calls.is_array() && !calls.empty();
  choice.finish = ReadOpenAiFinishReason(TextAt(json, "finish_reason"), has_calls);
  const Json& logprobs = MemberOf(json, "logprobs");
  if (logprobs.is_object()) choice.logprobs = logprobs;
  return choice;
}

Json RenderToolCall(const Part& part) {
  Json call = {{"id", part.id},
               {"type", "function"},
               {"function", {{"name", part.name}, {"arguments", part.text}}}};
  if (!part.signature.empty()) call["extra_content"] = RenderThoughtSignature(part.signature);
  return call;
}

Json RenderMessage(const Choice& choice) {
  std::string text;
  std::string refusal;
  std::string reasoning;
  Json calls = Json::array();
  bool has_text = false;
  for (const Part& part : choice.parts) {
    if (part.kind == Part::Kind::kToolCall) calls.push_back(RenderToolCall(part));
    if (part.kind == Part::Kind::kRefusal) refusal += part.text;
    if (part.kind == Part::Kind::kReasoning) reasoning += part.text;
    if (part.kind != Part::Kind::kText) continue;
    has_text = true;
    text += part.text;
  }
  Json message = {{"role", "assistant"}};
  // A client expects a text unless there is something else in its place.
  const bool may_be_null = !calls.empty() || !refusal.empty();
  message["content"] = has_text || !may_be_null ? Json(std::move(text)) : Json(nullptr);
  message["refusal"] = refusal.empty() ? Json(nullptr) : Json(std::move(refusal));
  if (!reasoning.empty()) message["reasoning_content"] = std::move(reasoning);
  if (!calls.empty()) message["tool_calls"] = std::move(calls);
  return message;
}

}  // namespace

std::variant<Answer, Failure> ReadOpenAiChatAnswer(const UpstreamReply& reply) {
  const Json json = ParseJson(reply.body);
  const Json& choices = MemberOf(json, "choices");
  if (!choices.is_array()) return MalformedAnswer(reply.status, "is of another shape");
  Answer answer;
  answer.id = TextAt(json, "id");
  answer.model = TextAt(json, "model");
  answer.created_at = CountAt(json, "created");
  answer.service_tier = TextAt(json, "service_tier");
  answer.system_fingerprint = TextAt(json, "system_fingerprint");
  for (const Json& choice : choices) {
    if (HasForeignOutput(MemberOf(choice, "message"))) return ForeignOutput(reply.status);
    answer.choices.push_back(ReadChoice(choice, answer.id));
  }
  answer.usage = ReadOpenAiUsageObject(MemberOf(json, "usage"));
  if (IsEmpty(answer)) return MalformedAnswer(reply.status, "has no output");
  return answer;
}

std::string OpenAiChatClient::RenderAnswer(const Answer& answer,
                                           const RenderContext& context) const {
  Json json = {{"id", AnswerId("chatcmpl-", answer.id, context)},
               {"object", "chat.completion"},
               {"created", CreatedAt(answer.created_at, context)},
               {"model", AnswerModel(answer.model, context)},
               {"choices", Json::array()}};
  for (const Choice& choice : answer.choices) {
    json["choices"].push_back({{"index", json["choices"].size()},
                               {"message", RenderMessage(choice)},
                               {"logprobs", choice.logprobs},
                               {"finish_reason", OpenAiFinishReason(choice.finish)}});
  }
  if (answer.usage.is_known) json["usage"] = RenderOpenAiUsage(answer.usage);
  if (!answer.service_tier.empty()) json["service_tier"] = answer.service_tier;
  if (!answer.system_fingerprint.empty()) json["system_fingerprint"] = answer.system_fingerprint;
  return RenderJson(json);
}

}  // namespace gateway
