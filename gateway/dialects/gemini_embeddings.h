// OpenAI's embeddings by Gemini's batchEmbedContents (ai.google.dev/api/embeddings). Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "gateway/dialects/dialect.h"

namespace gateway {

struct GeminiEmbeddingsBody {
  std::string body;
  std::vector<std::string> dropped;
  EmbeddingsForm form;
};

// `resource` is the model as Google names it: "models/gemini-embedding-001". `client_body` has
// passed ScanRequest. Failure kBadRequest names the field: tokens instead of text, for instance.
std::variant<GeminiEmbeddingsBody, Failure> BuildGeminiEmbeddings(std::string_view resource,
                                                                  std::string_view client_body);

// The answer in OpenAI's words; nothing when `answer` does not hold one vector for each text.
std::optional<std::string> RenderGeminiEmbeddings(const Json& answer, std::string_view model,
                                                  const EmbeddingsForm& form);

}  // namespace gateway
