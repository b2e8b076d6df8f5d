#include "gateway/dialects/openai_responses_items.h"

#include <array>
#include <utility>

#include "common/concat.h"
#include "common/json_text.h"
#include "gateway/dialects/openai_chat.h"
#include "gateway/dialects/openai_chat_values.h"
#include "gateway/dialects/openai_responses.h"

namespace gateway {
namespace {

constexpr std::string_view kIdPrefix = "resp_";

Json RenderMessageItem(const ResponseItem& item, std::string_view status) {
  Json content = Json::array();
  for (const auto& part : item.contents) content.push_back(RenderContent(part, {}));
  return {{"id", item.id},
          {"type", "message"},
          {"status", status},
          {"role", "assistant"},
          {"content", std::move(content)}};
}

Json RenderReasoningItem(const ResponseItem& item, std::string_view status, ReasoningForm form) {
  Json summary = Json::array();
  Json content = Json::array();
  for (const auto& part : item.contents) {
    (form == ReasoningForm::kSummary ? summary : content).push_back(RenderContent(part, form));
  }
  Json json = {{"id", item.id}, {"type", "reasoning"}, {"summary", std::move(summary)}};
  if (form == ReasoningForm::kText) json["content"] = std::move(content);
  if (!item.signature.empty()) {
    json["encrypted_content"] =
        common::Concat(item.is_redacted ? kRedactedPrefix : std::string_view(), item.signature);
  }
  json["status"] = status;
  return json;
}

Json RenderCallItem(const ResponseItem& item, std::string_view status) {
  Json json = {{"id", item.id},           {"type", "function_call"}, {"status", status},
               {"call_id", item.call_id}, {"name", item.name},       {"arguments", item.arguments}};
  if (!item.signature.empty()) json["extra_content"] = RenderThoughtSignature(item.signature);
  return json;
}

Json RenderResponsesUsage(const Usage& usage) {
  if (!usage.is_known) return nullptr;
  return {{"input_tokens", usage.input_tokens},
          {"input_tokens_details",
           {{"cached_tokens", usage.cached_input_tokens},
            {"cache_write_tokens", usage.cache_creation_tokens}}},
          {"output_tokens", usage.output_tokens},
          {"output_tokens_details", {{"reasoning_tokens", usage.reasoning_tokens}}},
          {"total_tokens", usage.Total()}};
}

std::string_view IncompleteReason(FinishReason finish) {
  return finish == FinishReason::kLength ? "max_output_tokens" : "content_filter";
}

std::string EchoText(const Json& echo) {
  if (!echo.is_object() || echo.empty()) return {};
  const std::string text = RenderJson(echo);
  return common::Concat(',', std::string_view(text).substr(1, text.size() - 2));
}

}  // namespace

Json RenderContent(const ResponseItem::Content& content, ReasoningForm form) {
  switch (content.kind) {
    case Part::Kind::kRefusal:
      return {{"type", "refusal"}, {"refusal", content.text}};
    case Part::Kind::kReasoning:
      return {{"type", form == ReasoningForm::kSummary ? "summary_text" : "reasoning_text"},
              {"text", content.text}};
    default:
      return {{"type", "output_text"},
              {"text", content.text},
              {"annotations", Json::array()},
              {"logprobs", content.logprobs}};
  }
}

Json RenderItem(const ResponseItem& item, std::string_view status, ReasoningForm form) {
  switch (item.kind) {
    case ResponseItem::Kind::kMessage:
      return RenderMessageItem(item, status);
    case ResponseItem::Kind::kReasoning:
      return RenderReasoningItem(item, status, form);
    case ResponseItem::Kind::kFunctionCall:
      return RenderCallItem(item, status);
  }
  return nullptr;
}

ResponseFrame::ResponseFrame(const RenderContext& context)
    : context_(context),
      form_(context.conversation.reasoning.summary.empty() ? ReasoningForm::kText
                                                           : ReasoningForm::kSummary),
      echo_(EchoText(context.conversation.echo)) {
  SetOrigin({std::string(), std::string()});
}

void ResponseFrame::SetOrigin(const Origin& origin) {
  id_ = AnswerId(kIdPrefix, origin.id, context_);
  if (!id_.starts_with(kIdPrefix)) id_.insert(0, kIdPrefix);
  model_ = AnswerModel(origin.model, context_);
  created_at_ = CreatedAt(origin.created_at, context_);
}

ResponseItem ResponseFrame::NewItem(ResponseItem::Kind kind, size_t index) const {
  constexpr std::array<std::string_view, 3> kPrefixes = {"msg_", "rs_", "fc_"};
  ResponseItem item;
  item.kind = kind;
  item.id = common::Concat(kPrefixes[static_cast<size_t>(kind)],
                           std::string_view(id_).substr(kIdPrefix.size()), '_', index);
  return item;
}

ResponseItem ResponseFrame::NewCall(size_t index, const std::string& call_id,
                                    const std::string& name) const {
  ResponseItem item = NewItem(ResponseItem::Kind::kFunctionCall, index);
  item.call_id = call_id.empty() ? MadeUpCallId(id_, index) : call_id;
  item.name = name;
  return item;
}

std::string_view ResponseFrame::StatusOf(FinishReason finish) {
  const bool was_cut = finish == FinishReason::kLength || finish == FinishReason::kContentFilter ||
                       finish == FinishReason::kRefusal;
  return was_cut ? kIncomplete : kCompleted;
}

std::string_view ResponseFrame::ItemStatus(FinishReason finish, size_t index, size_t count) {
  return index + 1 == count ? StatusOf(finish) : kCompleted;
}

std::string ResponseFrame::RenderInProgress() const {
  return Render(kInProgress, nullptr, "[]", nullptr, nullptr);
}

std::string ResponseFrame::RenderWhole(const std::vector<ResponseItem>& items,
                                       const Ending& ending) const {
  std::string output = "[";
  for (size_t i = 0; i < items.size(); ++i) {
    if (i > 0) output += ',';
    output += RenderJson(RenderItem(items[i], ItemStatus(ending.finish, i, items.size()), form_));
  }
  output += ']';
  const std::string_view status = StatusOf(ending.finish);
  Json details;
  if (status == kIncomplete) details = {{"reason", IncompleteReason(ending.finish)}};
  const Json tier = ending.service_tier.empty() ? Json(nullptr) : Json(ending.service_tier);
  return Render(status, details, output, RenderResponsesUsage(ending.usage), tier);
}

std::string ResponseFrame::Render(std::string_view status, const Json& incomplete_details,
                                  std::string_view output, const Json& usage,
                                  const Json& service_tier) const {
  std::string text = R"({"id":)";
  common::AppendJsonString(id_, text);
  text += common::Concat(R"(,"object":"response","created_at":)", created_at_, R"(,"status":")",
                         status, R"(","error":null,"incomplete_details":)",
                         incomplete_details.dump(), R"(,"model":)");
  common::AppendJsonString(model_, text);
  text += common::Concat(R"(,"output":)", output, R"(,"usage":)", usage.dump(),
                         R"(,"service_tier":)", RenderJson(service_tier), echo_, '}');
  return text;
}

}  // namespace gateway
