#include "gateway/dialects/gemini_request.h"

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include "common/concat.h"
#include "gateway/core/ascii.h"

namespace gateway {
namespace {

// Google's own table for OpenAI's efforts (ai.google.dev/gemini-api/docs/openai#thinking).
struct EffortRow {
  std::string_view effort;
  std::string_view level;
  int budget_tokens;
};
constexpr std::array kEfforts = {
    EffortRow{"none", "MINIMAL", 0},  EffortRow{"minimal", "MINIMAL", 1024},
    EffortRow{"low", "LOW", 1024},    EffortRow{"medium", "MEDIUM", 8192},
    EffortRow{"high", "HIGH", 24576}, EffortRow{"xhigh", "HIGH", 24576},
    EffortRow{"max", "HIGH", 24576},
};

// The most that all models, or all that are called "pro", may be told to think.
constexpr int64_t kMostBudget = 24576;
constexpr int64_t kMostBudgetOfPro = 32768;
// The least of those that cannot do without.
constexpr int64_t kLeastBudgetOfPro = 128;

const EffortRow* FindEffort(std::string_view effort) {
  const auto* row = std::find_if(kEfforts.begin(), kEfforts.end(),
                                 [&](const EffortRow& one) { return one.effort == effort; });
  return row == kEfforts.end() ? nullptr : row;
}

std::string_view WithoutFolder(std::string_view model) {
  const size_t slash = model.rfind('/');
  return slash == std::string_view::npos ? model : model.substr(slash + 1);
}

class ThinkingBuilder {
 public:
  ThinkingBuilder(std::string_view model, const Conversation& conversation,
                  GeminiFindings& findings)
      : conversation_(conversation),
        findings_(findings),
        how_(GeminiThinkingOf(model)),
        is_pro_(Contains(WithoutFolder(model), "pro")) {}

  // Null: nothing to be said.
  Json Build() {
    const Reasoning& reasoning = conversation_.reasoning;
    const bool is_off = reasoning.is_disabled || reasoning.effort == "none";
    const bool is_asked = !reasoning.effort.empty() || reasoning.budget_tokens.has_value() ||
                          !reasoning.summary.empty();
    if (!is_off && !is_asked) return nullptr;
    if (how_ == GeminiThinking::kNone) {
      if (!is_off) findings_.Drop(Field::kReasoning);
      return nullptr;
    }
    Json config = Json::object();
    if (is_off) {
      TurnOff(config);
    } else {
      SetAmount(config);
      // Clients of Responses get summaries only when they ask for them.
      const bool is_shown =
          conversation_.endpoint != Endpoint::kResponses || !reasoning.summary.empty();
      if (is_shown) config["includeThoughts"] = true;
    }
    return config;
  }

 private:
  // Most models cannot do without any: those get the least, and the caller is told.
  void TurnOff(Json& config) {
    if (how_ == GeminiThinking::kBudget) {
      config["thinkingBudget"] = is_pro_ ? kLeastBudgetOfPro : 0;
      if (is_pro_) findings_.Drop(Field::kReasoning);
      return;
    }
    config["thinkingLevel"] = LevelOf(kEfforts[0]);
    findings_.Drop(Field::kReasoning);
  }

  void SetAmount(Json& config) {
    const Reasoning& reasoning = conversation_.reasoning;
    if (!reasoning.effort.empty()) {
      const EffortRow* row = FindEffort(reasoning.effort);
      if (row == nullptr) return findings_.Refuse(Field::kReasoning);
      if (how_ == GeminiThinking::kLevel) {
        config["thinkingLevel"] = LevelOf(*row);
      } else {
        config["thinkingBudget"] = row->budget_tokens;
      }
    } else if (reasoning.budget_tokens) {
      const int64_t most = is_pro_ ? kMostBudgetOfPro : kMostBudget;
      config["thinkingBudget"] = std::clamp<int64_t>(*reasoning.budget_tokens, 0, most);
    }
  }

  // The models called "pro" have no level below "low".
  std::string_view LevelOf(const EffortRow& row) const {
    return is_pro_ && row.level == "MINIMAL" ? "LOW" : row.level;
  }

