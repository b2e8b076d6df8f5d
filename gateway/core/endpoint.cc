#include "gateway/core/endpoint.h"

#include <array>

namespace gateway {
namespace {

struct EndpointRow {
  Endpoint endpoint;
  std::string_view path;
  std::string_view name;
};

constexpr std::array kEndpoints = {
    EndpointRow{Endpoint::kChatCompletions, "/v1/chat/completions", "chat_completions"},
    EndpointRow{Endpoint::kCompletions, "/v1/completions", "completions"},
    EndpointRow{Endpoint::kEmbeddings, "/v1/embeddings", "embeddings"},
    EndpointRow{Endpoint::kResponses, "/v1/responses", "responses"},
    EndpointRow{Endpoint::kMessages, "/v1/messages", "messages"},
    EndpointRow{Endpoint::kCountTokens, "/v1/messages/count_tokens", "count_tokens"},
};

constexpr bool IsInOrder() {
  for (size_t i = 0; i < kEndpoints.size(); ++i) {
    if (static_cast<size_t>(kEndpoints[i].endpoint) != i) return false;
  }
  return true;
}
static_assert(IsInOrder(), "rows must follow the order of enum Endpoint");

const EndpointRow& RowFor(Endpoint endpoint) { return kEndpoints[static_cast<size_t>(endpoint)]; }

}  // namespace

std::string_view EndpointPath(Endpoint endpoint) { return RowFor(endpoint).path; }

std::string_view EndpointName(Endpoint endpoint) { return RowFor(endpoint).name; }

bool IsAnthropic(std::optional<Endpoint> endpoint) {
  return endpoint == Endpoint::kMessages || endpoint == Endpoint::kCountTokens;
}

bool AsksModel(Endpoint endpoint) { return endpoint != Endpoint::kCountTokens; }

std::optional<Endpoint> ErrorDialectOf(std::string_view path) {
  const std::string_view messages = EndpointPath(Endpoint::kMessages);
  if (!path.starts_with(messages)) return std::nullopt;
  path.remove_prefix(messages.size());
  return path.empty() || path.front() == '/' ? std::optional(Endpoint::kMessages) : std::nullopt;
}

std::optional<Endpoint> FindEndpoint(std::string_view path) {
  for (const EndpointRow& row : kEndpoints) {
    if (row.path == path) return row.endpoint;
  }
  return std::nullopt;
}

}  // namespace gateway
