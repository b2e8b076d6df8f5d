#include <algorithm>
#include <array>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "common/concat.h"
#include "gateway/core/ascii.h"
#include "gateway/dialects/gemini_answer.h"
#include "gateway/dialects/gemini_request.h"
#include "gateway/dialects/openai_fields.h"

namespace gateway {
namespace {

// What Google documents for calls whose proof is lost or was never given, for instance in a
// conversation that another model began (ai.google.dev/gemini-api/docs/thought-signatures).
constexpr std::string_view kNoSignature = "skip_thought_signature_validator";

struct MediaType {
  std::string_view ending;
  std::string_view name;
};

constexpr std::array kMediaTypes = {
    MediaType{".png", "image/png"},        MediaType{".jpg", "image/jpeg"},
    MediaType{".jpeg", "image/jpeg"},      MediaType{".webp", "image/webp"},
    MediaType{".gif", "image/gif"},        MediaType{".heic", "image/heic"},
    MediaType{".heif", "image/heif"},      MediaType{".pdf", "application/pdf"},
    MediaType{".txt", "text/plain"},       MediaType{".md", "text/markdown"},
    MediaType{".csv", "text/csv"},         MediaType{".html", "text/html"},
    MediaType{".json", "application/json"}};

std::string_view MediaTypeOf(std::string_view path) {
  const std::string lower = Lower(path.substr(0, path.find_first_of("?#")));
  for (const MediaType& type : kMediaTypes) {
    if (lower.ends_with(type.ending)) return type.name;
  }
  return {};
}

std::string MediaTypeOf(const Part& part) {
  if (!part.media_type.empty()) return part.media_type;
  const std::string_view by_url = MediaTypeOf(part.url);
  return std::string(by_url.empty() ? MediaTypeOf(part.name) : by_url);
}

Json TextPart(const std::string& text) { return {{"text", text}}; }

class ContentsBuilder {
 public:
  ContentsBuilder(std::string_view model, const Conversation& conversation,
                  GeminiFindings& findings)
      : conversation_(conversation),
        findings_(findings),
        wants_signatures_(GeminiThinkingOf(model) == GeminiThinking::kLevel) {}

  void Build(Json& body) {
    for (const Message& message : conversation_.messages) AddMessage(message);
    if (contents_.empty()) {
      AddContent("user", Role::kUser, std::exchange(instruction_, Json::array()));
    }
    if (wants_signatures_) FillSignatures();
    if (!instruction_.empty()) body["systemInstruction"] = {{"parts", std::move(instruction_)}};
    body["contents"] = std::move(contents_);
  }

 private:
  void AddMessage(const Message& message) {
    if (!message.name.empty()) findings_.Drop("name");
    switch (message.role) {
      case Role::kSystem:
      case Role::kDeveloper:
        return AddInstruction(message);
      case Role::kUser:
      case Role::kTool:
        return AddContent("user", message.role, RenderParts(message.parts));
      case Role::kAssistant:
        return AddContent("model", message.role, RenderParts(message.parts));
    }
  }

  void AddInstruction(const Message& message) {
    for (const Part& part : message.parts) {
      if (part.kind != Part::Kind::kText) {
        findings_.Refuse(part, "holds other instructions than text");
      } else if (!part.text.empty()) {
        instruction_.push_back(TextPart(part.text));
      }
    }
  }

  // Calls that were made together, and their results, must stand together: neighbours of one role
  // become one turn.
  void AddContent(std::string_view name, Role role, Json parts) {
    if (parts.empty()) return;
    if (!contents_.empty() && last_role_ == role) {
      Json& last = contents_.back()["parts"];
      last.insert(last.end(), parts.begin(), parts.end());
      return;
    }
    contents_.push_back({{"role", name}, {"parts", std::move(parts)}});
    last_role_ = role;
  }

  Json RenderParts(const std::vector<Part>& parts) {
    Json rendered = Json::array();
    for (const Part& part : parts) {
      Json json = RenderPart(part);
      if (!json.is_null()) rendered.push_back(std::move(json));
    }
    return rendered;
  }

