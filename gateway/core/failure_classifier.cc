#include "gateway/core/failure_classifier.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "common/concat.h"
#include "gateway/core/ascii.h"
#include "gateway/core/failure_vocabulary.h"
#include "gateway/core/retry_timing.h"

namespace gateway {
namespace {

using enum FailureKind;

// The status of the failure behind this answer, where the body names one; 0 if it names none.
int InnerStatus(const ErrorBody& body) {
  if (const auto quoted = FindStatus(body.text)) return *quoted;
  for (const int status : body.statuses) {
    if (status >= 400) return status;
  }
  return 0;
}

FailureKind KindOfStatus(int status) {
  switch (status) {
    case 401:
    case 403:
    case 407:
    case 451:
      return kProviderAuth;
    case 402:
      return kQuotaExhausted;
    case 404:
    case 410:
      return kModelNotFound;
    case 408:
    case 504:
    case 522:
    case 524:
      return kUpstreamTimeout;
    case 413:
      return kTooLarge;
    case 422:
      return kUnprocessable;
    case 429:
      return kRateLimited;
    case 498:  // Groq: flex tier capacity exceeded.
    case 503:
    case 529:
      return kOverloaded;
    case 405:  // The operator's base_url leads elsewhere.
    case 409:
    case 424:
    case 425:
    case 499:
      return kUpstreamError;
    default:
      return status >= 500 ? kUpstreamError : kInvalidRequest;
  }
}

// A spent quota is not full again within a minute, whatever short wait the same answer names.
constexpr std::chrono::minutes kShortestQuotaWait{1};

bool IsDaily(std::string_view quota) {
  return Contains(quota, "PerDay") || Contains(quota, "per_day") || Contains(quota, "per day");
}

// A day or a month, and no shorter window beside it that may be the one that is meant.
bool IsLongWindow(std::string_view text) {
  const bool is_long = IsDaily(text) || Contains(text, "per month") || Contains(text, "/ month");
  return is_long && !Contains(text, "minute") && !Contains(text, "second");
}

// "limit: 0, model: x", but not "limit: 0.5": what Google says of models that a plan lacks.
bool SaysZeroLimit(std::string_view text) {
  constexpr std::string_view kZero = "limit: 0";
  for (size_t at = text.find(kZero); at != text.npos; at = text.find(kZero, at + 1)) {
    const std::string_view rest = text.substr(at + kZero.size());
    if (rest.empty() ||
        !(IsDigit(rest[0]) || (rest[0] == '.' && rest.size() > 1 && IsDigit(rest[1])))) {
      return true;
    }
  }
  return false;
}

// Google's QuotaFailure: a per-day quota or a quota of nothing does not come back in seconds,
// though RetryInfo says so.
std::optional<FailureKind> KindOfQuota(const ErrorBody& body) {
  if (body.quota_ids.empty()) return std::nullopt;
  const bool is_daily = std::any_of(body.quota_ids.begin(), body.quota_ids.end(), IsDaily);
  const bool is_none = body.has_zero_quota || SaysZeroLimit(body.text);
  return is_daily || is_none ? kQuotaExhausted : kRateLimited;
}

// Google has the same words for a minute's quota and for a spent plan ("You exceeded your current
// quota"). A short RetryInfo that nothing speaks against tells them apart.
bool IsShortQuotaOfGoogle(const ErrorBody& body) {
  if (body.delays.empty() || !HasWord(body, "resource_exhausted")) return false;
  if (IsDaily(body.text) || SaysZeroLimit(body.text)) return false;
  const RetryTiming said = ReadRetryTiming(Headers(), body, common::WallTime());
  return said.retry_after && *said.retry_after <= kShortestQuotaWait;
}

// A page or a relay's empty 400 says nothing about the caller's request.
bool IsPageFromElsewhere(int status, const ErrorBody& body) {
  return body.form == ErrorBody::Form::kPage && GroupOf(status) == kUnderBad && status != 404 &&
         status != 413;
}

// A model that is refused to us is not missing: OpenAI sends 403 with code model_not_found.
FailureKind WithRights(FailureKind kind, int status) {
  return kind == kModelNotFound && GroupOf(status) == kUnderDenied ? kProviderAuth : kind;
}

FailureKind DecideKind(int status, const ErrorBody& body) {
  if (status >= 300 && status < 400) return kUpstreamMalformed;
  if (const auto kind = KindOfQuota(body)) return *kind;
  // A request that is too large is too large whatever limit it ran into.
  if (status == 413 && FindWord(body, Strength::kDecisive) != kContextLength) return kTooLarge;
  if (const auto kind = FindWord(body, Strength::kDecisive)) return WithRights(*kind, status);
  if (IsShortQuotaOfGoogle(body)) return kRateLimited;
  if (const auto kind = FindWording(body.text, GroupOf(status))) return *kind;
  if (const auto kind = FindWord(body, Strength::kPlain)) return *kind;
  const int inner = InnerStatus(body);
  const bool trusts_inner = status < 300 || status == 400 || status >= 500;
  if (trusts_inner && inner != 0 && inner != status) return KindOfStatus(inner);
  if (IsPageFromElsewhere(status, body)) return kUpstreamMalformed;
  const auto server = FindWord(body, Strength::kBlamesServer);
  if (server && (status < 300 || status == 400)) return *server;
  if (status >= 300) return KindOfStatus(status);
  if (const auto weak = FindWord(body, Strength::kWeak)) return *weak;
  return body.has_error ? kUpstreamError : kUpstreamMalformed;
}

std::optional<int64_t> NumberAfter(std::string_view text, std::string_view phrase) {
  const size_t at = text.rfind(phrase);
  if (at == std::string_view::npos) return std::nullopt;
  std::string_view rest = text.substr(at + phrase.size());
  int64_t number = 0;
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), number);
  if (error != std::errc() || end == rest.data()) return std::nullopt;
  return number;
}

