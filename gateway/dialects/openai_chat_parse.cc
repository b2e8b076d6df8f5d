#include <limits>
#include <utility>

#include "common/concat.h"
#include "gateway/dialects/openai_chat.h"
#include "gateway/dialects/openai_fields.h"
#include "gateway/dialects/request_reader.h"

namespace gateway {
namespace {

using Findings = RequestReader::Findings;

Part TextPart(Part::Kind kind, std::string text, std::string path = {}) {
  Part part;
  part.kind = kind;
  part.text = std::move(text);
  part.path = std::move(path);
  return part;
}

Part ParseImage(RequestReader& reader, Findings& findings) {
  Part part;
  part.kind = Part::Kind::kImage;
  const Json* image = reader.Object("image_url");
  if (image == nullptr) {
    reader.Fail("image_url", "is missing");
    return part;
  }
  RequestReader fields(*image, reader.PathOf("image_url"), findings);
  SetUrlOrData(fields.NeededText("url"), part);
  part.detail = fields.Text("detail").value_or("");
  fields.RefuseTheRest();
  return part;
}

Part ParseAudio(RequestReader& reader, Findings& findings) {
  Part part;
  part.kind = Part::Kind::kAudio;
  if (const Json* audio = reader.Object("input_audio")) {
    RequestReader fields(*audio, reader.PathOf("input_audio"), findings);
    part.data = fields.NeededText("data");
    part.media_type = common::Concat("audio/", fields.NeededText("format"));
    fields.RefuseTheRest();
  } else {
    reader.Fail("input_audio", "is missing");
  }
  return part;
}

Part ParseFile(RequestReader& reader, Findings& findings) {
  Part part;
  part.kind = Part::Kind::kFile;
  const Json* file = reader.Object("file");
  if (file == nullptr) {
    reader.Fail("file", "is missing");
    return part;
  }
  RequestReader fields(*file, reader.PathOf("file"), findings);
  fields.Refuse("file_id", "is a file that only its own provider holds; send file_data");
  SetUrlOrData(fields.NeededText("file_data"), part);
  part.name = fields.Text("filename").value_or("");
  fields.RefuseTheRest();
  return part;
}

Part ParsePart(const Json& item, const std::string& path, Findings& findings) {
  RequestReader reader(item, path, findings);
  const std::string type = reader.NeededText("type");
  reader.Drop("cache_control");
  Part part;
  if (type == "text") {
    part = TextPart(Part::Kind::kText, reader.NeededText("text"));
  } else if (type == "refusal") {
    part = TextPart(Part::Kind::kRefusal, reader.NeededText("refusal"));
  } else if (type == "image_url") {
    part = ParseImage(reader, findings);
  } else if (type == "input_audio") {
    part = ParseAudio(reader, findings);
  } else if (type == "file") {
    part = ParseFile(reader, findings);
  } else {
    reader.Fail("type", "is no known kind of content");
  }
  part.path = path;
  reader.RefuseTheRest();
  return part;
}

void ParseContent(RequestReader& reader, Findings& findings, std::vector<Part>& parts) {
  const Json* content = reader.Any("content");
  if (content == nullptr) return;
  if (content->is_string()) {
    const auto& text = content->get_ref<const std::string&>();
    if (!text.empty()) {
      parts.push_back(TextPart(Part::Kind::kText, text, reader.PathOf("content")));
    }
    return;
  }
  if (!content->is_array()) return reader.Fail("content", "must be a string or an array");
  for (size_t i = 0; i < content->size(); ++i) {
    parts.push_back(ParsePart((*content)[i], reader.PathOf("content", i), findings));
  }
}

Part ParseToolCall(const Json& item, const std::string& path, Findings& findings) {
  RequestReader reader(item, path, findings);
  Part part;
  part.kind = Part::Kind::kToolCall;
  part.path = path;
  part.id = reader.NeededText("id");
  const std::string type = reader.Text("type").value_or("function");
  if (type != "function") reader.Fail("type", "cannot be translated: only functions can");
  if (const Json* function = reader.Object("function")) {
    RequestReader fields(*function, reader.PathOf("function"), findings);
    part.name = fields.NeededText("name");
    part.text = fields.NeededText("arguments");
    fields.RefuseTheRest();
  }
  part.signature = ReadThoughtSignature(item);
  reader.Ignore("extra_content");
  reader.Ignore("index");
  reader.RefuseTheRest();
  return part;
}

void ParseAssistant(RequestReader& reader, Findings& findings, Message& message) {
  for (const char* name : {"reasoning_content", "reasoning"}) {
    const Json* text = reader.Any(name);
    if (text == nullptr || !text->is_string() || !message.parts.empty()) continue;
    if (text->get_ref<const std::string&>().empty()) continue;
    message.parts.push_back(
        TextPart(Part::Kind::kReasoning, text->get<std::string>(), reader.PathOf(name)));
  }
  ParseContent(reader, findings, message.parts);
  if (auto refusal = reader.Text("refusal"); refusal && !refusal->empty()) {
    message.parts.push_back(
        TextPart(Part::Kind::kRefusal, *std::move(refusal), reader.PathOf("refusal")));
  }
  if (const Json* calls = reader.Array("tool_calls")) {
    for (size_t i = 0; i < calls->size(); ++i) {
      message.parts.push_back(ParseToolCall((*calls)[i], reader.PathOf("tool_calls", i), findings));
    }
  }
  reader.Refuse("function_call", "is replaced by tool_calls, which can be translated");
  reader.Refuse("audio", "is held by its own provider only");
  reader.Drop("annotations");
  reader.Drop("reasoning_details");
}

void ParseToolMessage(RequestReader& reader, Findings& findings, Message& message) {
  Part result;
  result.kind = Part::Kind::kToolResult;
  result.path = message.path;
  result.id = reader.NeededText("tool_call_id");
  ParseContent(reader, findings, result.content);
  result.name = std::exchange(message.name, {});
  message.parts.push_back(std::move(result));
}

std::optional<Role> RoleNamed(std::string_view name) {
  if (name == "system") return Role::kSystem;
  if (name == "developer") return Role::kDeveloper;
  if (name == "user") return Role::kUser;
  if (name == "assistant") return Role::kAssistant;
  if (name == "tool") return Role::kTool;
  return std::nullopt;
}

Message ParseMessage(const Json& item, const std::string& path, Findings& findings) {
  RequestReader reader(item, path, findings);
  Message message;
  message.path = path;
  const std::optional<Role> role = RoleNamed(reader.NeededText("role"));
  if (!role) {
    reader.Fail("role", "must be one of system, developer, user, assistant, tool");
    return message;
  }
  message.role = *role;
  message.name = reader.Text("name").value_or("");
  if (*role != Role::kAssistant && reader.Any("content") == nullptr) {
    reader.Fail("content", "is missing");
  }
  if (*role == Role::kAssistant) {
    ParseAssistant(reader, findings, message);
  } else if (*role == Role::kTool) {
    ParseToolMessage(reader, findings, message);
  } else {
    ParseContent(reader, findings, message.parts);
  }
  reader.RefuseTheRest();
  return message;
}

Tool ParseTool(const Json& item, const std::string& path, Findings& findings) {
  RequestReader reader(item, path, findings);
  Tool tool;
  if (reader.NeededText("type") != "function") {
    reader.Fail("type", "cannot be translated: only functions can");
    return tool;
  }
  const Json* function = reader.Object("function");
  if (function == nullptr) {
    reader.Fail("function", "is missing");
    return tool;
  }
  RequestReader fields(*function, reader.PathOf("function"), findings);
  tool.name = fields.NeededText("name");
  tool.description = fields.Text("description").value_or("");
  if (const Json* parameters = fields.Object("parameters")) tool.parameters = *parameters;
  tool.strict = fields.Flag("strict");
  fields.RefuseTheRest();
  reader.Drop("cache_control");
  reader.RefuseTheRest();
  return tool;
}

void ParseToolChoice(RequestReader& reader, Findings& findings, ToolChoice& choice) {
  using Kind = ToolChoice::Kind;
  const Json* value = reader.Any("tool_choice");
  if (value == nullptr) return;
  if (value->is_string()) {
    const auto& name = value->get_ref<const std::string&>();
    if (name == "auto") choice.kind = Kind::kAuto;
    if (name == "none") choice.kind = Kind::kNone;
    if (name == "required" || name == "any") choice.kind = Kind::kRequired;
    if (choice.kind == Kind::kUnset) reader.Fail("tool_choice", "must be auto, none or required");
    return;
  }
  RequestReader fields(*value, reader.PathOf("tool_choice"), findings);
  if (fields.NeededText("type") != "function") {
    return fields.Fail("type", "cannot be translated: only functions can");
  }
  if (const Json* function = fields.Object("function")) {
    RequestReader named(*function, fields.PathOf("function"), findings);
    choice.kind = Kind::kNamed;
    choice.name = named.NeededText("name");
    named.RefuseTheRest();
  } else {
    fields.Fail("function", "is missing");
  }
  fields.RefuseTheRest();
}

void ParseFormat(RequestReader& reader, Findings& findings, OutputFormat& format) {
  const Json* value = reader.Object("response_format");
  if (value == nullptr) return;
  RequestReader fields(*value, reader.PathOf("response_format"), findings);
  const std::string type = fields.NeededText("type");
  if (type == "json_object") format.kind = OutputFormat::Kind::kJsonObject;
  if (type == "json_schema") {
    const Json* schema = fields.Object("json_schema");
    if (schema == nullptr) return fields.Fail("json_schema", "is missing");
    RequestReader inner(*schema, fields.PathOf("json_schema"), findings);
    ParseJsonSchemaFormat(inner, format);
    inner.RefuseTheRest();
  } else if (type != "text" && type != "json_object") {
    fields.Fail("type", "must be text, json_object or json_schema");
  }
  fields.RefuseTheRest();
}

void ParseMessages(RequestReader& reader, Findings& findings, Conversation& conversation) {
  const Json* messages = reader.NeededArray("messages");
  if (messages == nullptr) return;
  for (size_t i = 0; i < messages->size() && !reader.has_failed(); ++i) {
    conversation.messages.push_back(
        ParseMessage((*messages)[i], reader.PathOf("messages", i), findings));
  }
}

void ParseTools(RequestReader& reader, Findings& findings, Conversation& conversation) {
  if (const Json* tools = reader.Array("tools")) {
    for (size_t i = 0; i < tools->size() && !reader.has_failed(); ++i) {
      conversation.tools.push_back(ParseTool((*tools)[i], reader.PathOf("tools", i), findings));
    }
  }
  ParseToolChoice(reader, findings, conversation.tool_choice);
  conversation.parallel_tool_calls = reader.Flag("parallel_tool_calls");
  reader.Refuse("functions", "is replaced by tools, which can be translated");
  reader.Refuse("function_call", "is replaced by tool_choice, which can be translated");
}

void ParseOutput(RequestReader& reader, Findings& findings, Conversation& conversation) {
  ParseFormat(reader, findings, conversation.format);
  conversation.reasoning.effort = reader.Text("reasoning_effort").value_or("");
  conversation.verbosity = reader.Text("verbosity").value_or("");
  if (const Json* modalities = reader.Array("modalities")) {
    if (*modalities != Json::array({"text"})) {
      reader.Refuse("modalities", "can only be [\"text\"] for the provider of this model");
    }
  }
  reader.Refuse("audio", "cannot be translated for the provider of this model");
  reader.Refuse("web_search_options", "cannot be translated for the provider of this model");
}

void ParseHints(RequestReader& reader, Conversation& conversation) {
  reader.Drop("store");
  reader.Drop("prediction");
  reader.Drop("prompt_cache_key");
  reader.Drop("prompt_cache_retention");
  conversation.user = reader.Text("user").value_or("");
  if (const auto identifier = reader.Text("safety_identifier"); conversation.user.empty()) {
    conversation.user = identifier.value_or("");
  }
  if (const Json* metadata = reader.Object("metadata")) conversation.metadata = *metadata;
  conversation.service_tier = reader.Text("service_tier").value_or("");
}

}  // namespace

std::variant<Conversation, Failure> OpenAiChatClient::ParseRequest(std::string_view body) const {
  const Json json = ParseJson(body);
  Findings findings;
  RequestReader reader(json, "", findings);
  Conversation conversation;
  reader.Ignore("model");
  ParseMessages(reader, findings, conversation);
  ParseTools(reader, findings, conversation);
  ParseOutput(reader, findings, conversation);
  ParseOpenAiSampling(reader, conversation);
  conversation.logprobs = reader.Flag("logprobs").value_or(false);
  conversation.top_logprobs = reader.Integer("top_logprobs", 0, 20);
  conversation.max_output_tokens =
      reader.Integer("max_completion_tokens", 1, std::numeric_limits<int32_t>::max());
  const auto older = reader.Integer("max_tokens", 1, std::numeric_limits<int32_t>::max());
  if (!conversation.max_output_tokens) conversation.max_output_tokens = older;
  ParseHints(reader, conversation);
  reader.RefuseTheRest();
  if (findings.failure) return *std::move(findings.failure);
  conversation.dropped = std::move(findings.dropped);
  return conversation;
}

}  // namespace gateway
