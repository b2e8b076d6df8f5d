#include "gateway/dialects/anthropic_thinking.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "gateway/core/ascii.h"

namespace gateway {
namespace {

constexpr int64_t kLeastBudget = 1024;
constexpr int64_t kAnswerTokens = 4096;
constexpr int64_t kOldDefaultTokens = 4096;
constexpr int64_t kDefaultTokens = 16384;

struct EffortRow {
  std::string_view effort;
  int64_t budget;
  std::string_view anthropic;
};

constexpr std::array kEfforts = {
    EffortRow{"minimal", 1024, "low"},   EffortRow{"low", 2048, "low"},
    EffortRow{"medium", 8192, "medium"}, EffortRow{"high", 16384, "high"},
    EffortRow{"xhigh", 24576, "xhigh"},
};

struct Version {
  int major = 0;
  int minor = 0;
  auto operator<=>(const Version&) const = default;
};

constexpr Version kUnknown = {1000, 0};
constexpr Version kFirstWithEffort = {4, 6};
constexpr Version kFirstWithLongAnswers = {3, 7};

// A number of one or two digits; longer ones are dates.
std::optional<int> VersionNumber(std::string_view word) {
  if (word.empty() || word.size() > 2) return std::nullopt;
  int number = 0;
  for (const char c : word) {
    if (c < '0' || c > '9') return std::nullopt;
    number = number * 10 + (c - '0');
  }
  return number;
}

// "claude-3-5-haiku-20241022" is 3.5, "claude-sonnet-4-20250514" 4.0, "claude-opus-4.6" 4.6.
Version VersionOf(std::string_view model) {
  const size_t name = model.find("claude");
  if (name == std::string_view::npos) return kUnknown;
  std::string_view rest = model.substr(name);
  std::optional<int> major;
  while (!rest.empty()) {
    const size_t end = std::min(rest.find_first_of("-.@_:"), rest.size());
    const std::optional<int> number = VersionNumber(rest.substr(0, end));
    if (major) return {*major, number.value_or(0)};
    major = number;
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return major ? Version{*major, 0} : kUnknown;
}

const EffortRow* FindEffort(std::string_view effort) {
  for (const EffortRow& row : kEfforts) {
    if (row.effort == effort) return &row;
  }
  return nullptr;
}

bool IsToolForced(const Conversation& conversation) {
  return conversation.tool_choice.kind == ToolChoice::Kind::kRequired ||
         conversation.tool_choice.kind == ToolChoice::Kind::kNamed;
}

// With a budget, the turn under way must have begun with thinking if it goes on with a tool's
// results; clients whose dialect cannot carry the signature have none to give back.
bool GoesOnWithoutThinking(const Conversation& conversation) {
  const auto& messages = conversation.messages;
  if (messages.empty() || messages.back().role != Role::kTool) return false;
  const auto turn = std::find_if(messages.rbegin(), messages.rend(), [](const Message& message) {
    return message.role != Role::kTool;
  });
  if (turn == messages.rend() || turn->role != Role::kAssistant || turn->parts.empty()) return true;
  const Part& first = turn->parts.front();
  return first.kind != Part::Kind::kReasoning || first.signature.empty();
}

Json Budget(int64_t tokens) { return {{"type", "enabled"}, {"budget_tokens", tokens}}; }

class Decision {
 public:
  Decision(std::string_view model, const Conversation& conversation)
      : version_(VersionOf(model)),
        conversation_(conversation),
        reasoning_(conversation.reasoning) {
    const bool is_old = version_ < kFirstWithLongAnswers;
    result_.max_tokens =
        conversation.max_output_tokens.value_or(is_old ? kOldDefaultTokens : kDefaultTokens);
  }

  AnthropicThinking Take() {
    const EffortRow* row = FindEffort(reasoning_.effort);
    const bool has_effort = version_ >= kFirstWithEffort;
    if (row != nullptr && has_effort) result_.effort = row->anthropic;
    if (reasoning_.is_disabled || reasoning_.effort == "none") {
      if (has_effort) result_.config = {{"type", "disabled"}};
    } else if (reasoning_.budget_tokens) {
      SetBudget(*reasoning_.budget_tokens);
    } else if (row != nullptr && has_effort) {
      if (!IsToolForced(conversation_)) result_.config = {{"type", "adaptive"}};
    } else if (row != nullptr) {
      SetFittingBudget(row->budget);
    }
    return std::move(result_);
  }

 private:
  void SetFittingBudget(int64_t budget) {
    const std::optional<int64_t> limit = conversation_.max_output_tokens;
    if (limit && *limit <= budget) budget = *limit / 2;
    if (budget < kLeastBudget || GoesOnWithoutThinking(conversation_)) {
      result_.is_dropped = true;
    } else {
      SetBudget(budget);
    }
  }

  void SetBudget(int64_t budget) {
    if (IsToolForced(conversation_)) {
      result_.is_dropped = true;
      return;
    }
    result_.config = Budget(budget);
    if (!conversation_.max_output_tokens) result_.max_tokens = budget + kAnswerTokens;
  }

  Version version_;
  const Conversation& conversation_;
  const Reasoning& reasoning_;
  AnthropicThinking result_;
};

}  // namespace

bool IsKnownEffort(std::string_view effort) {
  return effort.empty() || effort == "none" || FindEffort(effort) != nullptr;
}

AnthropicThinking DecideAnthropicThinking(std::string_view model,
                                          const Conversation& conversation) {
  return Decision(model, conversation).Take();
}

}  // namespace gateway
