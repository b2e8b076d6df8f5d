#include <algorithm>
#include <limits>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "common/concat.h"
#include "gateway/dialects/openai_chat_values.h"
#include "gateway/dialects/openai_fields.h"
#include "gateway/dialects/openai_responses.h"
#include "gateway/dialects/openai_responses_input.h"

namespace gateway {
namespace {

constexpr std::string_view kStateless = "is state that a stateless gateway cannot keep";
constexpr int64_t kMostOutputTokens = std::numeric_limits<int32_t>::max();
constexpr int64_t kMostTopLogprobs = 20;

void RefuseState(RequestReader& reader) {
  reader.Refuse("previous_response_id", kStateless);
  reader.Refuse("conversation", kStateless);
  reader.Refuse("background", kStateless);
  reader.Refuse("prompt", "is kept by its own provider: send the instructions and the input");
  // Nothing is stored, which is what false asks for.
  if (reader.Flag("store").value_or(false)) reader.Drop("store");
}

void ParseInstructions(RequestReader& reader, Conversation& conversation) {
  const std::string text = reader.Text("instructions").value_or("");
  if (text.empty()) return;
  Message message;
  message.role = Role::kSystem;
  message.path = "instructions";
  message.parts.emplace_back().text = text;
  message.parts.back().path = "instructions";
  conversation.messages.push_back(std::move(message));
}

// Whether each object takes its own properties and needs them all, as strict tools must
// (platform.openai.com/docs/guides/function-calling#strict-mode).
bool IsStrictSchema(const Json& schema) {
  if (schema.is_array()) return std::all_of(schema.begin(), schema.end(), IsStrictSchema);
  if (!schema.is_object()) return true;
  const Json& properties = MemberOf(schema, "properties");
  if (properties.is_object() || MemberOf(schema, "type") == "object") {
    if (MemberOf(schema, "additionalProperties") != false) return false;
    const Json& required = MemberOf(schema, "required");
    if (properties.size() != (required.is_array() ? required.size() : 0)) return false;
  }
  return std::all_of(properties.begin(), properties.end(), IsStrictSchema) &&
         IsStrictSchema(MemberOf(schema, "items")) && IsStrictSchema(MemberOf(schema, "anyOf")) &&
         (!MemberOf(schema, "$defs").is_object() ||
          std::all_of(schema["$defs"].begin(), schema["$defs"].end(), IsStrictSchema));
}

// Functions are strict here unless the caller says otherwise. OpenAI then rewrites a schema that
// does not allow it; elsewhere such a function is not strict, and the caller is told.
std::optional<bool> ReadStrict(RequestReader& tool, const Json& parameters) {
  if (const auto said = tool.Flag("strict")) return said;
  if (parameters.is_null()) return std::nullopt;
  if (IsStrictSchema(parameters)) return true;
  tool.NoteDropped("strict");
  return std::nullopt;
}

// Functions stand flat in a tool, other than in chat completions.
void ParseTools(RequestReader& reader, Conversation& conversation) {
  const Json* tools = reader.Array("tools");
  for (size_t i = 0; tools != nullptr && i < tools->size() && !reader.has_failed(); ++i) {
    RequestReader item((*tools)[i], reader.PathOf("tools", i), reader.findings());
    if (const std::string type = item.NeededText("type"); type != "function") {
      item.Refuse("type", common::Concat("asks for the tool ", Json(type).dump(),
                                         ", which the provider of this model does not host: only "
                                         "functions can be translated"));
      return;
    }
    Tool& tool = conversation.tools.emplace_back();
    tool.name = item.NeededText("name");
    tool.description = item.Text("description").value_or("");
    if (const Json* parameters = item.Object("parameters")) tool.parameters = *parameters;
    tool.strict = ReadStrict(item, tool.parameters);
    item.RefuseTheRest();
  }
}

bool SetChoiceMode(std::string_view mode, ToolChoice& choice) {
  using Kind = ToolChoice::Kind;
  if (mode == "auto") choice.kind = Kind::kAuto;
  if (mode == "none") choice.kind = Kind::kNone;
  if (mode == "required") choice.kind = Kind::kRequired;
  return choice.kind != Kind::kUnset;
}

// Only some of the tools may be used: the others are not offered.
void ParseAllowedTools(RequestReader& reader, Conversation& conversation) {
  if (!SetChoiceMode(reader.NeededText("mode"), conversation.tool_choice)) {
    return reader.Fail("mode", "must be auto or required");
  }
  absl::flat_hash_set<std::string> known;
  for (const Tool& tool : conversation.tools) known.insert(tool.name);
  absl::flat_hash_set<std::string> allowed;
  const Json* names = reader.NeededArray("tools");
  for (size_t i = 0; names != nullptr && i < names->size(); ++i) {
    RequestReader item((*names)[i], reader.PathOf("tools", i), reader.findings());
    if (item.NeededText("type") != "function") {
      return item.Refuse("type", "cannot be translated: only functions can");
    }
    std::string name = item.NeededText("name");
    if (!known.contains(name)) return item.Fail("name", "is none of the tools");
    allowed.insert(std::move(name));
    item.RefuseTheRest();
  }
  std::erase_if(conversation.tools, [&](const Tool& tool) { return !allowed.contains(tool.name); });
}

void ParseToolChoice(RequestReader& reader, Conversation& conversation) {
  const Json* value = reader.Any("tool_choice");
  if (value == nullptr) return;
  ToolChoice& choice = conversation.tool_choice;
  if (value->is_string()) {
    if (SetChoiceMode(value->get_ref<const std::string&>(), choice)) return;
    return reader.Fail("tool_choice", "must be auto, none or required");
  }
  RequestReader fields(*value, reader.PathOf("tool_choice"), reader.findings());
  const std::string type = fields.NeededText("type");
  if (type == "function") {
    choice.kind = ToolChoice::Kind::kNamed;
    choice.name = fields.NeededText("name");
  } else if (type == "allowed_tools") {
    ParseAllowedTools(fields, conversation);
  } else {
    fields.Refuse("type", "cannot be translated: only functions can");
  }
  fields.RefuseTheRest();
}

void ParseFormat(RequestReader& text, OutputFormat& format) {
  const Json* value = text.Object("format");
  if (value == nullptr) return;
  RequestReader fields(*value, text.PathOf("format"), text.findings());
  const std::string type = fields.NeededText("type");
  if (type == "json_schema") {
    ParseJsonSchemaFormat(fields, format);
  } else if (type == "json_object") {
    format.kind = OutputFormat::Kind::kJsonObject;
  } else if (type != "text") {
    fields.Fail("type", "must be text, json_object or json_schema");
  }
  fields.RefuseTheRest();
}

void ParseText(RequestReader& reader, Conversation& conversation) {
  const Json* text = reader.Object("text");
  if (text == nullptr) return;
  RequestReader fields(*text, reader.PathOf("text"), reader.findings());
  ParseFormat(fields, conversation.format);
  conversation.verbosity = fields.Text("verbosity").value_or("");
  fields.RefuseTheRest();
}

void ParseReasoning(RequestReader& reader, Reasoning& reasoning) {
  const Json* value = reader.Object("reasoning");
  if (value == nullptr) return;
  RequestReader fields(*value, reader.PathOf("reasoning"), reader.findings());
  reasoning.effort = fields.Text("effort").value_or("");
  const auto older = fields.Text("generate_summary");
  reasoning.summary = fields.Text("summary").value_or(older.value_or(""));
  fields.RefuseTheRest();
}

void ParseInclude(RequestReader& reader, Conversation& conversation) {
  const Json* include = reader.Array("include");
  for (size_t i = 0; include != nullptr && i < include->size(); ++i) {
    if ((*include)[i] == "message.output_text.logprobs") {
      conversation.logprobs = true;
    } else if ((*include)[i] != "reasoning.encrypted_content" && !reader.has_failed()) {
      const std::string path = reader.PathOf("include", i);
      reader.findings().failure =
          RefuseAt(path, common::Concat("'", path, "' asks for what the provider of this model ",
                                        "does not give through translation."));
    }
  }
  const auto top_logprobs = reader.Integer("top_logprobs", 0, kMostTopLogprobs);
  // Without logprobs their number says nothing.
  if (conversation.logprobs) conversation.top_logprobs = top_logprobs;
}

void ParseSampling(RequestReader& reader, Conversation& conversation) {
  conversation.temperature = reader.Number("temperature", 0, 2);
  conversation.top_p = reader.Number("top_p", 0, 1);
  conversation.max_output_tokens = reader.Integer("max_output_tokens", 1, kMostOutputTokens);
  // Counts calls of hosted tools, of which there are none.
  reader.Integer("max_tool_calls", 0, kMostOutputTokens);
  const std::string truncation = reader.Text("truncation").value_or("disabled");
  if (truncation == "auto") {
    // An input that is too long is told as such.
    reader.Drop("truncation");
  } else if (truncation != "disabled") {
    reader.Fail("truncation", "must be auto or disabled");
  }
}

void ParseHints(RequestReader& reader, Conversation& conversation) {
  for (const char* name : {"prompt_cache_key", "prompt_cache_retention", "prompt_cache_options"}) {
    reader.Drop(name);
  }
  conversation.user = reader.Text("user").value_or("");
  const auto identifier = reader.Text("safety_identifier");
  if (conversation.user.empty()) conversation.user = identifier.value_or("");
  if (const Json* metadata = reader.Object("metadata")) conversation.metadata = *metadata;
  conversation.service_tier = reader.Text("service_tier").value_or("");
  reader.Ignore("stream");
  if (const Json* options = reader.Object("stream_options")) {
    RequestReader fields(*options, reader.PathOf("stream_options"), reader.findings());
    // Padding against an eavesdropper's guess by length; what a gateway sends has none.
    fields.Ignore("include_obfuscation");
    fields.RefuseTheRest();
  }
}

Json OrElse(const Json& value, Json otherwise) {
  if (value.is_null()) return otherwise;
  return value;
}

// What a response repeats of its request, with the API's defaults for what was not said.
Json EchoOf(const Json& request) {
  const auto given = [&](const char* name) { return MemberOf(request, name); };
  const Json& text = given("text");
  const Json& reasoning = given("reasoning");
  Json echo_text = {{"format", OrElse(MemberOf(text, "format"), {{"type", "text"}})}};
  if (!MemberOf(text, "verbosity").is_null()) echo_text["verbosity"] = text["verbosity"];
  return {
      {"background", false},
      {"instructions", given("instructions")},
      {"max_output_tokens", given("max_output_tokens")},
      {"max_tool_calls", given("max_tool_calls")},
      {"metadata", OrElse(given("metadata"), Json::object())},
      {"parallel_tool_calls", OrElse(given("parallel_tool_calls"), true)},
      {"previous_response_id", nullptr},
      {"prompt_cache_key", given("prompt_cache_key")},
      {"reasoning",
       {{"effort", MemberOf(reasoning, "effort")}, {"summary", MemberOf(reasoning, "summary")}}},
      {"safety_identifier", given("safety_identifier")},
      {"store", false},
      {"temperature", given("temperature")},
      {"text", std::move(echo_text)},
      {"tool_choice", OrElse(given("tool_choice"), "auto")},
      {"tools", OrElse(given("tools"), Json::array())},
      {"top_logprobs", OrElse(given("top_logprobs"), 0)},
      {"top_p", given("top_p")},
      {"truncation", "disabled"},
      {"user", given("user")}};
}

}  // namespace

std::variant<Conversation, Failure> OpenAiResponsesClient::ParseRequest(
    std::string_view body) const {
  const Json json = ParseJson(body);
  RequestReader::Findings findings;
  RequestReader reader(json, "", findings);
  Conversation conversation;
  reader.Ignore("model");
  RefuseState(reader);
  ParseInstructions(reader, conversation);
  ParseResponsesInput(reader, conversation.messages);
  ParseTools(reader, conversation);
  ParseToolChoice(reader, conversation);
  conversation.parallel_tool_calls = reader.Flag("parallel_tool_calls");
  ParseText(reader, conversation);
  ParseReasoning(reader, conversation.reasoning);
  ParseInclude(reader, conversation);
  ParseSampling(reader, conversation);
  ParseHints(reader, conversation);
  reader.RefuseTheRest();
  if (findings.failure) return *std::move(findings.failure);
  conversation.dropped = std::move(findings.dropped);
  conversation.echo = EchoOf(json);
  return conversation;
}

}  // namespace gateway
