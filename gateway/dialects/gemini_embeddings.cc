#include "gateway/dialects/gemini_embeddings.h"

#include <cstdint>
#include <cstring>
#include <utility>

#include "absl/strings/escaping.h"
#include "common/concat.h"
#include "gateway/dialects/openai_chat_values.h"
#include "gateway/dialects/request_reader.h"

namespace gateway {
namespace {

// Larger than any model's vectors.
constexpr int64_t kMostDimensions = 65536;

// One text, or several.
std::vector<std::string> ReadTexts(RequestReader& reader) {
  const Json* input = reader.Any("input");
  std::vector<std::string> texts;
  if (input == nullptr) {
    reader.Fail("input", "is missing");
  } else if (input->is_string()) {
    texts.push_back(input->get<std::string>());
  } else if (!input->is_array()) {
    reader.Fail("input", "must be a string or an array of strings");
  } else {
    for (const Json& text : *input) {
      if (!text.is_string()) {
        reader.Fail("input", "must be text: other providers have other tokens");
        break;
      }
      texts.push_back(text.get<std::string>());
    }
  }
  if (texts.empty()) reader.Fail("input", "must not be empty");
  return texts;
}

bool ReadIsBase64(RequestReader& reader) {
  const std::string format = reader.Text("encoding_format").value_or("float");
  if (format != "float" && format != "base64") {
    reader.Fail("encoding_format", "must be float or base64");
  }
  return format == "base64";
}

Json BuildRequest(std::string_view resource, const std::string& text,
                  const std::optional<int64_t>& dimensions) {
  Json part = {{"text", text}};
  Json request = {{"model", resource}, {"content", {{"parts", Json::array({std::move(part)})}}}};
  if (dimensions) request["outputDimensionality"] = *dimensions;
  return request;
}

bool IsVector(const Json& values) {
  if (!values.is_array() || values.empty()) return false;
  for (const Json& value : values) {
    if (!value.is_number()) return false;
  }
  return true;
}

std::string EncodeBase64(const Json& values) {
  std::string bytes;
  bytes.reserve(values.size() * sizeof(float));
  for (const Json& value : values) {
    const auto number = static_cast<float>(value.get<double>());
    uint32_t bits = 0;
    std::memcpy(&bits, &number, sizeof(bits));
    for (int shift = 0; shift < 32; shift += 8) bytes += static_cast<char>(bits >> shift);
  }
  return absl::Base64Escape(absl::string_view(bytes.data(), bytes.size()));
}

}  // namespace

std::variant<GeminiEmbeddingsBody, Failure> BuildGeminiEmbeddings(std::string_view resource,
                                                                  std::string_view client_body) {
  const Json json = ParseJson(client_body);
  RequestReader::Findings findings;
  RequestReader reader(json, "", findings);
  reader.Ignore("model");
  const std::vector<std::string> texts = ReadTexts(reader);
  const std::optional<int64_t> dimensions = reader.Integer("dimensions", 1, kMostDimensions);
  GeminiEmbeddingsBody built;
  built.form = {.count = texts.size(), .is_base64 = ReadIsBase64(reader)};
  reader.Drop("user");
  reader.RefuseTheRest();
  if (findings.failure) return *std::move(findings.failure);
  Json body = {{"requests", Json::array()}};
  for (const std::string& text : texts) {
    body["requests"].push_back(BuildRequest(resource, text, dimensions));
  }
  built.body = RenderJson(body);
  built.dropped = std::move(findings.dropped);
  return built;
}

std::optional<std::string> RenderGeminiEmbeddings(const Json& answer, std::string_view model,
                                                  const EmbeddingsForm& form) {
  const Json& embeddings = MemberOf(answer, "embeddings");
  if (!embeddings.is_array() || embeddings.empty() || embeddings.size() != form.count) {
    return std::nullopt;
  }
  Json data = Json::array();
  for (const Json& embedding : embeddings) {
    const Json& values = MemberOf(embedding, "values");
    if (!IsVector(values)) return std::nullopt;
    Json item = {{"object", "embedding"}, {"index", data.size()}};
    item["embedding"] = form.is_base64 ? Json(EncodeBase64(values)) : values;
    data.push_back(std::move(item));
  }
  Json json = {{"object", "list"}, {"data", std::move(data)}, {"model", model}};
  const int64_t tokens = CountAt(MemberOf(answer, "usageMetadata"), "promptTokenCount");
  if (tokens > 0) json["usage"] = {{"prompt_tokens", tokens}, {"total_tokens", tokens}};
  return RenderJson(json);
}

}  // namespace gateway
