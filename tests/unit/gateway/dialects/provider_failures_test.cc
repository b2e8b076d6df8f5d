// Real shapes of provider failures, judged end to end by the dialect: ours from tests/data, and
// recorded ones from the corpus that CANDOR_CORPUS names, where it is present.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <iostream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "gateway/core/error_body.h"
#include "gateway/core/retry_timing.h"
#include "gateway/dialects/dialect.h"
#include "gateway/dialects/translated_stream.h"

namespace gateway {
namespace {

using nlohmann::json;

std::vector<json> ReadLines(const std::string& path) {
  std::vector<json> lines;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) lines.push_back(json::parse(line));
  return lines;
}

std::string CorpusPath() {
  const char* folder = std::getenv("CANDOR_CORPUS");
  const std::string path = folder != nullptr ? folder : CANDOR_SOURCE_DIR "/../shared/corpus";
  return path + "/upstream-errors.jsonl";
}

Headers HeadersOf(const json& line) {
  Headers headers;
  for (const auto& [name, value] : line["headers"].items()) {
    if (value.is_array()) {
      for (const json& one : value) headers.Add(name, one.get<std::string>());
    } else {
      headers.Add(name, value.get<std::string>());
    }
  }
  return headers;
}

// What the verdict of one line is compared by.
struct Verdict {
  std::optional<Failure> failure;
  bool is_mid_stream = false;
};

// Relayed where clients of `endpoint` speak the dialect, else translated for them.
std::unique_ptr<StreamReader> NewReader(const Dialect& dialect, Endpoint endpoint) {
  static const Conversation conversation;
  if (dialect.Relays(endpoint)) return dialect.NewRelayedStream(endpoint, UsageChunk::kPassed);
  const ClientDialect* client = FindClientDialect(endpoint);
  return std::make_unique<TranslatedStream>(
      dialect.NewDeltaParser(),
      client->NewStreamRenderer({.conversation = conversation, .id = "id", .now_seconds = 1}));
}

Verdict JudgeStream(const Dialect& dialect, Endpoint endpoint, const std::string& body) {
  const auto reader = NewReader(dialect, endpoint);
  StreamStep step = reader->Feed(body);
  bool is_committed = step.is_committed;
  if (!step.failure && !step.is_complete) {
    step = reader->Finish();
    is_committed |= step.is_committed;
  }
  return {step.failure, is_committed};
}

Verdict Judge(const Dialect& dialect, Endpoint endpoint, const json& line, const Headers& headers) {
  const int status = line["status"];
  const std::string body = line["body"];
  if (line["kind"] == "stream" && status == 200) return JudgeStream(dialect, endpoint, body);
  const UpstreamReply reply{.status = status, .headers = headers, .body = body, .received_at = {}};
  if (dialect.Relays(endpoint)) return {dialect.ClassifyReply(endpoint, reply)};
  const auto answer = dialect.ReadAnswer(reply);
  const auto* failure = std::get_if<Failure>(&answer);
  return failure != nullptr ? Verdict{*failure} : Verdict{};
}

const Dialect* DialectOf(const json& line) {
  if (line["api"] == "generateContent") return FindDialect("gemini");
  if (line["api"] == "messages") return FindDialect("anthropic");
  return FindDialect(line["provider"] == "azure-openai" ? "azure" : "openai");
}

Endpoint EndpointOf(const json& line) {
  if (line["api"] == "embeddings") return Endpoint::kEmbeddings;
  if (line["api"] == "responses") return Endpoint::kResponses;
  if (line["api"] == "messages") return Endpoint::kMessages;
  return line["api"] == "completions" ? Endpoint::kCompletions : Endpoint::kChatCompletions;
}

FailureKind KindOfClass(const std::string& name) {
  static const std::map<std::string, FailureKind> kKinds = {
      {"rate_limited", FailureKind::kRateLimited},
      {"quota_exhausted", FailureKind::kQuotaExhausted},
      {"overloaded", FailureKind::kOverloaded},
      {"upstream_error", FailureKind::kUpstreamError},
      {"timeout", FailureKind::kUpstreamTimeout},
      {"auth", FailureKind::kProviderAuth},
      {"permission", FailureKind::kProviderAuth},
      {"invalid_request", FailureKind::kInvalidRequest},
      {"context_length", FailureKind::kContextLength},
      {"content_filter", FailureKind::kContentFilter},
      {"not_found", FailureKind::kModelNotFound},
      {"too_large", FailureKind::kTooLarge},
      {"unprocessable", FailureKind::kUnprocessable},
      {"malformed", FailureKind::kUpstreamMalformed},
      {"interrupted", FailureKind::kUpstreamInterrupted}};
  return kKinds.at(name);
}

bool CountsAgainstProvider(const Failure& failure) {
  const Charge charge = ChargeFor(failure);
  return charge != Charge::kCallerError && charge != Charge::kModelNotFound &&
         charge != Charge::kNotSent && charge != Charge::kCancelled;
}

void CheckLine(const json& line) {
  const Dialect* dialect = DialectOf(line);
  const Headers headers = HeadersOf(line);
  const Verdict verdict = Judge(*dialect, EndpointOf(line), line, headers);
  const json& truth = line["truth"];
  ASSERT_TRUE(verdict.failure.has_value());
  const Failure& failure = *verdict.failure;
  EXPECT_EQ(RuleFor(failure.kind).name, RuleFor(KindOfClass(truth["class"])).name);
  EXPECT_EQ(IsRetryable(failure), truth["retryable"].get<bool>());
  EXPECT_EQ(ClientStatus(failure), truth["client_status"].get<int>());
  EXPECT_EQ(CountsAgainstProvider(failure), truth["counts_against_provider"].get<bool>());
  EXPECT_EQ(verdict.is_mid_stream, truth.value("mid_stream", false));
  EXPECT_FALSE(failure.message.empty());
  const RetryTiming said =
      ReadRetryTiming(headers, ReadErrorBody(line["body"].get<std::string>()), {});
  const json said_ms = said.retry_after ? json(said.retry_after->count()) : json(nullptr);
  EXPECT_EQ(said_ms, truth["retry_after_ms"]);
}

TEST(ProviderFailuresTest, OurCasesAreJudgedAsTheySay) {
  const std::vector<json> lines =
      ReadLines(CANDOR_SOURCE_DIR "/tests/data/provider_failures.jsonl");
  ASSERT_FALSE(lines.empty());
  for (const json& line : lines) {
    SCOPED_TRACE(line["id"].get<std::string>());
    CheckLine(line);
  }
}

TEST(ProviderFailuresTest, RecordedFailuresAreJudgedByTheirTruth) {
  const std::vector<json> lines = ReadLines(CorpusPath());
  if (lines.empty()) {
    std::cout << "no corpus at " << CorpusPath() << ": recorded failures not judged\n";
    return;
  }
  int judged = 0;
  for (const json& line : lines) {
    SCOPED_TRACE(line["id"].get<std::string>());
    CheckLine(line);
    ++judged;
  }
  std::cout << "judged " << judged << " of " << lines.size() << " recorded failures\n";
}

}  // namespace
}  // namespace gateway
