#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/escaping.h"
#include "common/concat.h"
#include "gateway/core/ascii.h"
#include "gateway/dialects/anthropic_messages.h"
#include "gateway/dialects/anthropic_thinking.h"
#include "gateway/dialects/openai_fields.h"

namespace gateway {
namespace {

// Anthropic takes sampling parameters beside thinking in these bounds only.
constexpr double kLeastTopPWithThinking = 0.95;
constexpr double kMostTemperature = 1;

constexpr std::array<std::string_view, 4> kImageTypes = {"image/jpeg", "image/png", "image/gif",
                                                         "image/webp"};

bool IsToolIdCharacter(char c) { return IsAlphanumeric(c) || c == '_' || c == '-'; }

// FNV-1a: stable for ever, unlike std::hash.
std::string HashText(std::string_view text) {
  uint64_t hash = 14695981039346656037U;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211U;
  std::string hex;
  for (int shift = 60; shift >= 0; shift -= 4) hex += "0123456789abcdef"[(hash >> shift) & 15];
  return hex;
}

Json TextBlock(const std::string& text) { return {{"type", "text"}, {"text", text}}; }

Json Base64Source(const Part& part) {
  return {{"type", "base64"}, {"media_type", part.media_type}, {"data", part.data}};
}

Json UrlSource(const Part& part) { return {{"type", "url"}, {"url", part.url}}; }

// Anthropic has no description beside the schema; the format's name is only a label.
Json SchemaOf(const OutputFormat& format) {
  Json schema = format.schema;
  const bool has_own = !schema.is_object() || schema.contains("description");
  if (!format.description.empty() && !has_own) schema["description"] = format.description;
  return schema;
}

class Builder {
 public:
  Builder(std::string_view model, const Conversation& conversation)
      : conversation_(conversation), thinking_(DecideAnthropicThinking(model, conversation)) {
    body_["model"] = model;
    body_["max_tokens"] = thinking_.max_tokens;
  }

  std::variant<AnthropicBody, Failure> Build() {
    RefuseWhatIsMissing();
    for (const Message& message : conversation_.messages) {
      if (!failure_) AddMessage(message);
    }
    FlushTurn();
    // Anthropic needs at least one turn.
    if (messages_.empty() && !system_.empty()) {
      messages_.push_back({{"role", "user"}, {"content", std::exchange(system_, Json::array())}});
    }
    if (!system_.empty()) body_["system"] = std::move(system_);
    body_["messages"] = std::move(messages_);
    AddTools();
    AddThinkingAndFormat();
    AddSampling();
    AddHints();
    if (conversation_.is_stream) body_["stream"] = true;
    if (failure_) return *std::move(failure_);
    return AnthropicBody{RenderJson(body_), std::move(dropped_)};
  }

 private:
  // --- What cannot be honoured ---

  void Refuse(Field field) {
    if (!failure_) failure_ = RefuseField(conversation_, field, "anthropic");
  }

  void Refuse(const Part& part, std::string_view why) {
    if (!failure_) failure_ = RefusePlace(conversation_, part.path, why);
  }

  void Drop(std::string_view name) {
    if (std::find(dropped_.begin(), dropped_.end(), name) == dropped_.end()) {
      dropped_.emplace_back(name);
    }
  }
  void Drop(Field field) { Drop(FieldName(conversation_.endpoint, field)); }

  void RefuseWhatIsMissing() {
    const Conversation& c = conversation_;
    if (c.candidates > 1) Refuse(Field::kCandidates);
    if (c.logprobs) Refuse(Field::kLogprobs);
    if (c.top_logprobs.value_or(0) > 0) Refuse(Field::kTopLogprobs);
    if (!c.logit_bias.is_null()) Refuse(Field::kLogitBias);
    // Anthropic has no JSON without a schema.
    if (c.format.kind == OutputFormat::Kind::kJsonObject) Refuse(Field::kOutputFormat);
    if (!IsKnownEffort(c.reasoning.effort)) Refuse(Field::kReasoning);
    if (c.temperature.value_or(0) > kMostTemperature && !failure_) {
      failure_ = RefuseAt("temperature",
                          "'temperature' must be between 0 and 1 for the provider of this model.");
    }
  }

  // --- Messages ---

  void AddMessage(const Message& message) {
    if (!message.name.empty()) Drop("name");
    switch (message.role) {
      case Role::kSystem:
      case Role::kDeveloper:
        return AddSystem(message);
      case Role::kUser:
        return AddUser(message);
      case Role::kAssistant:
        return AddAssistant(message);
      case Role::kTool:
        return AddToolResults(message);
    }
  }

  // Anthropic has one place for them all.
  void AddSystem(const Message& message) {
    for (const Part& part : message.parts) {
      if (part.kind != Part::Kind::kText) return Refuse(part, "holds other instructions than text");
      AddText(part, system_);
    }
  }

