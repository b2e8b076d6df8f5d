// How a target serves clients of the Responses API: in its own words, or in others.
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>
#include <variant>

#include "gateway/core/missing_route.h"
#include "gateway/dialects/provider_call.h"

namespace gateway {
namespace {

using Mode = ResponsesMode;
using Service = ResponsesService;

TEST(ResponsesServiceTest, OnlyAnAutomaticProviderGoesByWhatItSaid) {
  EXPECT_EQ(ChooseResponses(Mode::kAuto, false), Service::kNative);
  EXPECT_EQ(ChooseResponses(Mode::kAuto, true), Service::kTranslated);
  for (const bool is_missing : {false, true}) {
    EXPECT_EQ(ChooseResponses(Mode::kNative, is_missing), Service::kNative);
    EXPECT_EQ(ChooseResponses(Mode::kTranslated, is_missing), Service::kTranslated);
  }
}

TEST(ResponsesServiceTest, AMissingRouteIsForgottenAfterAWhile) {
  MissingRoute route;
  const common::MonotonicTime now{std::chrono::hours(1)};
  EXPECT_FALSE(route.IsKnown(now));
  route.Learn(now);
  EXPECT_TRUE(route.IsKnown(now));
  EXPECT_TRUE(route.IsKnown(now + MissingRoute::kRemembered - std::chrono::seconds(1)));
  EXPECT_FALSE(route.IsKnown(now + MissingRoute::kRemembered));
}

std::unique_ptr<ProviderCall> Plan(std::string_view dialect, Endpoint endpoint, Service service) {
  static const std::string body = R"({"model":"m","input":"hi","messages":[],"store":true})";
  static const RequestScan scan = std::get<RequestScan>(ScanRequest(Endpoint::kResponses, body));
  static const ProviderEndpoint provider{
      .host = "h", .base_path = "/v1", .api_version = "2025-04-01-preview", .credential = {}};
  // A call refers to what was asked.
  static ClientAsk chat(Endpoint::kChatCompletions, scan, body, "id", 1);
  static ClientAsk responses(Endpoint::kResponses, scan, body, "id", 1);
  auto planned = PlanCall(*FindDialect(dialect), provider, "own", service,
                          endpoint == Endpoint::kResponses ? responses : chat);
  return std::get<std::unique_ptr<ProviderCall>>(std::move(planned));
}

struct PlanCase {
  const char* dialect;
  Endpoint endpoint;
  Service service;
  const char* path;
};

TEST(ResponsesServiceTest, ATargetIsAskedInTheWordsThatWereChosen) {
  const PlanCase cases[] = {
      {"openai", Endpoint::kResponses, Service::kNative, "/v1/responses"},
      {"openai", Endpoint::kResponses, Service::kTranslated, "/v1/chat/completions"},
      {"openai", Endpoint::kChatCompletions, Service::kTranslated, "/v1/chat/completions"},
      {"azure", Endpoint::kResponses, Service::kNative, "/v1/openai/responses?"},
      {"azure", Endpoint::kResponses, Service::kTranslated,
       "/v1/openai/deployments/own/chat/completions?"},
      {"gemini", Endpoint::kResponses, Service::kNative, "/v1"},
  };
  for (const PlanCase& c : cases) {
    SCOPED_TRACE(c.path);
    const auto call = Plan(c.dialect, c.endpoint, c.service);
    EXPECT_TRUE(call->request().head.starts_with("POST " + std::string(c.path)))
        << call->request().head;
    const bool is_translated = c.endpoint == Endpoint::kResponses &&
                               (c.service == Service::kTranslated || c.dialect[0] == 'g');
    EXPECT_EQ(call->dropped().size(), is_translated ? 1U : 0U);
  }
}

TEST(ResponsesServiceTest, ACallKnowsWhenTheRouteIsMissing) {
  struct {
    Endpoint endpoint;
    Service service;
    int status;
    std::string body;
    bool has_no_route;
  } const cases[] = {
      {Endpoint::kResponses, Service::kNative, 404, R"({"detail":"Not Found"})", true},
      {Endpoint::kResponses, Service::kNative, 405, "", true},
      {Endpoint::kResponses, Service::kNative, 404, R"({"error":{"code":"model_not_found"}})",
       false},
      {Endpoint::kResponses, Service::kNative, 429, "", false},
      {Endpoint::kResponses, Service::kTranslated, 404, R"({"detail":"Not Found"})", false},
      {Endpoint::kChatCompletions, Service::kNative, 404, R"({"detail":"Not Found"})", false},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.body);
    const auto call = Plan("openai", c.endpoint, c.service);
    const Headers headers;
    std::string body = c.body;
    EXPECT_TRUE(call->TakeReply({c.status, headers, body, {}}, body).has_value());
    EXPECT_EQ(call->has_no_route(), c.has_no_route);
  }
}

}  // namespace
}  // namespace gateway