// "Limit 10000, Requested 12000": one request is larger than the whole bucket. "Extra usage is
// required": Anthropic's word for a request that the plan does not cover.
bool NeverFits(const std::string& text) {
  if (Contains(text, "request too large") || Contains(text, "extra usage is required") ||
      Contains(text, "must be reduced in order to run")) {
    return true;
  }
  const auto limit = NumberAfter(text, "limit ");
  const auto requested = NumberAfter(text, "requested ");
  return limit && requested && *requested > *limit;
}

// The server lacks a start flag or a feature; no wait gives it one.
bool LacksFeature(int status, const std::string& text) {
  return status == 501 ||
         (status >= 500 && (Contains(text, "requires --") ||
                            (Contains(text, "requires") && Contains(text, " flag")) ||
                            Contains(text, "not implemented")));
}

bool IsPermanent(FailureKind kind, int status, const ErrorBody& body) {
  if (kind == kRateLimited) return NeverFits(body.text);
  return kind == kUpstreamError && LacksFeature(status, body.text);
}

RetryTiming BelievableTiming(const Failure& failure, RetryTiming said) {
  const bool is_too_short =
      failure.kind == kQuotaExhausted && said.retry_after && *said.retry_after < kShortestQuotaWait;
  if (failure.is_permanent || is_too_short) said.retry_after.reset();
  return said;
}

// AWS names the exception in a header: "ThrottlingException:http://internal...".
void AddHeaderWord(const Headers& headers, ErrorBody& body) {
  const std::string_view type = headers.Get("x-amzn-errortype");
  if (!type.empty()) body.words.push_back(NormalizeWord(type.substr(0, type.find(':'))));
}

// What the status would have been, had the error not come under a success.
int MeantStatus(FailureKind kind, int status, const ErrorBody& body) {
  const int inner = InnerStatus(body);
  if (inner != 0 || status >= 300) return inner;
  if (kind == kQuotaExhausted) return BlamesThePurse(body) ? 402 : 0;
  if (kind != kUpstreamError) return 0;
  const bool blames_server = FindWord(body, Strength::kBlamesServer) || HasWord(body, "api_error");
  return blames_server ? 500 : 0;
}

std::string MessageFor(int status, const ErrorBody& body) {
  if (body.form == ErrorBody::Form::kPage) {
    const std::string title =
        body.message.empty() ? std::string() : common::Concat(" titled \"", body.message, "\"");
    return common::Concat("The provider answered ", status, " with a web page", title, ".");
  }
  if (!body.message.empty()) return body.message;
  return body.form == ErrorBody::Form::kEmpty
             ? common::Concat("The provider answered ", status, " without a body.")
             : common::Concat("The provider answered ", status, " and said no more.");
}

}  // namespace

Failure ClassifyError(int status, const Headers& headers, ErrorBody body,
                      common::WallTime received_at) {
  AddHeaderWord(headers, body);
  Failure failure;
  failure.kind = DecideKind(status, body);
  failure.upstream_status = status;
  failure.meant_status = MeantStatus(failure.kind, status, body);
  failure.is_permanent = IsPermanent(failure.kind, status, body);
  failure.message = MessageFor(status, body);
  failure.provider_code = body.code.empty() ? body.type : body.code;
  failure.has_unknown_code = HasUnknownCode(body);
  failure.error_object = body.openai_error;
  // A type that is a URI is an RFC 9457 problem's, no word that clients know.
  if (!body.type.empty() && !Contains(body.type, ":")) {
    failure.type = body.type;
    failure.code = body.code;
    failure.param = body.param;
  }
  const RetryTiming said = ReadRetryTiming(headers, body, received_at);
  // A day's or a month's quota of which nobody says when it comes back.
  const bool is_spent =
      failure.kind == kRateLimited && !said.retry_after && IsLongWindow(body.text);
  if (is_spent) failure.kind = kQuotaExhausted;
  failure.timing = BelievableTiming(failure, said);
  return failure;
}

bool HoldsWithoutBody(int status) { return status == 429 || status >= 500; }

Failure MalformedAnswer(int status, std::string_view what) {
  Failure failure;
  failure.kind = kUpstreamMalformed;
  failure.upstream_status = status;
  failure.message = common::Concat("The provider's answer ", what, ".");
  return failure;
}

}  // namespace gateway
