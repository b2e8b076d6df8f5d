#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/escaping.h"
#include "common/concat.h"
#include "gateway/dialects/anthropic_messages.h"
#include "gateway/dialects/openai_fields.h"
#include "gateway/dialects/request_reader.h"

namespace gateway {
namespace {

using Findings = RequestReader::Findings;

constexpr std::string_view kOnlyAnthropic = "is something that only Anthropic's own API has";

// An empty text says nothing, and some providers take none.
void AddText(std::string text, std::vector<Part>& parts) {
  if (text.empty()) return;
  parts.emplace_back();
  parts.back().text = std::move(text);
}

// Reads the blocks of one message, or of what stands inside one.
class BlockParser {
 public:
  BlockParser(Findings& findings, const absl::flat_hash_map<std::string, std::string>& tool_names)
      : findings_(findings), tool_names_(tool_names) {}

  // A text, or a list of blocks.
  void ParseContent(RequestReader& reader, std::string_view name, std::vector<Part>& parts) {
    const Json* content = reader.Any(name);
    if (content == nullptr) return;
    if (content->is_string()) {
      AddText(content->get<std::string>(), parts);
      if (!parts.empty()) parts.back().path = reader.PathOf(name);
    } else if (content->is_array()) {
      for (size_t i = 0; i < content->size() && !reader.has_failed(); ++i) {
        ParseBlock((*content)[i], reader.PathOf(name, i), parts);
      }
    } else {
      reader.Fail(name, "must be a string or an array");
    }
  }

 private:
  void ParseBlock(const Json& item, const std::string& path, std::vector<Part>& parts) {
    RequestReader reader(item, path, findings_);
    const std::string type = reader.NeededText("type");
    const size_t first = parts.size();
    reader.Drop("cache_control");
    if (type == "text") {
      AddText(reader.NeededText("text"), parts);
      reader.Drop("citations");
    } else if (type == "image") {
      ParseImage(reader, parts);
    } else if (type == "document") {
      ParseDocument(reader, parts);
    } else if (type == "thinking" || type == "redacted_thinking") {
      ParseThinking(reader, type, parts);
    } else if (type == "tool_use") {
      ParseToolUse(reader, parts);
    } else if (type == "tool_result") {
      ParseToolResult(reader, parts);
    } else if (!reader.has_failed()) {
      findings_.failure =
          RefuseAt(reader.PathOf("type"), common::Concat("'", reader.PathOf("type"), "' is '", type,
                                                         "', which cannot be translated for the ",
                                                         "provider of this model."));
    }
    for (size_t i = first; i < parts.size(); ++i) {
      if (parts[i].path.empty()) parts[i].path = path;
    }
    reader.RefuseTheRest();
  }

  void ParseImage(RequestReader& reader, std::vector<Part>& parts) {
    Part part;
    part.kind = Part::Kind::kImage;
    if (const Json* source = NeededSource(reader)) {
      RequestReader fields(*source, reader.PathOf("source"), findings_);
      const std::string type = fields.NeededText("type");
      if (type == "url") {
        part.url = fields.NeededText("url");
      } else {
        ParseBase64(fields, type, part);
      }
      fields.RefuseTheRest();
    }
    reader.Drop("transformations");
    parts.push_back(std::move(part));
  }

  void ParseBase64(RequestReader& fields, const std::string& type, Part& part) {
    if (type == "base64") {
      part.media_type = NormalMediaType(fields.NeededText("media_type"));
      part.data = fields.NeededText("data");
      if (part.data.empty()) fields.Fail("data", "must not be empty");
    } else {
      fields.Fail("type", "cannot be translated: only base64 and url can");
    }
  }

  const Json* NeededSource(RequestReader& reader) {
    const Json* source = reader.Object("source");
    if (source == nullptr) reader.Fail("source", "is missing");
    return source;
  }

