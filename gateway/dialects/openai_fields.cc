#include "gateway/dialects/openai_fields.h"

#include <algorithm>
#include <utility>

#include "common/concat.h"
#include "gateway/core/ascii.h"

namespace gateway {
namespace {

constexpr int64_t kMostCandidates = 128;

void ParseStop(RequestReader& reader, Conversation& conversation) {
  const Json* stop = reader.Any("stop");
  if (stop == nullptr) return;
  if (stop->is_string()) {
    conversation.stop.push_back(stop->get<std::string>());
    return;
  }
  if (!stop->is_array()) return reader.Fail("stop", "must be a string or an array of strings");
  for (const Json& word : *stop) {
    if (!word.is_string()) return reader.Fail("stop", "must be a string or an array of strings");
    conversation.stop.push_back(word.get<std::string>());
  }
}

void ParseStreamOptions(RequestReader& reader, Conversation& conversation) {
  reader.Ignore("stream");
  const Json* options = reader.Object("stream_options");
  if (options == nullptr) return;
  RequestReader fields(*options, reader.PathOf("stream_options"), reader.findings());
  conversation.wants_stream_usage = fields.Flag("include_usage").value_or(false);
  // Padding against an eavesdropper's guess by length; what a gateway sends has none.
  fields.Ignore("include_obfuscation");
  fields.RefuseTheRest();
}

}  // namespace

void ParseOpenAiSampling(RequestReader& reader, Conversation& conversation) {
  ParseStreamOptions(reader, conversation);
  ParseStop(reader, conversation);
  conversation.temperature = reader.Number("temperature", 0, 2);
  conversation.top_p = reader.Number("top_p", 0, 1);
  conversation.top_k = reader.Integer("top_k", 0, INT32_MAX);
  conversation.candidates = reader.Integer("n", 1, kMostCandidates).value_or(1);
  conversation.seed = reader.Integer("seed", INT64_MIN, INT64_MAX);
  conversation.frequency_penalty = reader.Number("frequency_penalty", -2, 2);
  conversation.presence_penalty = reader.Number("presence_penalty", -2, 2);
  if (const Json* bias = reader.Object("logit_bias"); bias != nullptr && !bias->empty()) {
    conversation.logit_bias = *bias;
  }
}

void ParseJsonSchemaFormat(RequestReader& reader, OutputFormat& format) {
  format.kind = OutputFormat::Kind::kJsonSchema;
  format.name = reader.Text("name").value_or("output");
  format.description = reader.Text("description").value_or("");
  format.strict = reader.Flag("strict");
  if (const Json* schema = reader.Object("schema")) {
    format.schema = *schema;
  } else {
    reader.Fail("schema", "is missing");
  }
}

void SetUrlOrData(std::string text, Part& part) {
  constexpr std::string_view kData = "data:";
  constexpr std::string_view kBase64 = ";base64,";
  const size_t mark = text.find(kBase64);
  if (!text.starts_with(kData) || mark == std::string::npos) {
    part.url = std::move(text);
    return;
  }
  part.media_type =
      NormalMediaType(std::string_view(text).substr(kData.size(), mark - kData.size()));
  part.data = text.substr(mark + kBase64.size());
}

bool IsWebUrl(std::string_view url, std::initializer_list<std::string_view> schemes) {
  const size_t colon = url.find("://");
  if (colon == std::string_view::npos) return false;
  const std::string scheme = Lower(url.substr(0, colon));
  if (std::find(schemes.begin(), schemes.end(), scheme) == schemes.end()) return false;
  const std::string_view rest = url.substr(colon + 3);
  const bool has_host = rest.find_first_of("/?#") != 0 && !rest.empty();
  return has_host && std::all_of(rest.begin(), rest.end(), [](char c) {
           return static_cast<unsigned char>(c) > ' ' && c != '\x7f';
         });
}

std::string NormalMediaType(std::string_view type) {
  const std::string name = Lower(Trim(type.substr(0, type.find(';'))));
  return name == "image/jpg" || name == "image/pjpeg" ? "image/jpeg" : name;
}

std::string UrlOf(const Part& part) {
  if (part.data.empty()) return part.url;
  return common::Concat("data:", part.media_type, ";base64,", part.data);
}

std::string ReadThoughtSignature(const Json& tool_call) {
  const Json* value = &tool_call;
  for (const char* name : {"extra_content", "google", "thought_signature"}) {
    if (!value->is_object()) return {};
    const auto found = value->find(name);
    if (found == value->end()) return {};
    value = &*found;
  }
  return value->is_string() ? value->get<std::string>() : std::string();
}

}  // namespace gateway
