#include <utility>

#include "gateway/dialects/openai_chat_values.h"
#include "gateway/dialects/openai_responses.h"
#include "gateway/dialects/openai_responses_items.h"

namespace gateway {
namespace {

using Kind = ResponseItem::Kind;

// Texts and refusals in a row are contents of one message.
ResponseItem& MessageUnderWay(const ResponseFrame& frame, std::vector<ResponseItem>& items) {
  if (items.empty() || items.back().kind != Kind::kMessage) {
    items.push_back(frame.NewItem(Kind::kMessage, items.size()));
  }
  return items.back();
}

void AddPart(const Part& part, const ResponseFrame& frame, std::vector<ResponseItem>& items) {
  switch (part.kind) {
    case Part::Kind::kText:
    case Part::Kind::kRefusal:
      if (part.text.empty()) return;
      MessageUnderWay(frame, items).contents.push_back({part.kind, part.text});
      return;
    case Part::Kind::kReasoning:
      if (part.text.empty() && part.signature.empty()) return;
      items.push_back(frame.NewItem(Kind::kReasoning, items.size()));
      if (!part.text.empty()) items.back().contents.push_back({part.kind, part.text});
      items.back().is_redacted = part.is_redacted;
      break;
    case Part::Kind::kToolCall:
      items.push_back(frame.NewCall(items.size(), part.id, part.name));
      items.back().arguments = part.text;
      break;
    default:
      return;
  }
  items.back().signature = part.signature;
}

void AddLogprobsTo(std::vector<ResponseItem>& items, const Json& logprobs) {
  const Json& tokens = MemberOf(logprobs, "content");
  if (!tokens.is_array()) return;
  for (ResponseItem& item : items) {
    for (auto& content : item.contents) {
      if (content.kind != Part::Kind::kText) continue;
      content.logprobs = tokens;
      return;
    }
  }
}

}  // namespace

std::string OpenAiResponsesClient::RenderAnswer(const Answer& answer,
                                                const RenderContext& context) const {
  static const Choice kNone;
  ResponseFrame frame(context);
  frame.SetOrigin({answer.id, answer.model, answer.created_at});
  const Choice& choice = answer.choices.empty() ? kNone : answer.choices.front();
  std::vector<ResponseItem> items;
  for (const Part& part : choice.parts) AddPart(part, frame, items);
  AddLogprobsTo(items, choice.logprobs);
  return frame.RenderWhole(items, {choice.finish, answer.usage, answer.service_tier});
}

}  // namespace gateway
