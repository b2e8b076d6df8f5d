#include "gateway/core/failure_kind.h"

#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <sstream>
#include <string>

#include "common/concat.h"
#include "gateway/core/outcome.h"

namespace gateway {
namespace {

std::string StatusText(const FailureRule& rule) {
  if (rule.kind == FailureKind::kClientCancelled) return "none (499 in log and metric)";
  const std::string status = std::to_string(rule.status);
  switch (rule.status_policy) {
    case StatusPolicy::kFixed:
      return status;
    case StatusPolicy::kProvider:
      return common::Concat(status, ", or the provider's ", rule.status == 429 ? "" : "429 or ",
                            "5xx");
    case StatusPolicy::kBilling:
      return common::Concat(status, ", or the provider's 5xx; 502 for its other 4xx");
    case StatusPolicy::kModel:
      return common::Concat(status, ", or the provider's 400, 410, 422 or 5xx");
    case StatusPolicy::kCaller:
      return common::Concat(status, ", or the provider's 4xx or 5xx");
  }
  return status;
}

// The section of the README, as the code has it.
std::string RenderFailureTable() {
  std::string text =
      "| kind | fault | status to the client | retry | fallback | charge |\n"
      "|---|---|---|---|---|---|\n";
  for (const FailureRule& rule : FailureTable()) {
    text += common::Concat("| ", rule.name, " | ", FaultName(rule.fault), " | ", StatusText(rule),
                           " | ", rule.is_retryable ? "yes" : "no", " | ",
                           FallbackName(rule.fallback), " | ", ChargeName(rule.charge), " |\n");
  }
  return text;
}

TEST(FailureTableTest, ReadmeShowsTheSameTable) {
  std::ifstream file(CANDOR_SOURCE_DIR "/README.md");
  std::stringstream readme;
  readme << file.rdbuf();
  const std::string table = RenderFailureTable();
  EXPECT_NE(readme.str().find(table), std::string::npos)
      << "Put this table into README.md, section Failures:\n\n"
      << table;
}

TEST(FailureTableTest, NamesAreDistinct) {
  std::set<std::string_view> names;
  for (const FailureRule& rule : FailureTable()) names.insert(rule.name);
  EXPECT_EQ(names.size(), FailureTable().size());
}

TEST(FailureTableTest, OnlyTheCallerGetsA4xxOtherThan429) {
  for (const FailureRule& rule : FailureTable()) {
    SCOPED_TRACE(rule.name);
    if (rule.fault == Fault::kCaller || rule.kind == FailureKind::kModelNotFound) continue;
    for (int upstream = 0; upstream < 600; ++upstream) {
      const int status = ClientStatus(rule.kind, upstream);
      EXPECT_TRUE(status == 429 || (status >= 500 && status <= 504)) << upstream << " " << status;
    }
  }
}

TEST(FailureTableTest, ChargesNothingForTheCallersMistakes) {
  for (const FailureRule& rule : FailureTable()) {
    if (rule.fault != Fault::kCaller) continue;
    SCOPED_TRACE(rule.name);
    EXPECT_TRUE(rule.charge == Charge::kCallerError || rule.charge == Charge::kNotSent ||
                rule.charge == Charge::kCancelled);
  }
}

struct StatusCase {
  FailureKind kind;
  int upstream_status;
  int want;
};

TEST(ClientStatusTest, KeepsWhatTheTableSays) {
  const StatusCase cases[] = {
      {FailureKind::kRateLimited, 429, 429},       {FailureKind::kRateLimited, 403, 429},
      {FailureKind::kRateLimited, 0, 429},         {FailureKind::kQuotaExhausted, 429, 429},
      {FailureKind::kQuotaExhausted, 402, 502},    {FailureKind::kQuotaExhausted, 400, 502},
      {FailureKind::kQuotaExhausted, 0, 429},      {FailureKind::kOverloaded, 529, 503},
      {FailureKind::kOverloaded, 503, 503},        {FailureKind::kOverloaded, 429, 429},
      {FailureKind::kOverloaded, 500, 500},        {FailureKind::kOverloaded, 400, 503},
      {FailureKind::kUpstreamError, 500, 500},     {FailureKind::kUpstreamError, 504, 504},
      {FailureKind::kUpstreamError, 520, 502},     {FailureKind::kUpstreamError, 400, 502},
      {FailureKind::kUpstreamTimeout, 524, 504},   {FailureKind::kUpstreamTimeout, 522, 504},
      {FailureKind::kUpstreamTimeout, 408, 504},   {FailureKind::kUpstreamTimeout, 0, 504},
      {FailureKind::kUpstreamMalformed, 200, 502}, {FailureKind::kProviderAuth, 401, 502},
      {FailureKind::kModelNotFound, 404, 404},     {FailureKind::kModelNotFound, 400, 400},
      {FailureKind::kModelNotFound, 410, 410},     {FailureKind::kInvalidRequest, 400, 400},
      {FailureKind::kInvalidRequest, 500, 500},    {FailureKind::kTooLarge, 413, 413},
      {FailureKind::kContextLength, 401, 400},     {FailureKind::kContextLength, 200, 400},
      {FailureKind::kUnprocessable, 422, 422},     {FailureKind::kNoProviderAvailable, 429, 503},
  };
  for (const StatusCase& c : cases) {
    SCOPED_TRACE(RuleFor(c.kind).name);
    EXPECT_EQ(ClientStatus(c.kind, c.upstream_status), c.want) << c.upstream_status;
  }
}

TEST(FailureTest, AStatusInsideASuccessIsTheStatusTheErrorMeans) {
  Failure failure;
  failure.kind = FailureKind::kUpstreamTimeout;
  failure.upstream_status = 200;
  failure.meant_status = 524;
  EXPECT_EQ(ClientStatus(failure), 504);
}

TEST(FailureTest, ARequestLargerThanTheRateLimitIsNotChargedNorRetried) {
  Failure failure;
  failure.kind = FailureKind::kRateLimited;
  EXPECT_TRUE(IsRetryable(failure));
  EXPECT_EQ(ChargeFor(failure), Charge::kRateLimited);
  failure.is_permanent = true;
  EXPECT_FALSE(IsRetryable(failure));
  EXPECT_EQ(ChargeFor(failure), Charge::kCallerError);
}

TEST(FailureKindTest, WhereNoModelWasAskedOnlyTheWholeProviderIsCharged) {
  const struct {
    FailureKind kind;
    int upstream_status;
    Charge want;
  } kCases[] = {
      {FailureKind::kUpstreamUnreachable, 0, Charge::kUnreachable},
      {FailureKind::kProviderAuth, 401, Charge::kAuthFailed},
      {FailureKind::kQuotaExhausted, 400, Charge::kQuotaExhausted},
      {FailureKind::kQuotaExhausted, 429, Charge::kNotSent},
      {FailureKind::kRateLimited, 429, Charge::kNotSent},
      {FailureKind::kOverloaded, 529, Charge::kNotSent},
      {FailureKind::kUpstreamError, 500, Charge::kNotSent},
      {FailureKind::kUpstreamTimeout, 0, Charge::kNotSent},
      {FailureKind::kUpstreamMalformed, 200, Charge::kNotSent},
      {FailureKind::kClientCancelled, 0, Charge::kNotSent},
  };
  for (const auto& c : kCases) {
    SCOPED_TRACE(RuleFor(c.kind).name);
    Failure failure = MakeFailure(c.kind, "");
    failure.upstream_status = c.upstream_status;
    EXPECT_EQ(ChargeWithoutModel(failure), c.want);
  }
}

}  // namespace
}  // namespace gateway