  // Null for what is left out: empty text, which Gemini refuses, and the model's thoughts. Those
  // are summaries; what the model knows its thinking by is the signature of its calls.
  Json RenderPart(const Part& part) {
    switch (part.kind) {
      case Part::Kind::kText:
      case Part::Kind::kRefusal:
        return part.text.empty() ? Json(nullptr) : TextPart(part.text);
      case Part::Kind::kReasoning:
        findings_.Drop("reasoning");
        return nullptr;
      case Part::Kind::kImage:
      case Part::Kind::kFile:
      case Part::Kind::kAudio:
        return RenderMedia(part);
      case Part::Kind::kToolCall:
        return RenderCall(part);
      case Part::Kind::kToolResult:
        return RenderResult(part);
    }
    return nullptr;
  }

  Json RenderMedia(const Part& part) {
    if (!part.detail.empty() && part.detail != "auto") findings_.Drop("detail");
    const std::string type = MediaTypeOf(part);
    if (!part.url.empty()) return RenderLink(part, type);
    if (type.empty()) findings_.Refuse(part, "holds data without a media type");
    return {{"inlineData", {{"mimeType", type}, {"data", part.data}}}};
  }

  // Google fetches public https URLs itself; its Files API and Cloud Storage have such names, too
  // (ai.google.dev/gemini-api/docs/file-input-methods).
  Json RenderLink(const Part& part, const std::string& type) {
    if (!IsWebUrl(part.url, {"https", "gs"})) {
      findings_.Refuse(part, "holds a URL that is neither https: nor gs:");
    }
    Json link;
    if (!type.empty()) link["mimeType"] = type;
    link["fileUri"] = part.url;
    return {{"fileData", std::move(link)}};
  }

  Json RenderCall(const Part& part) {
    name_of_call_[part.id] = part.name;
    std::optional<Json> arguments = Json::object();
    if (!Trim(part.text).empty()) arguments = ParseGeminiJson(part.text);
    if (!arguments || !arguments->is_object()) {
      findings_.Refuse(part, "is a tool call whose arguments are no JSON object");
      return nullptr;
    }
    Json call;
    if (!part.id.empty()) call["id"] = part.id;
    call["name"] = part.name;
    call["args"] = *std::move(arguments);
    Json json = {{"functionCall", std::move(call)}};
    if (!part.signature.empty()) json["thoughtSignature"] = part.signature;
    return json;
  }

  // A result is an object with the key "output" or "error". Text stays text: as a JSON value its
  // numbers would be rounded on the way.
  Json RenderResult(const Part& part) {
    const auto called = name_of_call_.find(part.id);
    const bool is_known = called != name_of_call_.end();
    if (!is_known && part.name.empty()) {
      findings_.Refuse(part, "is the result of a tool call that is not there");
      return nullptr;
    }
    Json result;
    if (!part.id.empty()) result["id"] = part.id;
    result["name"] = is_known ? called->second : part.name;
    std::string text;
    Json media = Json::array();
    for (const Part& piece : part.content) AddToResult(piece, text, media);
    result["response"] = {{part.is_error ? "error" : "output", std::move(text)}};
    if (!media.empty()) result["parts"] = std::move(media);
    return {{"functionResponse", std::move(result)}};
  }

  void AddToResult(const Part& piece, std::string& text, Json& media) {
    if (piece.kind == Part::Kind::kText) {
      if (!text.empty()) text += '\n';
      text += piece.text;
      return;
    }
    if (!piece.url.empty()) findings_.Refuse(piece, "is a part of a tool's result by URL");
    media.push_back(RenderMedia(piece));
  }

  // Of calls that were made together only the first carries a proof.
  void FillSignatures() {
    for (Json& content : contents_) {
      Json* first = nullptr;
      bool has_signature = false;
      for (Json& part : content["parts"]) {
        if (!part.contains("functionCall")) continue;
        if (first == nullptr) first = &part;
        has_signature |= part.contains("thoughtSignature");
      }
      if (first != nullptr && !has_signature) (*first)["thoughtSignature"] = kNoSignature;
    }
  }

  const Conversation& conversation_;
  GeminiFindings& findings_;
  bool wants_signatures_;
  Json instruction_ = Json::array();
  Json contents_ = Json::array();
  Role last_role_ = Role::kSystem;
  absl::flat_hash_map<std::string, std::string> name_of_call_;
};

}  // namespace

void AddGeminiContents(std::string_view model, const Conversation& conversation,
                       GeminiFindings& findings, Json& body) {
  ContentsBuilder(model, conversation, findings).Build(body);
}

}  // namespace gateway
