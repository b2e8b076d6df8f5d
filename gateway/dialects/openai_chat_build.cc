#include <algorithm>
#include <utility>

#include "common/concat.h"
#include "gateway/dialects/openai_chat.h"
#include "gateway/dialects/openai_fields.h"

namespace gateway {
namespace {

// Anthropic's and Gemini's thinking budgets as OpenAI's efforts.
constexpr int64_t kLowBudget = 4096;
constexpr int64_t kMediumBudget = 16384;

// OpenAI refuses longer ones; what Claude Code calls its user is longer.
constexpr size_t kLongestUser = 64;

std::string_view EffortOf(const Reasoning& reasoning) {
  if (!reasoning.effort.empty()) return reasoning.effort;
  if (!reasoning.budget_tokens) return {};
  if (*reasoning.budget_tokens <= kLowBudget) return "low";
  return *reasoning.budget_tokens <= kMediumBudget ? "medium" : "high";
}

Json TextItem(const std::string& text) { return {{"type", "text"}, {"text", text}}; }

class Builder {
 public:
  Builder(std::string_view model, const Conversation& conversation, MaxTokensName max_tokens_name)
      : conversation_(conversation), max_tokens_name_(max_tokens_name) {
    body_["model"] = model;
  }

  std::variant<OpenAiChatBody, Failure> Build() {
    for (size_t i = 0; i < conversation_.messages.size(); ++i) AddMessage(i);
    if (failure_) return *std::move(failure_);
    body_["messages"] = std::move(messages_);
    AddTools();
    AddFormat();
    AddSampling();
    AddHints();
    if (conversation_.is_stream) {
      body_["stream"] = true;
      body_["stream_options"] = {{"include_usage", true}};
    }
    return OpenAiChatBody{RenderJson(body_), std::move(dropped_)};
  }

 private:
  void Drop(std::string name) {
    if (std::find(dropped_.begin(), dropped_.end(), name) == dropped_.end()) {
      dropped_.push_back(std::move(name));
    }
  }
  void Drop(Field field) { Drop(std::string(FieldName(conversation_.endpoint, field))); }

  void AddMessage(size_t index) {
    const Message& message = conversation_.messages[index];
    switch (message.role) {
      case Role::kSystem:
        return AddPlain("system", message);
      case Role::kDeveloper:
        return AddPlain("developer", message);
      case Role::kUser:
        return AddPlain("user", message);
      case Role::kAssistant:
        return AddAssistant(message);
      case Role::kTool:
        return AddToolResults(index);
    }
  }

  void AddPlain(std::string_view role, const Message& message) {
    Json json = {{"role", role}, {"content", RenderContent(message.parts)}};
    if (!message.name.empty()) json["name"] = message.name;
    messages_.push_back(std::move(json));
  }

  Json RenderContent(const std::vector<Part>& parts) {
    if (parts.empty()) return "";
    if (parts.size() == 1 && parts[0].kind == Part::Kind::kText) return parts[0].text;
    Json items = Json::array();
    for (const Part& part : parts) items.push_back(RenderPart(part));
    return items;
  }

  Json RenderPart(const Part& part) {
    switch (part.kind) {
      case Part::Kind::kText:
        return TextItem(part.text);
      case Part::Kind::kRefusal:
        return {{"type", "refusal"}, {"refusal", part.text}};
      case Part::Kind::kImage:
        return RenderImage(part);
      case Part::Kind::kAudio:
        return {{"type", "input_audio"},
                {"input_audio",
                 {{"data", part.data},
                  {"format", part.media_type.substr(part.media_type.find('/') + 1)}}}};
      case Part::Kind::kFile:
        return RenderFile(part);
      default:
        Refuse(part, "is a kind of content that has no place there");
        return nullptr;
    }
  }

  Json RenderImage(const Part& part) {
    if (part.data.empty() && !IsWebUrl(part.url, {"https", "http"})) {
      Refuse(part, "is an image by no http: or https: URL");
    }
    Json image = {{"url", UrlOf(part)}};
    if (!part.detail.empty()) image["detail"] = part.detail;
    return {{"type", "image_url"}, {"image_url", std::move(image)}};
  }

  Json RenderFile(const Part& part) {
    if (part.data.empty()) Refuse(part, "is a file by URL instead of its data");
    const std::string name = part.name.empty() ? "file" : part.name;
    return {{"type", "file"}, {"file", {{"filename", name}, {"file_data", UrlOf(part)}}}};
  }

  void Refuse(const Part& part, std::string_view why) {
    if (!failure_) failure_ = RefusePlace(conversation_, part.path, why);
  }

  // OpenAI's API takes no reasoning back.
  void AddAssistant(const Message& message) {
    std::vector<Part> content;
    Json calls = Json::array();
    for (const Part& part : message.parts) {
      if (part.kind == Part::Kind::kReasoning) {
        Drop("reasoning");
      } else if (part.kind == Part::Kind::kToolCall) {
        calls.push_back({{"id", part.id},
                         {"type", "function"},
                         {"function", {{"name", part.name}, {"arguments", part.text}}}});
      } else {
        content.push_back(part);
      }
    }
    Json json = {{"role", "assistant"}};
    json["content"] = content.empty() ? Json(nullptr) : RenderContent(content);
    if (content.empty() && calls.empty()) json["content"] = "";
    if (!calls.empty()) json["tool_calls"] = std::move(calls);
    if (!message.name.empty()) json["name"] = message.name;
    messages_.push_back(std::move(json));
  }

