#include "gateway/dialects/openai_responses_input.h"

#include <optional>
#include <utility>

#include "common/concat.h"
#include "gateway/dialects/openai_fields.h"
#include "gateway/dialects/openai_responses.h"

namespace gateway {
namespace {

constexpr std::string_view kHeldElsewhere = "refers to what only its own provider keeps";

Part MakePart(Part::Kind kind, std::string text = {}) {
  Part part;
  part.kind = kind;
  part.text = std::move(text);
  return part;
}

Part ParseImage(RequestReader& reader) {
  Part part = MakePart(Part::Kind::kImage);
  reader.Refuse("file_id", kHeldElsewhere);
  SetUrlOrData(reader.NeededText("image_url"), part);
  part.detail = reader.Text("detail").value_or("");
  return part;
}

Part ParseFile(RequestReader& reader) {
  Part part = MakePart(Part::Kind::kFile);
  reader.Refuse("file_id", kHeldElsewhere);
  part.name = reader.Text("filename").value_or("");
  reader.Drop("detail");
  if (auto url = reader.Text("file_url")) {
    part.url = *std::move(url);
    return part;
  }
  SetUrlOrData(reader.NeededText("file_data"), part);
  if (part.data.empty()) {
    reader.Fail("file_data", "must be a data URL that names the media type");
  }
  return part;
}

Part ParseAudio(RequestReader& reader) {
  Part part = MakePart(Part::Kind::kAudio);
  const Json* audio = reader.Object("input_audio");
  if (audio == nullptr) {
    reader.Fail("input_audio", "is missing");
    return part;
  }
  RequestReader fields(*audio, reader.PathOf("input_audio"), reader.findings());
  part.data = fields.NeededText("data");
  part.media_type = common::Concat("audio/", fields.NeededText("format"));
  fields.RefuseTheRest();
  return part;
}

Part ParseText(RequestReader& reader) {
  Part part = MakePart(Part::Kind::kText, reader.NeededText("text"));
  reader.Drop("annotations");
  reader.Drop("logprobs");
  return part;
}

Part ParseContentPart(RequestReader& reader) {
  const std::string type = reader.NeededText("type");
  reader.Drop("prompt_cache_breakpoint");
  if (type == "input_text" || type == "output_text") return ParseText(reader);
  if (type == "refusal") return MakePart(Part::Kind::kRefusal, reader.NeededText("refusal"));
  if (type == "input_image") return ParseImage(reader);
  if (type == "input_file") return ParseFile(reader);
  if (type == "input_audio") return ParseAudio(reader);
  reader.Fail("type", "is no known kind of content");
  return {};
}

// A text, or an array of parts.
void ParseContent(RequestReader& item, std::string_view name, std::vector<Part>& parts) {
  const Json* content = item.Any(name);
  if (content == nullptr) return item.Fail(name, "is missing");
  if (content->is_string()) {
    parts.push_back(MakePart(Part::Kind::kText, content->get<std::string>()));
    parts.back().path = item.PathOf(name);
    return;
  }
  if (!content->is_array()) return item.Fail(name, "must be a string or an array");
  for (size_t i = 0; i < content->size() && !item.has_failed(); ++i) {
    RequestReader reader((*content)[i], item.PathOf(name, i), item.findings());
    parts.push_back(ParseContentPart(reader));
    parts.back().path = reader.PathOf("");
    reader.RefuseTheRest();
  }
}

std::optional<Role> RoleNamed(std::string_view name) {
  if (name == "system") return Role::kSystem;
  if (name == "developer") return Role::kDeveloper;
  if (name == "user") return Role::kUser;
  if (name == "assistant") return Role::kAssistant;
  return std::nullopt;
}

// The message under way when it is of `role`, else a new one that begins at `path`.
Message& TurnOf(Role role, std::string path, std::vector<Message>& messages) {
  const bool joins = role == Role::kAssistant || role == Role::kTool;
  if (messages.empty() || messages.back().role != role || !joins) {
    messages.emplace_back();
    messages.back().role = role;
    messages.back().path = std::move(path);
  }
  return messages.back();
}

void AddToTurn(Role role, Part part, std::string path, std::vector<Message>& messages) {
  part.path = std::move(path);
  TurnOf(role, part.path, messages).parts.push_back(std::move(part));
}

void ParseMessage(RequestReader& item, std::vector<Message>& messages) {
  const std::optional<Role> role = RoleNamed(item.NeededText("role"));
  if (!role) return item.Fail("role", "must be one of user, assistant, system, developer");
  item.Drop("phase");
  ParseContent(item, "content", TurnOf(*role, item.PathOf(""), messages).parts);
}

void ParseCall(RequestReader& item, std::vector<Message>& messages) {
  Part part = MakePart(Part::Kind::kToolCall, item.NeededText("arguments"));
  part.id = item.NeededText("call_id");
  part.name = item.NeededText("name");
  if (const Json* more = item.Object("extra_content")) {
    part.signature = ReadThoughtSignature({{"extra_content", *more}});
  }
  AddToTurn(Role::kAssistant, std::move(part), item.PathOf(""), messages);
}

void ParseCallOutput(RequestReader& item, std::vector<Message>& messages) {
  Part part = MakePart(Part::Kind::kToolResult);
  part.id = item.NeededText("call_id");
  part.name = item.Text("name").value_or("");
  ParseContent(item, "output", part.content);
  AddToTurn(Role::kTool, std::move(part), item.PathOf(""), messages);
}

// The texts of `name`, an array of parts of `type`, one under the other.
std::string ParseReasoningTexts(RequestReader& item, std::string_view name, std::string_view type) {
  std::string all;
  const Json* parts = item.Array(name);
  for (size_t i = 0; parts != nullptr && i < parts->size(); ++i) {
    RequestReader reader((*parts)[i], item.PathOf(name, i), item.findings());
    if (reader.NeededText("type") != type) reader.Fail("type", common::Concat("must be ", type));
    if (!all.empty()) all += "\n\n";
    all += reader.NeededText("text");
    reader.RefuseTheRest();
  }
  return all;
}

void ParseReasoning(RequestReader& item, std::vector<Message>& messages) {
  const std::string summary = ParseReasoningTexts(item, "summary", "summary_text");
  Part part =
      MakePart(Part::Kind::kReasoning, ParseReasoningTexts(item, "content", "reasoning_text"));
  if (part.text.empty()) part.text = summary;
  part.signature = item.Text("encrypted_content").value_or("");
  if (part.signature.starts_with(kRedactedPrefix)) {
    part.signature.erase(0, kRedactedPrefix.size());
    part.is_redacted = true;
  }
  if (part.text.empty() && part.signature.empty()) return;
  AddToTurn(Role::kAssistant, std::move(part), item.PathOf(""), messages);
}

void ParseItem(RequestReader& item, std::vector<Message>& messages) {
  // Messages may come without their type.
  const std::string type = item.Text("type").value_or("message");
  item.Ignore("id");
  item.Ignore("status");
  if (type == "message") {
    ParseMessage(item, messages);
  } else if (type == "function_call") {
    ParseCall(item, messages);
  } else if (type == "function_call_output") {
    ParseCallOutput(item, messages);
  } else if (type == "reasoning") {
    ParseReasoning(item, messages);
  } else {
    const bool is_reference = type == "item_reference";
    item.Refuse("type", is_reference
                            ? "refers to an item that a stateless gateway does not keep: send the "
                              "item itself (with store: false clients do)"
                            : "cannot be translated for the provider of this model");
  }
  item.RefuseTheRest();
}

}  // namespace

void ParseResponsesInput(RequestReader& request, std::vector<Message>& messages) {
  const Json* input = request.Any("input");
  if (input == nullptr) return request.Fail("input", "is missing");
  if (input->is_string()) {
    AddToTurn(Role::kUser, MakePart(Part::Kind::kText, input->get<std::string>()), "input",
              messages);
    return;
  }
  if (!input->is_array()) return request.Fail("input", "must be a string or an array");
  if (input->empty()) return request.Fail("input", "must not be empty");
  for (size_t i = 0; i < input->size() && !request.has_failed(); ++i) {
    RequestReader item((*input)[i], request.PathOf("input", i), request.findings());
    ParseItem(item, messages);
  }
}

}  // namespace gateway