  const Conversation& conversation_;
  GeminiFindings& findings_;
  GeminiThinking how_;
  bool is_pro_;
};

template <typename T>
void Set(const char* name, const std::optional<T>& value, Json& config) {
  if (value) config[name] = *value;
}

void AddFormat(const OutputFormat& format, Json& config) {
  if (format.kind == OutputFormat::Kind::kText) return;
  config["responseMimeType"] = "application/json";
  if (format.kind == OutputFormat::Kind::kJsonSchema) config["responseJsonSchema"] = format.schema;
}

Json BuildConfig(std::string_view model, const Conversation& c, GeminiFindings& findings) {
  Json config = Json::object();
  Set("temperature", c.temperature, config);
  Set("topP", c.top_p, config);
  Set("topK", c.top_k, config);
  Set("maxOutputTokens", c.max_output_tokens, config);
  if (!c.stop.empty()) config["stopSequences"] = c.stop;
  // Gemini's seed has 32 bits; equal seeds stay equal.
  if (c.seed) config["seed"] = *c.seed & std::numeric_limits<int32_t>::max();
  Set("frequencyPenalty", c.frequency_penalty, config);
  Set("presencePenalty", c.presence_penalty, config);
  if (c.candidates != 1) config["candidateCount"] = c.candidates;
  if (c.logprobs) config["responseLogprobs"] = true;
  if (c.logprobs && c.top_logprobs.value_or(0) > 0) config["logprobs"] = *c.top_logprobs;
  AddFormat(c.format, config);
  Json thinking = ThinkingBuilder(model, c, findings).Build();
  if (!thinking.is_null()) config["thinkingConfig"] = std::move(thinking);
  return config;
}

// What only steers, and what changes nothing that the caller can see.
void AddHints(const Conversation& c, GeminiFindings& findings) {
  if (c.logit_bias.is_object() && !c.logit_bias.empty()) findings.Refuse(Field::kLogitBias);
  if (!c.user.empty()) findings.Drop(Field::kUser);
  if (c.metadata.is_object() && !c.metadata.empty()) findings.Drop(Field::kMetadata);
  if (!c.service_tier.empty()) findings.Drop(Field::kServiceTier);
  if (!c.verbosity.empty()) findings.Drop(Field::kVerbosity);
}

}  // namespace

GeminiThinking GeminiThinkingOf(std::string_view model) {
  const std::string_view name = WithoutFolder(model);
  for (const std::string_view old : {"gemini-1", "gemini-2.0", "gemma", "learnlm"}) {
    if (name.starts_with(old)) return GeminiThinking::kNone;
  }
  return name.starts_with("gemini-2.5") ? GeminiThinking::kBudget : GeminiThinking::kLevel;
}

void GeminiFindings::Drop(std::string name) {
  if (std::find(dropped.begin(), dropped.end(), name) == dropped.end()) {
    dropped.push_back(std::move(name));
  }
}

void GeminiFindings::Drop(Field field) {
  Drop(std::string(FieldName(conversation_.endpoint, field)));
}

void GeminiFindings::Refuse(Field field) {
  if (!failure) failure = RefuseField(conversation_, field, "gemini");
}

void GeminiFindings::Refuse(const Part& part, std::string_view why) {
  if (!failure) failure = RefusePlace(conversation_, part.path, why);
}

std::variant<GeminiBody, Failure> BuildGeminiRequest(std::string_view model,
                                                     const Conversation& conversation) {
  GeminiFindings findings(conversation);
  GeminiBody body{Json::object(), {}};
  AddGeminiContents(model, conversation, findings, body.json);
  AddGeminiTools(model, conversation, findings, body.json);
  Json config = BuildConfig(model, conversation, findings);
  if (!config.empty()) body.json["generationConfig"] = std::move(config);
  AddHints(conversation, findings);
  if (findings.failure) return *std::move(findings.failure);
  body.dropped = std::move(findings.dropped);
  return body;
}

}  // namespace gateway