  // Of a text nothing but its characters matters: it becomes a text, which every provider takes.
  void ParseDocument(RequestReader& reader, std::vector<Part>& parts) {
    const std::string title = reader.Text("title").value_or("");
    reader.Drop("context");
    if (const Json* citations = reader.Object("citations")) {
      RequestReader fields(*citations, reader.PathOf("citations"), findings_);
      fields.Refuse("enabled", kOnlyAnthropic);
      fields.RefuseTheRest();
    }
    const Json* source = NeededSource(reader);
    if (source == nullptr) return;
    RequestReader fields(*source, reader.PathOf("source"), findings_);
    const std::string type = fields.NeededText("type");
    if (type == "text") {
      fields.Ignore("media_type");
      AddText(title, parts);
      AddText(fields.NeededText("data"), parts);
    } else if (type == "content") {
      AddText(title, parts);
      ParseContent(fields, "content", parts);
    } else {
      Part part;
      part.kind = Part::Kind::kFile;
      part.name = title;
      if (type == "url") {
        part.url = fields.NeededText("url");
      } else {
        ParseBase64(fields, type, part);
        if (part.media_type != "application/pdf") {
          fields.Fail("media_type", "must be application/pdf");
        }
      }
      parts.push_back(std::move(part));
    }
    fields.RefuseTheRest();
  }

  static void ParseThinking(RequestReader& reader, std::string_view type,
                            std::vector<Part>& parts) {
    Part part;
    part.kind = Part::Kind::kReasoning;
    if (type == "thinking") {
      part.text = reader.Text("thinking").value_or("");
      part.signature = reader.Text("signature").value_or("");
    } else {
      part.signature = reader.NeededText("data");
      part.is_redacted = true;
    }
    parts.push_back(std::move(part));
  }

  static void ParseToolUse(RequestReader& reader, std::vector<Part>& parts) {
    Part part;
    part.kind = Part::Kind::kToolCall;
    part.id = reader.NeededText("id");
    part.name = reader.NeededText("name");
    const Json* input = reader.Object("input");
    part.text = input == nullptr ? "{}" : RenderJson(*input);
    reader.Ignore("caller");
    if (const Json* extra = reader.Any("extra_content")) {
      part.signature = ReadThoughtSignature({{"extra_content", *extra}});
    }
    parts.push_back(std::move(part));
  }

  void ParseToolResult(RequestReader& reader, std::vector<Part>& parts) {
    Part part;
    part.kind = Part::Kind::kToolResult;
    part.id = reader.NeededText("tool_use_id");
    part.is_error = reader.Flag("is_error").value_or(false);
    if (const auto name = tool_names_.find(part.id); name != tool_names_.end()) {
      part.name = name->second;
    }
    ParseContent(reader, "content", part.content);
    for (const Part& inner : part.content) {
      const bool has_place = inner.kind == Part::Kind::kText || inner.kind == Part::Kind::kImage ||
                             inner.kind == Part::Kind::kFile;
      if (!has_place) reader.Fail("content", "holds a kind of block that has no place there");
    }
    parts.push_back(std::move(part));
  }

  Findings& findings_;
  const absl::flat_hash_map<std::string, std::string>& tool_names_;
};

class RequestParser {
 public:
  explicit RequestParser(const Json& json) : reader_(json, "", findings_) {}

  std::variant<Conversation, Failure> Parse() {
    conversation_.endpoint = Endpoint::kMessages;
    reader_.Ignore("model");
    reader_.Ignore("stream");
    ParseSystem();
    ParseMessages();
    ParseTools();
    ParseToolChoice();
    ParseThinking();
    ParseOutputConfig();
    ParseSampling();
    ParseHints();
    reader_.RefuseTheRest();
    if (findings_.failure) return *std::move(findings_.failure);
    conversation_.dropped = std::move(findings_.dropped);
    return std::move(conversation_);
  }

 private:
  BlockParser Blocks() { return BlockParser(findings_, tool_names_); }

  void AddMessage(Role role, std::string path, std::vector<Part> parts) {
    if (parts.empty()) return;
    conversation_.messages.push_back({role, std::move(parts), {}, std::move(path)});
  }

  void CheckTexts(RequestReader& reader, std::string_view name, const std::vector<Part>& parts) {
    for (const Part& part : parts) {
      if (part.kind != Part::Kind::kText) reader.Fail(name, "must hold texts only");
    }
  }

  void ParseSystem() {
    std::vector<Part> parts;
    Blocks().ParseContent(reader_, "system", parts);
    CheckTexts(reader_, "system", parts);
    AddMessage(Role::kSystem, "system", std::move(parts));
  }