  // Tool messages hold text only: what else a tool has given goes into a user's message behind
  // them.
  void AddToolResults(size_t index) {
    std::vector<Part> rest;
    for (const Part& result : conversation_.messages[index].parts) {
      std::vector<Part> texts;
      for (const Part& part : result.content) {
        (part.kind == Part::Kind::kText ? texts : rest).push_back(part);
      }
      if (result.is_error) Drop("is_error");
      messages_.push_back(
          {{"role", "tool"}, {"tool_call_id", result.id}, {"content", RenderContent(texts)}});
    }
    const bool is_last = index + 1 == conversation_.messages.size() ||
                         conversation_.messages[index + 1].role != Role::kTool;
    pending_.insert(pending_.end(), rest.begin(), rest.end());
    if (!is_last || pending_.empty()) return;
    messages_.push_back({{"role", "user"}, {"content", RenderContent(pending_)}});
    pending_.clear();
  }

  void AddTools() {
    for (const Tool& tool : conversation_.tools) {
      Json function = {{"name", tool.name}};
      if (!tool.description.empty()) function["description"] = tool.description;
      if (!tool.parameters.is_null()) function["parameters"] = tool.parameters;
      if (tool.strict) function["strict"] = *tool.strict;
      body_["tools"].push_back({{"type", "function"}, {"function", std::move(function)}});
    }
    AddToolChoice();
    if (conversation_.parallel_tool_calls && !conversation_.tools.empty()) {
      body_["parallel_tool_calls"] = *conversation_.parallel_tool_calls;
    }
  }

  // OpenAI refuses a choice between no tools; "auto" and "none" say nothing then.
  void AddToolChoice() {
    using Kind = ToolChoice::Kind;
    if (conversation_.tools.empty()) return;
    switch (conversation_.tool_choice.kind) {
      case Kind::kUnset:
        return;
      case Kind::kAuto:
        body_["tool_choice"] = "auto";
        return;
      case Kind::kNone:
        body_["tool_choice"] = "none";
        return;
      case Kind::kRequired:
        body_["tool_choice"] = "required";
        return;
      case Kind::kNamed:
        body_["tool_choice"] = {{"type", "function"},
                                {"function", {{"name", conversation_.tool_choice.name}}}};
        return;
    }
  }

  void AddFormat() {
    const OutputFormat& format = conversation_.format;
    if (format.kind == OutputFormat::Kind::kText) return;
    if (format.kind == OutputFormat::Kind::kJsonObject) {
      body_["response_format"] = {{"type", "json_object"}};
      return;
    }
    Json schema = {{"name", format.name.empty() ? "output" : format.name}};
    if (!format.description.empty()) schema["description"] = format.description;
    schema["schema"] = format.schema;
    if (format.strict) schema["strict"] = *format.strict;
    body_["response_format"] = {{"type", "json_schema"}, {"json_schema", std::move(schema)}};
  }

  template <typename T>
  void Set(const char* name, const std::optional<T>& value) {
    if (value) body_[name] = *value;
  }

  void AddSampling() {
    const Conversation& c = conversation_;
    Set("temperature", c.temperature);
    Set("top_p", c.top_p);
    Set(max_tokens_name_ == MaxTokensName::kMaxTokens ? "max_tokens" : "max_completion_tokens",
        c.max_output_tokens);
    if (c.stop.size() == 1) body_["stop"] = c.stop[0];
    if (c.stop.size() > 1) body_["stop"] = c.stop;
    Set("seed", c.seed);
    Set("frequency_penalty", c.frequency_penalty);
    Set("presence_penalty", c.presence_penalty);
    if (c.candidates != 1) body_["n"] = c.candidates;
    if (c.logprobs) body_["logprobs"] = true;
    Set("top_logprobs", c.top_logprobs);
    if (!c.logit_bias.is_null()) body_["logit_bias"] = c.logit_bias;
    if (c.top_k) Drop(Field::kTopK);
  }

  void AddHints() {
    const Conversation& c = conversation_;
    const std::string_view effort = EffortOf(c.reasoning);
    if (!effort.empty()) body_["reasoning_effort"] = effort;
    if (!c.verbosity.empty()) body_["verbosity"] = c.verbosity;
    if (c.user.size() > kLongestUser) {
      Drop(Field::kUser);
    } else if (!c.user.empty()) {
      body_["user"] = c.user;
    }
    // OpenAI takes metadata for stored completions only, and other words for tiers than Anthropic.
    if (!c.metadata.is_null() && !c.metadata.empty()) Drop(Field::kMetadata);
    if (c.service_tier.empty()) return;
    if (c.endpoint == Endpoint::kMessages) {
      Drop(Field::kServiceTier);
    } else {
      body_["service_tier"] = c.service_tier;
    }
  }

  const Conversation& conversation_;
  MaxTokensName max_tokens_name_;
  Json body_ = Json::object();
  Json messages_ = Json::array();
  std::vector<Part> pending_;
  std::vector<std::string> dropped_;
  std::optional<Failure> failure_;
};

}  // namespace

std::variant<OpenAiChatBody, Failure> BuildOpenAiChat(std::string_view model,
                                                      const Conversation& conversation,
                                                      MaxTokensName max_tokens_name) {
  return Builder(model, conversation, max_tokens_name).Build();
}

}  // namespace gateway
