#include "gateway/dialects/conversation.h"

#include <algorithm>
#include <array>
#include <utility>

#include "common/concat.h"
#include "gateway/core/ascii.h"

namespace gateway {
namespace {

// Beyond these an index is nonsense that would only cost memory.
constexpr int kMostChoices = 128;
constexpr int kMostParts = 4096;

struct FieldRow {
  Field field;
  std::string_view chat;  // and completions, where it has no name of its own
  std::string_view responses;
  std::string_view messages;
};

constexpr std::array kFields = {
    FieldRow{Field::kTemperature, "temperature", "temperature", "temperature"},
    FieldRow{Field::kTopP, "top_p", "top_p", "top_p"},
    FieldRow{Field::kTopK, "top_k", "top_k", "top_k"},
    FieldRow{Field::kMaxOutputTokens, "max_completion_tokens", "max_output_tokens", "max_tokens"},
    FieldRow{Field::kStop, "stop", "stop", "stop_sequences"},
    FieldRow{Field::kSeed, "seed", "seed", "seed"},
    FieldRow{Field::kFrequencyPenalty, "frequency_penalty", "frequency_penalty",
             "frequency_penalty"},
    FieldRow{Field::kPresencePenalty, "presence_penalty", "presence_penalty", "presence_penalty"},
    FieldRow{Field::kCandidates, "n", "n", "n"},
    FieldRow{Field::kLogprobs, "logprobs", "include", "logprobs"},
    FieldRow{Field::kTopLogprobs, "top_logprobs", "top_logprobs", "top_logprobs"},
    FieldRow{Field::kLogitBias, "logit_bias", "logit_bias", "logit_bias"},
    FieldRow{Field::kTools, "tools", "tools", "tools"},
    FieldRow{Field::kToolChoice, "tool_choice", "tool_choice", "tool_choice"},
    FieldRow{Field::kParallelToolCalls, "parallel_tool_calls", "parallel_tool_calls",
             "tool_choice.disable_parallel_tool_use"},
    FieldRow{Field::kOutputFormat, "response_format", "text.format", "output_config.format"},
    FieldRow{Field::kReasoning, "reasoning_effort", "reasoning", "thinking"},
    FieldRow{Field::kUser, "user", "user", "metadata.user_id"},
    FieldRow{Field::kMetadata, "metadata", "metadata", "metadata"},
    FieldRow{Field::kServiceTier, "service_tier", "service_tier", "service_tier"},
    FieldRow{Field::kMessages, "messages", "input", "messages"},
    FieldRow{Field::kVerbosity, "verbosity", "text.verbosity", "output_config.effort"},
};

constexpr bool IsInOrder() {
  for (size_t i = 0; i < kFields.size(); ++i) {
    if (static_cast<size_t>(kFields[i].field) != i) return false;
  }
  return true;
}
static_assert(IsInOrder(), "rows must follow the order of enum Field");

bool IsBlank(const Part& part) {
  const bool is_text = part.kind == Part::Kind::kText || part.kind == Part::Kind::kRefusal;
  return part.kind == Part::Kind::kReasoning || (is_text && Trim(part.text).empty());
}

bool SaysNothing(const Message& message) {
  return std::all_of(message.parts.begin(), message.parts.end(), IsBlank);
}

// The last message that is no instruction, or nullptr.
const Message* LastTurn(const Conversation& conversation) {
  for (auto message = conversation.messages.rbegin(); message != conversation.messages.rend();
       ++message) {
    if (message->role != Role::kSystem && message->role != Role::kDeveloper) return &*message;
  }
  return nullptr;
}

bool HasOutput(const Part& part) {
  return part.kind == Part::Kind::kToolCall || !part.text.empty() || !part.signature.empty() ||
         !part.data.empty() || !part.url.empty();
}

}  // namespace

std::string_view FieldName(Endpoint endpoint, Field field) {
  const FieldRow& row = kFields[static_cast<size_t>(field)];
  if (endpoint == Endpoint::kResponses) return row.responses;
  if (endpoint == Endpoint::kMessages) return row.messages;
  if (endpoint == Endpoint::kCompletions && field == Field::kMaxOutputTokens) return "max_tokens";
  if (endpoint == Endpoint::kCompletions && field == Field::kMessages) return "prompt";
  return row.chat;
}

std::optional<Failure> FindContradiction(const Conversation& conversation) {
  using Kind = ToolChoice::Kind;
  const auto refuse = [&](Field field, std::string_view path, std::string_view why) {
    const std::string_view name = path.empty() ? FieldName(conversation.endpoint, field) : path;
    Failure failure =
        MakeFailure(FailureKind::kBadRequest, common::Concat("'", name, "' ", why, "."));
    failure.code = "invalid_value";
    failure.param = Json(name).dump();
    return failure;
  };
  if (std::all_of(conversation.messages.begin(), conversation.messages.end(), SaysNothing)) {
    return refuse(Field::kMessages, {}, "holds nothing to be answered");
  }
  if (const Message* last = LastTurn(conversation);
      last != nullptr && last->role == Role::kUser && SaysNothing(*last)) {
    return refuse(Field::kMessages, last->path, "holds nothing to be answered");
  }
  const ToolChoice& choice = conversation.tool_choice;
  const bool must_call = choice.kind == Kind::kRequired || choice.kind == Kind::kNamed;
  if (must_call && conversation.tools.empty()) {
    return refuse(Field::kToolChoice, {}, "demands a call, but there are no tools");
  }
  const bool is_known = std::any_of(conversation.tools.begin(), conversation.tools.end(),
                                    [&](const Tool& tool) { return tool.name == choice.name; });
  if (choice.kind == Kind::kNamed && !is_known) {
    return refuse(Field::kToolChoice, {}, "names none of the tools");
  }
  const auto& stop = conversation.stop;
  if (std::find(stop.begin(), stop.end(), std::string()) != stop.end()) {
    return refuse(Field::kStop, {}, "must not hold an empty text");
  }
  return std::nullopt;
}

Failure RefuseField(const Conversation& conversation, Field field, std::string_view dialect) {
  const std::string_view name = FieldName(conversation.endpoint, field);
  return RefuseAt(name, common::Concat("'", name, "' cannot be honoured by the provider of this ",
                                       "model, which speaks the ", dialect, " dialect."));
}

Failure RefuseAt(std::string_view path, std::string why) {
  Failure failure = MakeFailure(FailureKind::kBadRequest, std::move(why));
  failure.code = "unsupported_parameter";
  failure.param = Json(path).dump();
  return failure;
}

Failure RefusePlace(const Conversation& conversation, std::string_view path, std::string_view why) {
  const std::string_view name =
      path.empty() ? FieldName(conversation.endpoint, Field::kMessages) : path;
  return RefuseAt(name, common::Concat("'", name, "' ", why,
                                       ", which the provider of this model cannot take."));
}

bool IsEmpty(const Answer& answer) {
  if (answer.choices.empty()) return true;
  if (answer.usage.output_tokens > 0) return false;
  return std::all_of(answer.choices.begin(), answer.choices.end(), [](const Choice& choice) {
    const bool is_telling = choice.finish != FinishReason::kStop;
    return !is_telling && std::none_of(choice.parts.begin(), choice.parts.end(), HasOutput);
  });
}

Part::Kind PartKindOf(const Delta& delta) {
  switch (delta.kind) {
    case Delta::Kind::kRefusal:
      return Part::Kind::kRefusal;
    case Delta::Kind::kReasoning:
    case Delta::Kind::kSignature:
      return Part::Kind::kReasoning;
    case Delta::Kind::kToolCall:
    case Delta::Kind::kToolArguments:
      return Part::Kind::kToolCall;
    default:
      return Part::Kind::kText;
  }
}

bool IsOutput(const Delta& delta) {
  switch (delta.kind) {
    case Delta::Kind::kText:
    case Delta::Kind::kRefusal:
    case Delta::Kind::kReasoning:
      return !delta.text.empty();
    case Delta::Kind::kToolCall:
    case Delta::Kind::kToolArguments:
    case Delta::Kind::kFinish:
      return true;
    default:
      return false;
  }
}

void AnswerBuilder::Add(const Delta& delta) {
  switch (delta.kind) {
    case Delta::Kind::kStart:
      answer_.id = delta.id;
      answer_.model = delta.model;
      answer_.created_at = delta.created_at;
      return;
    case Delta::Kind::kUsage:
      answer_.usage = delta.usage;
      return;
    case Delta::Kind::kFinish:
      ChoiceAt(delta.choice).finish = delta.finish;
      ChoiceAt(delta.choice).stop_sequence = delta.stop_sequence;
      return;
    case Delta::Kind::kLogprobs:
      AddLogprobs(delta.logprobs, ChoiceAt(delta.choice).logprobs);
      return;
    case Delta::Kind::kSignature:
      PartAt(delta).signature += delta.text;
      PartAt(delta).is_redacted |= delta.is_redacted;
      return;
    case Delta::Kind::kToolCall:
      PartAt(delta).id = delta.id;
      PartAt(delta).name = delta.name;
      break;
    default:
      break;
  }
  PartAt(delta).text += delta.text;
}

void AddLogprobs(const Json& more, Json& all) {
  if (!more.is_object()) return;
  if (!all.is_object()) {
    all = more;
    return;
  }
  for (const auto& [name, list] : more.items()) {
    Json& target = all[name];
    if (!list.is_array()) continue;
    if (!target.is_array()) target = Json::array();
    for (const Json& item : list) target.push_back(item);
  }
}

Choice& AnswerBuilder::ChoiceAt(int index) {
  const int clamped = std::clamp(index, 0, kMostChoices - 1);
  while (answer_.choices.size() <= static_cast<size_t>(clamped)) answer_.choices.emplace_back();
  return answer_.choices[static_cast<size_t>(clamped)];
}

Part& AnswerBuilder::PartAt(const Delta& delta) {
  std::vector<Part>& parts = ChoiceAt(delta.choice).parts;
  const int clamped = std::clamp(delta.part, 0, kMostParts - 1);
  while (parts.size() <= static_cast<size_t>(clamped)) {
    parts.emplace_back();
    parts.back().kind = PartKindOf(delta);
  }
  return parts[static_cast<size_t>(clamped)];
}

}  // namespace gateway