  void ParseMessages() {
    const Json* messages = reader_.NeededArray("messages");
    if (messages == nullptr) return;
    for (size_t i = 0; i < messages->size() && !reader_.has_failed(); ++i) {
      ParseMessage((*messages)[i], reader_.PathOf("messages", i));
    }
    const auto& all = conversation_.messages;
    if (reader_.has_failed() || all.empty() || all.back().role != Role::kAssistant) return;
    findings_.failure =
        RefuseAt("messages",
                 "'messages' must not end with the assistant's turn: the provider of this model "
                 "cannot go on writing it.");
  }

  void ParseMessage(const Json& item, const std::string& path) {
    RequestReader reader(item, path, findings_);
    const std::string role = reader.NeededText("role");
    if (reader.Any("content") == nullptr) reader.Fail("content", "is missing");
    std::vector<Part> parts;
    Blocks().ParseContent(reader, "content", parts);
    reader.RefuseTheRest();
    if (role == "user") {
      AddUser(reader, std::move(parts));
    } else if (role == "assistant") {
      AddAssistant(reader, std::move(parts));
    } else if (role == "system") {
      CheckTexts(reader, "content", parts);
      AddMessage(Role::kSystem, path, std::move(parts));
    } else {
      reader.Fail("role", "must be user, assistant or system");
    }
  }

  // A turn's results become a message of their own, before what the user says.
  void AddUser(RequestReader& reader, std::vector<Part> parts) {
    std::vector<Part> results;
    std::vector<Part> rest;
    for (Part& part : parts) {
      const bool is_assistants =
          part.kind == Part::Kind::kReasoning || part.kind == Part::Kind::kToolCall;
      if (is_assistants) reader.Fail("content", "holds a block that only the assistant writes");
      (part.kind == Part::Kind::kToolResult ? results : rest).push_back(std::move(part));
    }
    AddMessage(Role::kTool, reader.PathOf(""), std::move(results));
    AddMessage(Role::kUser, reader.PathOf(""), std::move(rest));
  }

  void AddAssistant(RequestReader& reader, std::vector<Part> parts) {
    for (const Part& part : parts) {
      if (part.kind == Part::Kind::kToolCall) tool_names_[part.id] = part.name;
      const bool has_place = part.kind == Part::Kind::kText ||
                             part.kind == Part::Kind::kReasoning ||
                             part.kind == Part::Kind::kToolCall;
      if (!has_place) reader.Fail("content", "holds a block that the assistant cannot write");
    }
    AddMessage(Role::kAssistant, reader.PathOf(""), std::move(parts));
  }

  void ParseTools() {
    const Json* tools = reader_.Array("tools");
    if (tools == nullptr) return;
    for (size_t i = 0; i < tools->size() && !reader_.has_failed(); ++i) {
      ParseTool((*tools)[i], reader_.PathOf("tools", i));
    }
  }

  // Tools of any other type run at Anthropic or are known to its models only.
  void ParseTool(const Json& item, const std::string& path) {
    RequestReader reader(item, path, findings_);
    if (reader.Text("type").value_or("custom") != "custom") reader.Refuse("type", kOnlyAnthropic);
    Tool tool;
    tool.name = reader.NeededText("name");
    tool.description = reader.Text("description").value_or("");
    if (const Json* schema = reader.Object("input_schema")) {
      tool.parameters = *schema;
    } else {
      reader.Fail("input_schema", "is missing");
    }
    tool.strict = reader.Flag("strict");
    for (const char* hint : {"cache_control", "defer_loading", "eager_input_streaming",
                             "input_examples", "allowed_callers"}) {
      reader.Drop(hint);
    }
    reader.RefuseTheRest();
    conversation_.tools.push_back(std::move(tool));
  }

  void ParseToolChoice() {
    using Kind = ToolChoice::Kind;
    const Json* value = reader_.Object("tool_choice");
    if (value == nullptr) return;
    RequestReader fields(*value, "tool_choice", findings_);
    ToolChoice& choice = conversation_.tool_choice;
    const std::string type = fields.NeededText("type");
    if (type == "auto") choice.kind = Kind::kAuto;
    if (type == "none") choice.kind = Kind::kNone;
    if (type == "any") choice.kind = Kind::kRequired;
    if (type == "tool") {
      choice.kind = Kind::kNamed;
      choice.name = fields.NeededText("name");
    }
    if (choice.kind == Kind::kUnset) fields.Fail("type", "must be auto, any, tool or none");
    if (const auto is_single = fields.Flag("disable_parallel_tool_use")) {
      conversation_.parallel_tool_calls = !*is_single;
    }
    fields.RefuseTheRest();
  }

