#include "gateway/dialects/dialect.h"

#include <array>
#include <utility>

#include "common/concat.h"
#include "common/json_text.h"
#include "gateway/core/ascii.h"
#include "gateway/dialects/anthropic.h"
#include "gateway/dialects/azure.h"
#include "gateway/dialects/gemini.h"
#include "gateway/dialects/openai.h"

namespace gateway {
namespace {

// The one explicit list. Dialects have no state, so they may be constants.
std::array<const Dialect*, 4> AllDialects() {
  static const OpenAiDialect openai;
  static const AzureDialect azure;
  static const AnthropicDialect anthropic;
  static const GeminiDialect gemini;
  return {&openai, &azure, &anthropic, &gemini};
}

}  // namespace

const Dialect* FindDialect(std::string_view name) {
  for (const Dialect* dialect : AllDialects()) {
    if (dialect->name() == name) return dialect;
  }
  return nullptr;
}

std::vector<std::string_view> DialectNames() {
  std::vector<std::string_view> names;
  for (const Dialect* dialect : AllDialects()) names.push_back(dialect->name());
  return names;
}

std::variant<TranslatedRequest, Failure> Dialect::BuildEmbeddings(const ProviderEndpoint&,
                                                                  std::string_view,
                                                                  std::string_view) const {
  return RefuseAt("model", common::Concat("A provider of the dialect \"", name(),
                                          "\" has no embeddings: choose another model."));
}

std::optional<Failure> Dialect::TranslateEmbeddings(const UpstreamReply&, std::string_view,
                                                    const EmbeddingsForm&, std::string&) const {
  return MakeFailure(FailureKind::kGatewayInternal, "");
}

std::string PercentEncode(std::string_view text) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    if (IsAlphanumeric(c) || c == '-' || c == '.' || c == '_' || c == '~') {
      out += c;
    } else {
      const auto byte = static_cast<unsigned char>(c);
      out += common::Concat('%', kHex[byte >> 4], kHex[byte & 15]);
    }
  }
  return out;
}

std::string RenderRequestHead(const RequestHead& head, size_t body_size) {
  return common::Concat(
      "POST ", head.path, " HTTP/1.1\r\nHost: ", head.provider.host, "\r\n", head.credential,
      "Content-Type: application/json\r\nContent-Length: ", body_size,
      "\r\nAccept: ", head.is_stream ? "text/event-stream" : "application/json",
      "\r\nAccept-Encoding: identity\r\nUser-Agent: candor/" CANDOR_VERSION "\r\n\r\n");
}

UpstreamRequest MakeRequest(const RequestHead& head, std::string body) {
  UpstreamRequest request;
  request.head = RenderRequestHead(head, body.size());
  request.rewritten = std::move(body);
  // The view must survive a move of the request, so the text may not live inside the object.
  if (request.rewritten.capacity() < 64) request.rewritten.reserve(64);
  request.body = {request.rewritten};
  return request;
}

UpstreamRequest MakeRelay(const RequestHead& head, std::string_view model, const RequestScan& scan,
                          std::string_view client_body, UsageQuestion usage) {
  UpstreamRequest request;
  std::vector<BodyEdit> edits;
  if (scan.model != model) {
    // The views must survive a move of the request, so the text may not live inside the object.
    request.rewritten.reserve(64);
    common::AppendJsonString(model, request.rewritten);
    edits.push_back({scan.model_value_begin, scan.model_value_end, request.rewritten});
  }
  if (usage == UsageQuestion::kAsked && scan.usage_edit) {
    request.asks_for_usage = true;
    const bool is_first = !edits.empty() && scan.usage_edit->begin < edits.front().begin;
    edits.insert(is_first ? edits.begin() : edits.end(), *scan.usage_edit);
  }
  size_t at = 0;
  for (const BodyEdit& edit : edits) {
    request.body.push_back(client_body.substr(at, edit.begin - at));
    request.body.push_back(edit.text);
    at = edit.end;
  }
  request.body.push_back(client_body.substr(at));
  size_t size = 0;
  for (const std::string_view piece : request.body) size += piece.size();
  request.head = RenderRequestHead(head, size);
  return request;
}

}  // namespace gateway