  void AddUser(const Message& message) {
    Json blocks = Json::array();
    for (const Part& part : message.parts) AddContent(part, blocks);
    AddToTurn("user", blocks, content_);
  }

  void AddAssistant(const Message& message) {
    Json blocks = Json::array();
    for (const Part& part : message.parts) {
      switch (part.kind) {
        case Part::Kind::kReasoning:
          AddReasoning(part, blocks);
          break;
        case Part::Kind::kToolCall:
          AddToolCall(part, blocks);
          break;
        case Part::Kind::kImage:
          Refuse(part, "is an image of the assistant's");
          break;
        default:
          AddContent(part, blocks);
      }
    }
    AddToTurn("assistant", blocks, content_);
  }

  void AddToolResults(const Message& message) {
    Json blocks = Json::array();
    for (const Part& part : message.parts) {
      Json block = {{"type", "tool_result"}, {"tool_use_id", AnthropicToolId(part.id)}};
      Json content = Json::array();
      for (const Part& inner : part.content) AddContent(inner, content);
      if (!content.empty()) block["content"] = std::move(content);
      if (part.is_error) block["is_error"] = true;
      blocks.push_back(std::move(block));
    }
    AddToTurn("user", blocks, results_);
  }

  // Messages of one role in a row are one turn, whose results stand before all else in it.
  void AddToTurn(std::string_view role, Json& blocks, Json& place) {
    if (blocks.empty()) return;
    if (role != role_) FlushTurn();
    role_ = role;
    for (Json& block : blocks) place.push_back(std::move(block));
  }

  void FlushTurn() {
    for (Json& block : content_) results_.push_back(std::move(block));
    if (!results_.empty()) {
      messages_.push_back({{"role", role_}, {"content", std::move(results_)}});
    }
    results_ = Json::array();
    content_ = Json::array();
  }

  // Anthropic takes no texts that are empty or white space only.
  static void AddText(const Part& part, Json& blocks) {
    if (!Trim(part.text).empty()) blocks.push_back(TextBlock(part.text));
  }

  void AddContent(const Part& part, Json& blocks) {
    switch (part.kind) {
      case Part::Kind::kText:
      case Part::Kind::kRefusal:
        return AddText(part, blocks);
      case Part::Kind::kImage:
        return AddImage(part, blocks);
      case Part::Kind::kFile:
        return AddFile(part, blocks);
      case Part::Kind::kAudio:
        return Refuse(part, "is audio");
      default:
        return Refuse(part, "is a kind of content that has no place there");
    }
  }

  void AddImage(const Part& part, Json& blocks) {
    if (!part.detail.empty() && part.detail != "auto") Drop("detail");
    if (part.data.empty()) {
      if (!IsWebUrl(part.url, {"https"})) return Refuse(part, "is an image by no https: URL");
      blocks.push_back({{"type", "image"}, {"source", UrlSource(part)}});
      return;
    }
    if (std::find(kImageTypes.begin(), kImageTypes.end(), part.media_type) == kImageTypes.end()) {
      return Refuse(part, "is an image that is no JPEG, PNG, GIF or WebP");
    }
    blocks.push_back({{"type", "image"}, {"source", Base64Source(part)}});
  }

  void AddFile(const Part& part, Json& blocks) {
    Json block = {{"type", "document"}};
    if (part.data.empty()) {
      if (!IsWebUrl(part.url, {"https"})) return Refuse(part, "is a file by no https: URL");
      block["source"] = UrlSource(part);
    } else if (part.media_type == "application/pdf") {
      block["source"] = Base64Source(part);
    } else if (part.media_type.starts_with("text/")) {
      std::string text;
      if (!absl::Base64Unescape(part.data, &text)) {
        return Refuse(part, "is a file that is not in base64");
      }
      block["source"] = {{"type", "text"}, {"media_type", "text/plain"}, {"data", text}};
    } else {
      return Refuse(part, "is a file that is neither a PDF nor a text");
    }
    if (!part.name.empty()) block["title"] = part.name;
    blocks.push_back(std::move(block));
  }

  // Without its signature Anthropic would refuse it.
  void AddReasoning(const Part& part, Json& blocks) {
    if (part.signature.empty()) return Drop("reasoning");
    if (part.is_redacted) {
      blocks.push_back({{"type", "redacted_thinking"}, {"data", part.signature}});
    } else {
      blocks.push_back(
          {{"type", "thinking"}, {"thinking", part.text}, {"signature", part.signature}});
    }
  }

  void AddToolCall(const Part& part, Json& blocks) {
    Json input = part.text.empty() ? Json::object() : ParseJson(part.text);
    if (!input.is_object()) {
      return Refuse(part, "is a tool call whose arguments are no JSON object");
    }
    blocks.push_back({{"type", "tool_use"},
                      {"id", AnthropicToolId(part.id)},
                      {"name", part.name},
                      {"input", std::move(input)}});
  }

  // --- Tools ---