  // "adaptive" leaves it to the model how much to think, as not saying anything does elsewhere.
  void ParseThinking() {
    const Json* value = reader_.Object("thinking");
    if (value == nullptr) return;
    RequestReader fields(*value, "thinking", findings_);
    const std::string type = fields.NeededText("type");
    Reasoning& reasoning = conversation_.reasoning;
    if (type == "enabled") {
      reasoning.budget_tokens =
          fields.Integer("budget_tokens", 1024, std::numeric_limits<int32_t>::max());
      if (!reasoning.budget_tokens) fields.Fail("budget_tokens", "is missing");
    } else if (type == "disabled") {
      reasoning.is_disabled = true;
    } else if (type != "adaptive" && type != "between_tools") {
      fields.Fail("type", "must be enabled, disabled or adaptive");
    }
    fields.Drop("display");
    fields.RefuseTheRest();
  }

  void ParseOutputConfig() {
    const Json* value = reader_.Object("output_config");
    if (value == nullptr) return;
    RequestReader fields(*value, "output_config", findings_);
    if (const auto effort = fields.Text("effort")) {
      constexpr std::array kEfforts = {"low", "medium", "high", "xhigh", "max"};
      if (std::find(kEfforts.begin(), kEfforts.end(), *effort) == kEfforts.end()) {
        fields.Fail("effort", "must be low, medium, high, xhigh or max");
      }
      // Elsewhere there is nothing above "xhigh".
      conversation_.reasoning.effort = *effort == "max" ? "xhigh" : *effort;
    }
    if (const Json* format = fields.Object("format")) ParseFormat(fields, *format);
    fields.RefuseTheRest();
  }

  void ParseFormat(RequestReader& config, const Json& format) {
    RequestReader fields(format, config.PathOf("format"), findings_);
    if (fields.NeededText("type") != "json_schema") fields.Fail("type", "must be json_schema");
    ParseJsonSchemaFormat(fields, conversation_.format);
    // Anthropic's schemas are always binding.
    conversation_.format.strict = true;
    fields.RefuseTheRest();
  }

  void ParseSampling() {
    conversation_.max_output_tokens =
        reader_.Integer("max_tokens", 1, std::numeric_limits<int32_t>::max());
    if (!conversation_.max_output_tokens) reader_.Fail("max_tokens", "is missing");
    conversation_.temperature = reader_.Number("temperature", 0, 1);
    conversation_.top_p = reader_.Number("top_p", 0, 1);
    conversation_.top_k = reader_.Integer("top_k", 0, std::numeric_limits<int32_t>::max());
    const Json* stop = reader_.Array("stop_sequences");
    if (stop == nullptr) return;
    for (const Json& word : *stop) {
      if (!word.is_string()) return reader_.Fail("stop_sequences", "must be an array of strings");
      conversation_.stop.push_back(word.get<std::string>());
    }
  }

  void ParseHints() {
    if (const Json* metadata = reader_.Object("metadata")) {
      RequestReader fields(*metadata, "metadata", findings_);
      conversation_.user = fields.Text("user_id").value_or("");
      fields.RefuseTheRest();
    }
    conversation_.service_tier = reader_.Text("service_tier").value_or("");
    for (const char* hint : {"cache_control", "context_management", "diagnostics", "speed"}) {
      reader_.Drop(hint);
    }
    for (const char* name : {"container", "mcp_servers", "inference_geo"}) {
      reader_.Refuse(name, kOnlyAnthropic);
    }
  }

  Findings findings_;
  RequestReader reader_;
  Conversation conversation_;
  absl::flat_hash_map<std::string, std::string> tool_names_;
};

}  // namespace

std::variant<Conversation, Failure> AnthropicMessagesClient::ParseRequest(
    std::string_view body) const {
  const Json json = ParseJson(body);
  return RequestParser(json).Parse();
}

}  // namespace gateway
