#include <utility>

#include "gateway/dialects/gemini_request.h"

namespace gateway {
namespace {

Json RenderTool(const Tool& tool) {
  Json json = {{"name", tool.name}};
  if (!tool.description.empty()) json["description"] = tool.description;
  // Unlike `parameters`, which is a subset of OpenAPI's schema, this takes JSON Schema as it is.
  if (!tool.parameters.empty()) json["parametersJsonSchema"] = tool.parameters;
  return json;
}

bool IsAnyStrict(const std::vector<Tool>& tools) {
  for (const Tool& tool : tools) {
    if (tool.strict.value_or(false)) return true;
  }
  return false;
}

}  // namespace

void AddGeminiTools(std::string_view model, const Conversation& conversation,
                    GeminiFindings& findings, Json& body) {
  using Kind = ToolChoice::Kind;
  const ToolChoice& choice = conversation.tool_choice;
  const bool has_tools = !conversation.tools.empty();
  const bool must_call = choice.kind == Kind::kRequired || choice.kind == Kind::kNamed;
  if (has_tools) {
    Json all = Json::object();
    for (const Tool& tool : conversation.tools) {
      all["functionDeclarations"].push_back(RenderTool(tool));
    }
    body["tools"].push_back(std::move(all));
  }
  if (!has_tools && must_call) return findings.Refuse(Field::kToolChoice);
  if (!has_tools) return;
  // Gemini cannot be kept from making several calls at once.
  const bool allows_several = conversation.parallel_tool_calls.value_or(true);
  if (!allows_several && choice.kind != Kind::kNone) findings.Refuse(Field::kParallelToolCalls);

  // Calls that must be made obey their schema in any case, and the older models know no other way.
  const bool is_strict = IsAnyStrict(conversation.tools) && !must_call;
  const bool can_validate = GeminiThinkingOf(model) != GeminiThinking::kNone;
  if (is_strict && !can_validate) findings.Drop("strict");
  Json config;
  if (choice.kind == Kind::kAuto) config["mode"] = "AUTO";
  if (is_strict && can_validate) config["mode"] = "VALIDATED";
  if (choice.kind == Kind::kNone) config["mode"] = "NONE";
  if (must_call) config["mode"] = "ANY";
  if (choice.kind == Kind::kNamed) config["allowedFunctionNames"] = Json::array({choice.name});
  if (!config.is_null()) body["toolConfig"] = {{"functionCallingConfig", std::move(config)}};
}

}  // namespace gateway