  void AddTools() {
    for (const Tool& tool : conversation_.tools) {
      Json schema = tool.parameters.is_object() ? tool.parameters : Json::object();
      if (!schema.contains("type")) schema["type"] = "object";
      Json json = {{"name", tool.name}};
      if (!tool.description.empty()) json["description"] = tool.description;
      json["input_schema"] = std::move(schema);
      if (tool.strict.value_or(false)) json["strict"] = true;
      body_["tools"].push_back(std::move(json));
    }
    AddToolChoice();
  }

  void AddToolChoice() {
    using Kind = ToolChoice::Kind;
    const ToolChoice& choice = conversation_.tool_choice;
    const bool is_parallel = conversation_.parallel_tool_calls.value_or(true);
    const bool is_free = choice.kind == Kind::kUnset || choice.kind == Kind::kAuto;
    if (is_free && (conversation_.tools.empty() || (choice.kind == Kind::kUnset && is_parallel))) {
      return;
    }
    if (choice.kind == Kind::kNone) {
      if (!conversation_.tools.empty()) body_["tool_choice"] = {{"type", "none"}};
      return;
    }
    Json json = {{"type", "auto"}};
    if (choice.kind == Kind::kRequired) json["type"] = "any";
    if (choice.kind == Kind::kNamed) json = {{"type", "tool"}, {"name", choice.name}};
    if (!is_parallel) json["disable_parallel_tool_use"] = true;
    body_["tool_choice"] = std::move(json);
  }

  // --- Everything else ---

  void AddThinkingAndFormat() {
    if (!thinking_.config.is_null()) body_["thinking"] = thinking_.config;
    if (thinking_.is_dropped) Drop(Field::kReasoning);
    Json config = Json::object();
    if (!thinking_.effort.empty()) config["effort"] = thinking_.effort;
    if (conversation_.format.kind == OutputFormat::Kind::kJsonSchema) {
      config["format"] = {{"type", "json_schema"}, {"schema", SchemaOf(conversation_.format)}};
    }
    if (!config.empty()) body_["output_config"] = std::move(config);
  }

  void AddSampling() {
    const Conversation& c = conversation_;
    if (!c.stop.empty()) body_["stop_sequences"] = c.stop;
    // Anthropic takes no stop sequence of white space only.
    const bool has_blank = std::any_of(c.stop.begin(), c.stop.end(),
                                       [](const std::string& word) { return Trim(word).empty(); });
    if (has_blank) Refuse(Field::kStop);
    const bool is_free = !thinking_.IsOn();
    SetIf(is_free || c.temperature == kMostTemperature, "temperature", c.temperature,
          Field::kTemperature);
    SetIf(is_free || c.top_p.value_or(1) >= kLeastTopPWithThinking, "top_p", c.top_p, Field::kTopP);
    SetIf(is_free, "top_k", c.top_k, Field::kTopK);
    if (c.seed) Drop(Field::kSeed);
    if (c.frequency_penalty.value_or(0) != 0) Drop(Field::kFrequencyPenalty);
    if (c.presence_penalty.value_or(0) != 0) Drop(Field::kPresencePenalty);
  }

  template <typename T>
  void SetIf(bool is_taken, const char* name, const std::optional<T>& value, Field field) {
    if (!value) return;
    if (is_taken) {
      body_[name] = *value;
    } else {
      Drop(field);
    }
  }

  void AddHints() {
    const Conversation& c = conversation_;
    if (!c.user.empty()) body_["metadata"] = {{"user_id", c.user}};
    if (!c.metadata.is_null() && !c.metadata.empty()) Drop(Field::kMetadata);
    if (!c.verbosity.empty()) Drop(Field::kVerbosity);
    if (c.service_tier.empty()) return;
    const bool is_own = c.endpoint == Endpoint::kMessages || c.service_tier == "auto";
    if (is_own) {
      body_["service_tier"] = c.service_tier;
    } else if (c.service_tier == "default") {
      body_["service_tier"] = "standard_only";
    } else {
      Drop(Field::kServiceTier);
    }
  }

  const Conversation& conversation_;
  AnthropicThinking thinking_;
  Json body_ = Json::object();
  Json system_ = Json::array();
  Json messages_ = Json::array();
  // The turn under way.
  std::string role_;
  Json results_ = Json::array();
  Json content_ = Json::array();
  std::vector<std::string> dropped_;
  std::optional<Failure> failure_;
};

}  // namespace

std::string AnthropicToolId(const std::string& id) {
  if (!id.empty() && std::all_of(id.begin(), id.end(), IsToolIdCharacter)) return id;
  std::string clean;
  for (const char c : id) clean += IsToolIdCharacter(c) ? c : '_';
  return common::Concat(clean, clean.empty() ? "call_" : "_", HashText(id));
}

std::variant<AnthropicBody, Failure> BuildAnthropicMessages(std::string_view model,
                                                            const Conversation& conversation) {
  return Builder(model, conversation).Build();
}

}  // namespace gateway
