#include "gateway/core/failure_reply.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "common/concat.h"
#include "gateway/core/scrubber.h"
#include "gateway/core/time_text.h"

namespace gateway {
namespace {

using Json = nlohmann::ordered_json;
using std::chrono::milliseconds;

// A wait that nobody told us: neither ratelimitd nor the provider.
constexpr milliseconds kDefaultWait{1000};
// Keeps every header a number that clients can hold.
constexpr milliseconds kLongestWait = std::chrono::hours(24 * 366);

// What the client is told about trying again.
struct RetryAdvice {
  bool should_retry = false;
  std::optional<milliseconds> wait;  // positive
};

// Whether the failed target is the only one that this request could have gone to.
bool HasOneTarget(const ReplyContext& context) {
  return context.attempts.size() <= 1 && context.refused.empty();
}

// ratelimitd knows when any target of the route would be admitted. Of a provider's own wait it
// obeys only a rate limit's; where there is no other target, the provider's word counts as well.
std::optional<milliseconds> DecideWait(const Failure& failure, int status,
                                       const ReplyContext& context) {
  const std::optional<milliseconds> said = failure.timing.retry_after;
  std::optional<milliseconds> wait = context.admitted_after;
  if (!wait || (said && HasOneTarget(context))) wait = std::max(wait, said);
  // Admitted now, and nobody asked for time: a wait is told only where there must be one.
  if (wait == milliseconds(0)) wait = std::nullopt;
  if (!wait && (status == 429 || status == 503)) wait = kDefaultWait;
  if (wait) wait = std::clamp(*wait, milliseconds(1), kLongestWait);
  return wait;
}

// So that callers do not come back all at once, ratelimitd lengthens a provider's wait by up to a
// fifth and spreads its verdicts over a second; that alone does not make a wait too long.
bool IsWorthWaiting(milliseconds wait, const Failure& failure, milliseconds longest) {
  const bool was_worth = failure.timing.retry_after && *failure.timing.retry_after <= longest;
  return wait <= (was_worth ? longest + longest / 5 + std::chrono::seconds(1) : longest);
}

// P3: a retryable 429 or 503 always has a wait; what is not worth retrying never has one, since
// SDKs obey a wait before anything else (openai-node sleeps for days).
RetryAdvice AdviseRetry(const Failure& failure, int status, const ReplyContext& context) {
  if (!IsRetryable(failure)) return {};
  const std::optional<milliseconds> wait = DecideWait(failure, status, context);
  const bool should_retry = !wait || IsWorthWaiting(*wait, failure, context.max_client_wait);
  return {.should_retry = should_retry, .wait = wait};
}

Json OrNull(const std::string& text) { return text.empty() ? Json(nullptr) : Json(text); }

Json OrNull(int status) { return status == 0 ? Json(nullptr) : Json(status); }

std::string_view NameOf(const AttemptRecord& attempt) {
  return attempt.failure ? RuleFor(*attempt.failure).name : std::string_view("ok");
}

Json RenderTrail(const std::vector<AttemptRecord>& attempts) {
  Json trail = Json::array();
  for (const AttemptRecord& attempt : attempts) {
    if (!attempt.refused_reason.empty()) continue;
    trail.push_back({{"provider", attempt.target.provider},
                     {"kind", NameOf(attempt)},
                     {"upstream_status", OrNull(attempt.upstream_status)},
                     {"duration_ms", attempt.duration.count()}});
  }
  return trail;
}

Json RenderRefused(const std::vector<RefusedTarget>& refused) {
  Json targets = Json::array();
  for (const RefusedTarget& target : refused) {
    targets.push_back({{"provider", target.target.provider},
                       {"model", target.target.model},
                       {"reason", target.reason},
                       {"retry_after_ms", target.retry_after.count()}});
  }
  return targets;
}

Json RenderCandor(const Failure& failure, const RetryAdvice& advice, const ReplyContext& context) {
  const FailureRule& rule = RuleFor(failure.kind);
  Json candor = {{"kind", rule.name},
                 {"fault", FaultName(rule.fault)},
                 {"provider", OrNull(context.target.provider)},
                 {"model", OrNull(context.target.model)},
                 {"upstream_status", OrNull(failure.upstream_status)},
                 {"retry_after_ms", advice.wait ? Json(advice.wait->count()) : Json(nullptr)},
                 {"request_id", context.request_id}};
  if (!context.refused.empty()) candor["targets"] = RenderRefused(context.refused);
  candor["attempts"] = RenderTrail(context.attempts);
  return candor;
}

// Whether the provider's own type and code may be shown: words that blame the caller's key or
// request for what the operator must mend would mislead (a 400 "invalid_request_error" that means
// an empty account).
bool MayKeepProviderWords(FailureKind kind) {
  return kind != FailureKind::kProviderAuth && kind != FailureKind::kQuotaExhausted;
}

std::string MessageOf(const Failure& failure, const ReplyContext& context) {
  if (!failure.message.empty()) return Scrub(failure.message, context.secrets);
  return common::Concat("The request failed: ", RuleFor(failure.kind).name, ".");
}

// Names of members are scrubbed as well: they are the provider's words, too.
Json ScrubStrings(const Json& value, const std::vector<std::string>& secrets) {
  if (value.is_string()) return Scrub(value.get_ref<const std::string&>(), secrets);
  if (value.is_array()) {
    Json items = Json::array();
    for (const Json& item : value) items.push_back(ScrubStrings(item, secrets));
    return items;
  }
  if (!value.is_object()) return value;
  Json members = Json::object();
  for (const auto& [name, member] : value.items()) {
    members[Scrub(name, secrets)] = ScrubStrings(member, secrets);
  }
  return members;
}

// The provider's own error object, scrubbed; null when there is none to keep.
Json ProviderErrorObject(const Failure& failure, const ReplyContext& context) {
  if (failure.error_object.empty() || !MayKeepProviderWords(failure.kind)) return nullptr;
  const Json object = Json::parse(failure.error_object, nullptr, /*allow_exceptions=*/false);
  return object.is_object() ? ScrubStrings(object, context.secrets) : Json(nullptr);
}

Json ParamOf(const Failure& failure, const ReplyContext& context) {
  if (failure.param.empty()) return nullptr;
  const Json param = Json::parse(failure.param, nullptr, /*allow_exceptions=*/false);
  return param.is_string() ? ScrubStrings(param, context.secrets) : Json(nullptr);
}

// The provider's members in the place of ours; clients need those called `texts` to be texts.
void KeepProviderWords(const Json& own, std::initializer_list<std::string_view> texts,
                       Json& error) {
  for (const auto& [name, value] : own.items()) {
    const bool must_be_text = std::find(texts.begin(), texts.end(), name) != texts.end();
    if (!must_be_text || value.is_string()) error[name] = value;
  }
}

// The error object of the OpenAI dialect without `candor`. Clients need a text as `message` and
// `type`, and all four fields to be there.
Json RenderOpenAiError(const Failure& failure, const ReplyContext& context) {
  const FailureRule& rule = RuleFor(failure.kind);
  const bool keeps_words = MayKeepProviderWords(failure.kind);
  const Json own = ProviderErrorObject(failure, context);
  const auto word = [&](const std::string& from_provider, std::string_view from_table) {
    return keeps_words && !from_provider.empty() ? Json(Scrub(from_provider, context.secrets))
                                                 : Json(from_table);
  };
  Json error = {{"message", MessageOf(failure, context)},
                {"type", word(failure.type, rule.type)},
                {"param", ParamOf(failure, context)},
                {"code", word(failure.code, rule.code)}};
  if (own.is_object()) KeepProviderWords(own, {"message", "type"}, error);
  return error;
}

std::string Dump(const Json& json) {
  return json.dump(-1, ' ', /*ensure_ascii=*/false, Json::error_handler_t::replace);
}

// {"type":"error","error":{...},"request_id":...}, from docs.anthropic.com/en/api/errors.
Json RenderAnthropicEnvelope(const Failure& failure, const RetryAdvice& advice,
                             const ReplyContext& context) {
  Json error = {{"type", RuleFor(failure.kind).anthropic_type},
                {"message", MessageOf(failure, context)}};
  const Json own = ProviderErrorObject(failure, context);
  if (own.is_object()) KeepProviderWords(own, {"type", "message"}, error);
  error["candor"] = RenderCandor(failure, advice, context);
  return {{"type", "error"}, {"error", std::move(error)}, {"request_id", context.request_id}};
}

// Responses clients see no headers of a stream and read the wait off the message.
void AppendWaitToMessage(const RetryAdvice& advice, Json& error) {
  if (!advice.wait) return;
  const std::string message = error["message"].get<std::string>();
  error["message"] = common::Concat(message, message.empty() || message.back() == '.' ? " " : ". ",
                                    "Please try again in ", RenderUnitDuration(*advice.wait), ".");
}

std::string Event(std::string_view name, const Json& data) {
  return common::Concat("event: ", name, "\ndata: ", Dump(data), "\n\n");
}

// Both the flat fields and the nested object: SDKs look at one or the other; then the event that
// sets the response's own state.
std::string RenderResponsesFailure(const Json& error, const ReplyContext& context) {
  Json flat = {{"type", "error"},
               {"code", error["code"]},
               {"message", error["message"]},
               {"param", error["param"]},
               {"sequence_number", context.sequence_number},
               {"error", error}};
  const Json failed = {{"type", "response.failed"},
                       {"sequence_number", context.sequence_number + 1},
                       {"response",
                        {{"id", OrNull(context.response_id)},
                         {"object", "response"},
                         {"status", "failed"},
                         {"error", {{"code", error["code"]}, {"message", error["message"]}}},
                         {"output", Json::array()}}}};
  return common::Concat(Event("error", flat), Event("response.failed", failed));
}

std::vector<HeaderField> RenderHeaders(const Failure& failure, const RetryAdvice& advice) {
  std::vector<HeaderField> headers;
  if (advice.wait) {
    headers.push_back({"retry-after", common::Concat(RetryAfterSeconds(*advice.wait))});
    headers.push_back({"retry-after-ms", common::Concat(advice.wait->count())});
  }
  headers.push_back({"x-should-retry", advice.should_retry ? "true" : "false"});
  headers.push_back({"x-candor-error", std::string(RuleFor(failure.kind).name)});
  return headers;
}

}  // namespace

int64_t RetryAfterSeconds(milliseconds wait) {
  const milliseconds clamped = std::clamp(wait, milliseconds(1), kLongestWait);
  return std::chrono::ceil<std::chrono::seconds>(clamped).count();
}

FailureReply RenderFailure(const Failure& failure, std::optional<Endpoint> endpoint,
                           const ReplyContext& context) {
  const int status = ClientStatus(failure);
  const RetryAdvice advice = AdviseRetry(failure, status, context);
  FailureReply reply{.status = status, .headers = RenderHeaders(failure, advice), .body = {}};
  if (IsAnthropic(endpoint)) {
    reply.body = Dump(RenderAnthropicEnvelope(failure, advice, context));
    return reply;
  }
  Json error = RenderOpenAiError(failure, context);
  if (endpoint == Endpoint::kResponses) AppendWaitToMessage(advice, error);
  error["candor"] = RenderCandor(failure, advice, context);
  reply.body = Dump({{"error", std::move(error)}});
  return reply;
}

std::string RenderStreamFailure(const Failure& failure, Endpoint endpoint,
                                const ReplyContext& context) {
  const int status = ClientStatus(failure);
  const RetryAdvice advice = AdviseRetry(failure, status, context);
  if (IsAnthropic(endpoint)) {
    Json envelope = RenderAnthropicEnvelope(failure, advice, context);
    envelope["error"]["status"] = status;
    return Event("error", envelope);
  }
  Json error = RenderOpenAiError(failure, context);
  error["status"] = status;
  error["candor"] = RenderCandor(failure, advice, context);
  if (endpoint == Endpoint::kResponses) {
    AppendWaitToMessage(advice, error);
    return RenderResponsesFailure(error, context);
  }
  return common::Concat("data: ", Dump({{"error", std::move(error)}}), "\n\n");
}

std::string RenderAttempts(const std::vector<AttemptRecord>& attempts) {
  std::string text;
  for (const AttemptRecord& attempt : attempts) {
    const std::string what = attempt.refused_reason.empty()
                                 ? std::string(NameOf(attempt))
                                 : common::Concat("refused(", attempt.refused_reason, ")");
    text += common::Concat(text.empty() ? "" : ", ", attempt.target.provider, ":", what, ":",
                           attempt.duration.count(), "ms");
  }
  return text;
}

}  // namespace gateway
