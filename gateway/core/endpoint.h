// The routes of the public API, and which wire dialect a client speaks on each.
#pragma once

#include <optional>
#include <string_view>

namespace gateway {

enum class Endpoint { kChatCompletions, kCompletions, kEmbeddings, kResponses, kMessages };

// The path as clients know it: "/v1/chat/completions".
std::string_view EndpointPath(Endpoint endpoint);

// The label of logs and metrics: "chat_completions".
std::string_view EndpointName(Endpoint endpoint);

// The API in whose words a failure on `path` is told, whether there is such a route or not:
// kMessages for everything under /v1/messages, else nothing, which stands for OpenAI's.
std::optional<Endpoint> ErrorDialectOf(std::string_view path);

// The endpoint whose path is exactly `path` (no query), or nothing.
std::optional<Endpoint> FindEndpoint(std::string_view path);

}  // namespace gateway
