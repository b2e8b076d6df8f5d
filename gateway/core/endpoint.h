// The routes of the public API, and which wire dialect a client speaks on each.
#pragma once

#include <optional>
#include <string_view>

namespace gateway {

enum class Endpoint {
  kChatCompletions,
  kCompletions,
  kEmbeddings,
  kResponses,
  kMessages,
  kCountTokens,  // of what /v1/messages would be asked; no model answers
};

// The path as clients know it: "/v1/chat/completions".
std::string_view EndpointPath(Endpoint endpoint);

// The label of logs and metrics: "chat_completions".
std::string_view EndpointName(Endpoint endpoint);

// Whether it belongs to Anthropic's API; all others are OpenAI's.
bool IsAnthropic(std::optional<Endpoint> endpoint);

// Whether a model answers. What the others say shows nothing of one: no success closes a breaker,
// and what fails is held against the provider only where it holds for the whole of it.
bool AsksModel(Endpoint endpoint);

// The API in whose words a failure on `path` is told, whether there is such a route or not:
// kMessages for everything under /v1/messages, else nothing, which stands for OpenAI's.
std::optional<Endpoint> ErrorDialectOf(std::string_view path);

// The endpoint whose path is exactly `path` (no query), or nothing.
std::optional<Endpoint> FindEndpoint(std::string_view path);

}  // namespace gateway
