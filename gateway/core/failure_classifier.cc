#include "gateway/core/failure_classifier.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <span>

#include "common/concat.h"
#include "gateway/core/ascii.h"
#include "gateway/core/retry_timing.h"

namespace gateway {
namespace {

using enum FailureKind;

enum class Strength : uint8_t {
  kDecisive,      // whatever status and wording say
  kPlain,         // unless the wording says more: providers use it for several things
  kBlamesServer,  // where no status says anything, and under a 400
  kWeak,          // only where no status says anything
};

struct WordRule {
  std::string_view word;  // lower case; '_' is for the reader and not compared
  FailureKind kind;
  Strength strength = Strength::kDecisive;
};

// Machine-readable words: `code`, `type`, `status`, `reason` and their like. Sources: the API
// references of OpenAI, Azure OpenAI, Anthropic, Google (google.rpc.Code and ErrorInfo), AWS
// Bedrock, Cloudflare, Mistral, Groq, xAI, DeepSeek, Cohere, Moonshot, Alibaba, and what recordings
// of compatible servers show.
constexpr WordRule kWords[] = {
    // Money and long quotas.
    {"insufficient_quota", kQuotaExhausted},
    {"insufficient_user_quota", kQuotaExhausted},
    {"insufficient_balance", kQuotaExhausted},
    {"insufficient_credits", kQuotaExhausted},
    {"insufficient_funds", kQuotaExhausted},
    {"exceeded_current_quota_error", kQuotaExhausted},
    {"quota_exhausted", kQuotaExhausted},
    {"quota_exceeded", kQuotaExhausted, Strength::kPlain},
    {"usage_limit_reached", kQuotaExhausted},
    {"budget_exceeded", kQuotaExhausted},
    {"billing_error", kQuotaExhausted},
    {"billing_disabled", kQuotaExhausted},
    {"billing_not_active", kQuotaExhausted},
    {"billing_hard_limit_reached", kQuotaExhausted},
    {"spending_limit_exceeded", kQuotaExhausted},
    {"payment_required", kQuotaExhausted},
    {"payment_required_error", kQuotaExhausted},
    {"customer_verification_required", kQuotaExhausted},
    {"arrearage", kQuotaExhausted},
    {"openrouter_free_tier_daily", kQuotaExhausted},
    {"token_quota_reached", kQuotaExhausted},
    {"cloudflare_2021", kQuotaExhausted},
    {"cloudflare_3036", kQuotaExhausted},
    {"cloudflare_4006", kQuotaExhausted},
    // Rates.
    {"rate_limit_exceeded", kRateLimited},
    {"rate_limit_reached", kRateLimited},
    {"rate_limit_reached_error", kRateLimited},
    {"rate_limited", kRateLimited},
    {"rate_limit_exceeded_error", kRateLimited},
    {"too_many_requests", kRateLimited},
    {"too_many_requests_exception", kRateLimited},
    {"too_many_requests_error", kRateLimited},
    {"throttling_exception", kRateLimited, Strength::kPlain},
    {"throttling", kRateLimited},
    {"throttling_rate_quota", kRateLimited},
    {"throttling_allocation_quota", kRateLimited},
    {"limit_requests", kRateLimited},
    {"limit_burst_rate", kRateLimited},
    {"service_quota_exceeded_exception", kRateLimited},
    {"upstream_provider_shared_pool", kRateLimited},
    {"cloudflare_2003", kRateLimited},
    {"rate_limit_error", kRateLimited, Strength::kPlain},
    {"rate_limit", kRateLimited, Strength::kPlain},
    {"resource_exhausted", kRateLimited, Strength::kPlain},
    {"tokens", kRateLimited, Strength::kPlain},
    {"requests", kRateLimited, Strength::kPlain},
    // Capacity.
    {"overloaded_error", kOverloaded},
    {"overloaded", kOverloaded},
    {"server_is_overloaded", kOverloaded},
    {"server_overloaded", kOverloaded},
    {"engine_overloaded", kOverloaded},
    {"engine_overloaded_error", kOverloaded},
    {"model_overloaded", kOverloaded},
    {"slow_down", kOverloaded},
    {"capacity_exceeded", kOverloaded},
    {"no_capacity", kOverloaded},
    {"out_of_capacity", kOverloaded},
    {"model_capacity_exhausted", kOverloaded},
    {"model_not_ready_exception", kOverloaded},
    {"model_loading", kOverloaded},
    {"service_tier_capacity_exceeded", kOverloaded},
    {"service_unavailable_exception", kOverloaded},
    {"cloudflare_3040", kOverloaded},
    {"service_unavailable", kOverloaded, Strength::kPlain},
    {"service_unavailable_error", kOverloaded, Strength::kPlain},
    {"unavailable", kOverloaded, Strength::kPlain},
    // Time.
    {"timeout", kUpstreamTimeout},
    {"timeout_error", kUpstreamTimeout},
    {"request_timeout", kUpstreamTimeout},
    {"upstream_timeout", kUpstreamTimeout},
    {"gateway_timeout", kUpstreamTimeout},
    {"deadline_exceeded", kUpstreamTimeout},
    {"model_timeout_exception", kUpstreamTimeout},
    {"vector_store_timeout", kUpstreamTimeout},
    {"cloudflare_3007", kUpstreamTimeout},
    {"cloudflare_3008", kUpstreamTimeout},
    // The provider itself failed.
    {"cloudflare_2005", kUpstreamError},
    {"incomplete_generation", kUpstreamError},
    {"generation", kUpstreamError, Strength::kPlain},
    {"bad_gateway", kUpstreamError, Strength::kPlain},
    {"upstream_error", kUpstreamError, Strength::kPlain},
    {"provider_error", kUpstreamError, Strength::kPlain},
    {"server_error", kUpstreamError, Strength::kBlamesServer},
    {"internal_server_error", kUpstreamError, Strength::kBlamesServer},
    {"internal_server_exception", kUpstreamError, Strength::kBlamesServer},
    {"internal_error", kUpstreamError, Strength::kBlamesServer},
    {"internal", kUpstreamError, Strength::kBlamesServer},
    {"internal_failure", kUpstreamError, Strength::kBlamesServer},
    {"api_error", kUpstreamError, Strength::kWeak},
    {"cancelled", kUpstreamError, Strength::kWeak},
    {"aborted", kUpstreamError, Strength::kWeak},
    {"data_loss", kUpstreamError, Strength::kWeak},
    {"unknown", kUpstreamError, Strength::kWeak},
    // Our credential, our rights, our place.
    {"invalid_api_key", kProviderAuth},
    {"incorrect_api_key", kProviderAuth},
    {"expired_api_key", kProviderAuth},
    {"api_key_invalid", kProviderAuth},
    {"api_key_expired", kProviderAuth},
    {"api_key_service_blocked", kProviderAuth},
    {"api_key_http_referrer_blocked", kProviderAuth},
    {"api_key_ip_address_blocked", kProviderAuth},
    {"invalid_authentication", kProviderAuth},
    {"invalid_authentication_error", kProviderAuth},
    {"invalid_organization", kProviderAuth},
    {"credentials_missing", kProviderAuth},
    {"access_token_expired", kProviderAuth},
    {"access_token_type_unsupported", kProviderAuth},
    {"token_expired", kProviderAuth},
    {"unauthenticated", kProviderAuth},
    {"unrecognized_client_exception", kProviderAuth},
    {"expired_token_exception", kProviderAuth},
    {"invalid_signature_exception", kProviderAuth},
    {"access_denied_exception", kProviderAuth},
    {"access_denied", kProviderAuth},
    {"access_terminated_error", kProviderAuth},
    {"account_deactivated", kProviderAuth},
    {"iam_permission_denied", kProviderAuth},
    {"service_disabled", kProviderAuth},
    {"consumer_suspended", kProviderAuth},
    {"insufficient_permissions", kProviderAuth},
    {"missing_scope", kProviderAuth},
    {"ip_not_authorized", kProviderAuth},
    {"model_terms_required", kProviderAuth},
    {"organization_restricted", kProviderAuth},
    {"blocked_api_access", kProviderAuth},
    {"unsupported_country_region_territory", kProviderAuth},
    {"cloudflare_2001", kProviderAuth},
    {"cloudflare_2009", kProviderAuth},
    {"cloudflare_3023", kProviderAuth},
    {"cloudflare_3041", kProviderAuth},
    {"cloudflare_5016", kProviderAuth},
    {"cloudflare_5018", kProviderAuth},
    {"cloudflare_10000", kProviderAuth},
    {"permission_denied", kProviderAuth, Strength::kPlain},
    {"permission_error", kProviderAuth, Strength::kPlain},
    {"authentication_error", kProviderAuth, Strength::kPlain},
    {"auth_error", kProviderAuth, Strength::kPlain},
    {"unauthorized", kProviderAuth, Strength::kPlain},
    {"failed_precondition", kProviderAuth, Strength::kPlain},
    {"forbidden", kProviderAuth, Strength::kWeak},
    // The model.
    {"model_not_found", kModelNotFound},
    {"model_not_found_error", kModelNotFound},
    {"model_not_exist", kModelNotFound},
    {"model_does_not_exist", kModelNotFound},
    {"model_decommissioned", kModelNotFound},
    {"model_deprecated", kModelNotFound},
    {"unknown_model", kModelNotFound},
    {"model_not_supported", kModelNotFound},
    {"model_not_available", kModelNotFound},
    {"invalid_model", kModelNotFound},
    {"deployment_not_found", kModelNotFound},
    {"resource_not_found_exception", kModelNotFound},
    {"cloudflare_2008", kModelNotFound},
    {"cloudflare_3042", kModelNotFound},
    {"cloudflare_5007", kModelNotFound},
    {"not_found_error", kModelNotFound, Strength::kPlain},
    {"not_found", kModelNotFound, Strength::kPlain},
    // The length of the input.
    {"context_length_exceeded", kContextLength},
    {"context_window_exceeded", kContextLength},
    {"context_window_exceeded_error", kContextLength},
    {"exceed_context_size_error", kContextLength},
    {"too_many_prompt_tokens", kContextLength},
    {"too_many_tokens", kContextLength},
    {"prompt_too_long", kContextLength},
    {"input_too_long", kContextLength},
    // Its size in bytes.
    {"request_too_large", kTooLarge},
    {"payload_too_large", kTooLarge},
    {"request_entity_too_large", kTooLarge},
    {"cloudflare_3006", kTooLarge},
    // Its content.
    {"content_filter", kContentFilter},
    {"content_filtered", kContentFilter},
    {"content_policy_violation", kContentFilter},
    {"responsible_ai_policy_violation", kContentFilter},
    {"moderation_blocked", kContentFilter},
    {"data_inspection_failed", kContentFilter},
    {"prohibited_content", kContentFilter},
    {"invalid_prompt", kContentFilter},
    {"safety", kContentFilter},
    // Its form.
    {"unsupported_parameter", kInvalidRequest},
    {"unsupported_value", kInvalidRequest},
    {"unknown_parameter", kInvalidRequest},
    {"missing_required_parameter", kInvalidRequest},
    {"invalid_value", kInvalidRequest},
    {"invalid_type", kInvalidRequest},
    {"invalid_json", kInvalidRequest},
    {"invalid_parameter", kInvalidRequest},
    {"invalid_function_parameters", kInvalidRequest},
    {"invalid_image_url", kInvalidRequest},
    {"invalid_image", kInvalidRequest},
    {"empty_array", kInvalidRequest},
    {"array_above_max_length", kInvalidRequest},
    {"string_above_max_length", kInvalidRequest},
    {"integer_above_max_value", kInvalidRequest},
    {"integer_below_min_value", kInvalidRequest},
    {"decimal_above_max_value", kInvalidRequest},
    {"decimal_below_min_value", kInvalidRequest},
    {"operation_not_supported", kInvalidRequest},
    {"tool_use_failed", kInvalidRequest},
    {"json_validate_failed", kInvalidRequest},
    {"out_of_range", kInvalidRequest},
    {"cloudflare_5004", kInvalidRequest},
    {"cloudflare_5005", kInvalidRequest},
    {"cloudflare_5006", kInvalidRequest},
    {"invalid_request_error", kInvalidRequest, Strength::kWeak},
    {"invalid_request", kInvalidRequest, Strength::kWeak},
    {"invalid_argument", kInvalidRequest, Strength::kWeak},
    {"bad_request", kInvalidRequest, Strength::kWeak},
    {"bad_request_error", kInvalidRequest, Strength::kWeak},
    {"validation_exception", kInvalidRequest, Strength::kWeak},
};

bool IsSameWord(std::string_view readable, std::string_view normal) {
  size_t at = 0;
  for (const char c : readable) {
    if (c == '_') continue;
    if (at == normal.size() || normal[at] != c) return false;
    ++at;
  }
  return at == normal.size();
}

// Innermost word first.
std::optional<FailureKind> FindWord(const ErrorBody& body, Strength strength) {
  for (const std::string& word : body.words) {
    const auto rule = std::find_if(std::begin(kWords), std::end(kWords), [&](const WordRule& r) {
      return r.strength == strength && IsSameWord(r.word, word);
    });
    if (rule != std::end(kWords)) return rule->kind;
  }
  return std::nullopt;
}

// Groups of statuses under which wording is trusted to tell more than the status does.
enum Group : unsigned {
  kSuccess = 1,  // 2xx: an error inside it
  kBad = 2,      // 400, 404, 409, 413, 422: said to be the request's fault
  kDenied = 4,   // 401, 402, 403
  kTooMany = 8,  // 429
  kServer = 16,  // 5xx, 408, 424, 499
  kAnyGroup = 31,
};

Group GroupOf(int status) {
  if (status < 300) return kSuccess;
  if (status == 401 || status == 402 || status == 403) return kDenied;
  if (status == 429) return kTooMany;
  if (status >= 500 || status == 408 || status == 424 || status == 499) return kServer;
  return kBad;
}

struct WordingRule {
  unsigned groups;
  FailureKind kind;
  std::string_view phrase;     // lower case
  std::string_view also = {};  // must occur too
};

// Tried in order. Money goes before everything, since its messages also mention keys and limits;
// rates go before capacity, since theirs mention "high demand".
constexpr WordingRule kWordings[] = {
    {kBad | kSuccess, kProviderAuth, "location is not supported"},
    {kBad | kSuccess, kProviderAuth, "region, or territory not supported"},
    {kBad | kSuccess, kProviderAuth, "not available in your region"},
    {kBad | kSuccess, kProviderAuth, "not available in your country"},

    {kAnyGroup, kQuotaExhausted, "credit balance"},
    {kAnyGroup, kQuotaExhausted, "insufficient credit"},
    {kAnyGroup, kQuotaExhausted, "insufficient balance"},
    {kAnyGroup, kQuotaExhausted, "insufficient quota"},
    {kAnyGroup, kQuotaExhausted, "insufficient account balance"},
    {kAnyGroup, kQuotaExhausted, "insufficient unified billing credits"},
    {kAnyGroup, kQuotaExhausted, "insufficient funds"},
    {kAnyGroup, kQuotaExhausted, "requires more credits"},
    {kAnyGroup, kQuotaExhausted, "out of credits"},
    {kAnyGroup, kQuotaExhausted, "no credits"},
    {kAnyGroup, kQuotaExhausted, "any credits"},
    {kAnyGroup, kQuotaExhausted, "used all available credits"},
    {kAnyGroup, kQuotaExhausted, "purchase credits"},
    {kAnyGroup, kQuotaExhausted, "purchase more credits"},
    {kAnyGroup, kQuotaExhausted, "valid credit card"},
    {kAnyGroup, kQuotaExhausted, "exceeded your current quota"},
    {kAnyGroup, kQuotaExhausted, "exceeded your monthly"},
    {kAnyGroup, kQuotaExhausted, "monthly spending limit"},
    {kAnyGroup, kQuotaExhausted, "monthly usage limit"},
    {kAnyGroup, kQuotaExhausted, "monthly included credits"},
    {kAnyGroup, kQuotaExhausted, "spending limit"},
    {kAnyGroup, kQuotaExhausted, "budget has been exceeded"},
    {kAnyGroup, kQuotaExhausted, "exceededbudget"},
    {kAnyGroup, kQuotaExhausted, "exceededtokenbudget"},
    {kAnyGroup, kQuotaExhausted, "over budget"},
    {kAnyGroup, kQuotaExhausted, "weekly usage limit"},
    {kAnyGroup, kQuotaExhausted, "calls / month"},
    {kAnyGroup, kQuotaExhausted, "too many tokens per day"},
    {kTooMany, kQuotaExhausted, "usage limit", "upgrade"},
    {kAnyGroup, kQuotaExhausted, "billing hard limit"},
    {kAnyGroup, kQuotaExhausted, "api usage limits", "regain access"},
    {kAnyGroup, kQuotaExhausted, "daily free allocation"},
    {kAnyGroup, kQuotaExhausted, "free-models-per-day"},
    {kAnyGroup, kQuotaExhausted, "requests per day", "upgrade"},
    {kAnyGroup, kQuotaExhausted, "account is not active", "billing"},
    {kAnyGroup, kQuotaExhausted, "in arrears"},
    {kDenied | kBad, kQuotaExhausted, "billing", "enable"},

    {kAnyGroup, kRateLimited, "rate limit exceeded"},
    {kAnyGroup, kRateLimited, "rate limit reached"},
    {kAnyGroup, kRateLimited, "rate limit of"},
    {kAnyGroup, kRateLimited, "exceeded rate limit"},
    {kAnyGroup, kRateLimited, "exceeded call rate limit"},
    {kAnyGroup, kRateLimited, "exceeded the rate limit"},
    {kAnyGroup, kRateLimited, "exceeded token rate limit"},
    {kAnyGroup, kRateLimited, "ratelimiterror"},
    {kAnyGroup, kRateLimited, "rate-limited"},
    {kAnyGroup, kRateLimited, "rate limited"},
    {kAnyGroup, kRateLimited, "too many requests"},
    {kAnyGroup, kRateLimited, "queries per minute"},
    {kTooMany, kRateLimited, "per minute"},
    {kTooMany, kRateLimited, "per second"},

    {kAnyGroup & ~kTooMany, kContentFilter, "content management policy"},
    {kAnyGroup & ~kTooMany, kContentFilter, "content filter"},
    {kAnyGroup & ~kTooMany, kContentFilter, "content-filter"},
    {kAnyGroup & ~kTooMany, kContentFilter, "content policy"},
    {kAnyGroup & ~kTooMany, kContentFilter, "usage policy"},
    {kAnyGroup & ~kTooMany, kContentFilter, "usage policies"},
    {kAnyGroup & ~kTooMany, kContentFilter, "safety system"},
    {kAnyGroup & ~kTooMany, kContentFilter, "moderation", "flagged"},
    {kAnyGroup & ~kTooMany, kContentFilter, "inappropriate content"},
    {kAnyGroup & ~kTooMany, kContentFilter, "prohibited content"},

    {kBad | kSuccess | kServer, kContextLength, "maximum context length"},
    {kBad | kSuccess | kServer, kContextLength, "context length"},
    {kBad | kSuccess | kServer, kContextLength, "context window"},
    {kBad | kSuccess | kServer, kContextLength, "context size"},
    {kBad | kSuccess | kServer, kContextLength, "context limit"},
    {kBad | kSuccess | kServer, kContextLength, "contextwindowexceedederror"},
    {kBad | kSuccess | kServer, kContextLength, "prompt is too long"},
    {kBad | kSuccess | kServer, kContextLength, "prompt too long"},
    {kBad | kSuccess | kServer, kContextLength, "input is too long"},
    {kBad | kSuccess | kServer, kContextLength, "too many tokens"},
    {kBad | kSuccess | kServer, kContextLength, "length of all messages is too long"},
    {kBad | kSuccess | kServer, kContextLength, "input tokens exceed"},
    {kBad | kSuccess | kServer, kContextLength, "token count", "exceeds the maximum"},
    {kBad | kSuccess | kServer, kContextLength, "tokens", "exceeds maximum length"},
    {kBad | kSuccess | kServer, kContextLength, "tokens", "must be <="},
    {kBad | kSuccess | kServer, kContextLength, "n_ctx"},
    {kBad | kSuccess | kServer, kContextLength, "maximum prompt length"},
    {kBad | kSuccess | kServer, kContextLength, "maximum input length"},
    {kBad | kSuccess | kServer, kContextLength, "maximum number of tokens"},

    {kBad | kDenied | kSuccess | kServer, kProviderAuth, "api key", "incorrect"},
    {kBad | kDenied | kSuccess | kServer, kProviderAuth, "api key", "not valid"},
    {kBad | kDenied | kSuccess | kServer, kProviderAuth, "api key", "invalid"},
    {kBad | kDenied | kSuccess | kServer, kProviderAuth, "api key", "expired"},
    {kBad | kDenied | kSuccess | kServer, kProviderAuth, "api key", "not found"},
    {kBad | kDenied | kSuccess | kServer, kProviderAuth, "api key", "missing"},
    {kBad | kDenied | kSuccess | kServer, kProviderAuth, "api key", "provide"},
    {kBad | kSuccess | kServer, kProviderAuth, "invalid_api_key"},
    {kBad | kSuccess | kServer, kProviderAuth, "authenticationerror"},
    {kBad | kSuccess | kServer, kProviderAuth, "authentication fail"},
    {kBad | kSuccess | kServer, kProviderAuth, "invalid authentication"},
    {kBad | kSuccess | kServer, kProviderAuth, "authentication token"},
    {kBad | kSuccess | kServer, kProviderAuth, "unauthorized"},
    {kBad | kSuccess, kProviderAuth, "organization has been disabled"},
    {kBad | kSuccess, kProviderAuth, "account has been disabled"},
    {kBad | kSuccess, kProviderAuth, "account has been deactivated"},
    {kBad | kSuccess, kProviderAuth, "account has been suspended"},
    {kBad | kSuccess, kProviderAuth, "account is suspended"},
    {kBad | kSuccess, kProviderAuth, "credential is only authorized"},
    {kBad | kSuccess, kProviderAuth, "permissiondeniederror"},

    {kBad | kSuccess | kServer, kModelNotFound, "no such model"},
    {kBad | kSuccess | kServer, kModelNotFound, "model not found"},
    {kBad | kSuccess | kServer, kModelNotFound, "unknown model"},
    {kBad | kSuccess | kServer, kModelNotFound, "model not exist"},
    {kBad | kSuccess | kServer, kModelNotFound, "model identifier is invalid"},
    {kBad | kSuccess | kServer, kModelNotFound, "invalid model"},
    {kBad | kSuccess | kServer, kModelNotFound, "not a valid model"},
    {kBad | kSuccess | kServer, kModelNotFound, "model", "does not exist"},
    {kBad | kSuccess | kServer, kModelNotFound, "model", "not found"},
    {kBad | kSuccess | kServer, kModelNotFound, "model", "has been decommissioned"},
    {kBad | kSuccess | kServer, kModelNotFound, "model", "end of life"},
    {kBad | kSuccess | kServer, kModelNotFound, "no endpoints found"},

    {kServer | kSuccess, kTooLarge, "too large to process"},
    {kServer | kSuccess, kTooLarge, "request entity too large"},
    {kServer | kSuccess, kTooLarge, "increase the physical batch size"},
    {kBad, kTooLarge, "payload size exceeds"},
    {kServer | kSuccess, kInvalidRequest, "input is not supported"},
    {kServer | kSuccess, kInvalidRequest, "json.exception."},
    {kServer | kSuccess, kInvalidRequest, "failed to parse grammar"},
    {kServer | kSuccess, kInvalidRequest, "roles must alternate"},
    {kServer | kSuccess, kInvalidRequest, "badrequesterror"},
    {kServer | kSuccess, kInvalidRequest, "invalid_request_error"},

    {kAnyGroup & ~kDenied, kOverloaded, "overloaded"},
    {kAnyGroup & ~kDenied, kOverloaded, "high demand"},
    {kAnyGroup & ~kDenied, kOverloaded, "at capacity"},
    {kAnyGroup & ~kDenied, kOverloaded, "over capacity"},
    {kAnyGroup & ~kDenied, kOverloaded, "out of capacity"},
    {kAnyGroup & ~kDenied, kOverloaded, "no capacity"},
    {kAnyGroup & ~kDenied, kOverloaded, "insufficient capacity"},
    {kAnyGroup & ~kDenied, kOverloaded, "lack of capacity"},
    {kAnyGroup & ~kDenied, kOverloaded, "capacity exceeded"},
    {kAnyGroup & ~kDenied, kOverloaded, "server is busy"},
    {kAnyGroup & ~kDenied, kOverloaded, "server busy"},
    {kAnyGroup & ~kDenied, kOverloaded, "too busy"},
    {kAnyGroup & ~kDenied, kOverloaded, "queue is full"},
    {kAnyGroup & ~kDenied, kOverloaded, "reset reason: overflow"},
    {kAnyGroup & ~kDenied, kOverloaded, "no healthy upstream"},
    {kAnyGroup & ~kDenied, kOverloaded, "currently loading"},
    {kAnyGroup & ~kDenied, kOverloaded, "loading model"},
    {kServer | kSuccess, kOverloaded, "model is loading"},
    {kServer | kSuccess, kOverloaded, "requires more system memory"},
    {kServer | kSuccess, kOverloaded, "out of memory"},
    {kBad | kSuccess, kOverloaded, "service unavailable"},
    {kBad | kSuccess, kOverloaded, "temporarily unavailable"},

    {kServer | kSuccess, kUpstreamTimeout, "timed out"},
    {kServer | kSuccess, kUpstreamTimeout, "gateway time-out"},
    {kServer | kSuccess, kUpstreamTimeout, "gateway timeout"},
    {kServer | kSuccess, kUpstreamTimeout, "timeout"},
    {kServer | kSuccess, kUpstreamTimeout, "deadline exceeded"},
    {kBad, kUpstreamTimeout, "upstream request timeout"},
    {kBad, kUpstreamTimeout, "request timed out"},
    {kBad, kUpstreamTimeout, "upstream timed out"},

    {kBad, kUpstreamError, "internal server error"},
    {kBad, kUpstreamError, "bad gateway"},
    {kBad, kUpstreamError, "upstream connect error"},
    {kBad, kUpstreamError, "failed to get response from provider"},
    {kBad, kUpstreamError, "upstream error"},
};

std::optional<FailureKind> FindWording(const std::string& text, Group group) {
  for (const WordingRule& rule : kWordings) {
    if ((rule.groups & group) == 0 || !Contains(text, rule.phrase)) continue;
    if (rule.also.empty() || Contains(text, rule.also)) return rule.kind;
  }
  return std::nullopt;
}

// A status quoted in a message: "error code: 524", "responded with status 429".
std::optional<int> StatusInText(std::string_view text) {
  for (const std::string_view phrase :
       {"error code", "status code", "statuscode", "with status", "http status", "'code'"}) {
    for (size_t at = text.find(phrase); at != std::string_view::npos;
         at = text.find(phrase, at + 1)) {
      std::string_view rest = text.substr(at + phrase.size());
      rest.remove_prefix(std::min(rest.find_first_not_of(" :=\"'("), rest.size()));
      int status = 0;
      const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), status);
      if (error == std::errc() && end - rest.data() == 3 && status >= 400 && status <= 599) {
        return status;
      }
    }
  }
  return std::nullopt;
}

// The status of the failure behind this answer, where the body names one; 0 if it names none.
int InnerStatus(const ErrorBody& body) {
  if (const auto quoted = StatusInText(body.text)) return *quoted;
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

// Google's QuotaFailure: a per-day quota or a quota of nothing does not come back in seconds,
// though RetryInfo says so.
std::optional<FailureKind> KindOfQuota(const ErrorBody& body) {
  if (body.quota_ids.empty()) return std::nullopt;
  const bool is_daily = std::any_of(body.quota_ids.begin(), body.quota_ids.end(),
                                    [](const std::string& id) { return Contains(id, "PerDay"); });
  return is_daily || body.has_zero_quota ? kQuotaExhausted : kRateLimited;
}

// A page or a relay's empty 400 says nothing about the caller's request.
bool IsPageFromElsewhere(int status, const ErrorBody& body) {
  return body.form == ErrorBody::Form::kPage && GroupOf(status) == kBad && status != 404 &&
         status != 413;
}

// A model that is refused to us is not missing: OpenAI sends 403 with code model_not_found.
FailureKind WithRights(FailureKind kind, int status) {
  return kind == kModelNotFound && GroupOf(status) == kDenied ? kProviderAuth : kind;
}

FailureKind DecideKind(int status, const ErrorBody& body) {
  if (status >= 300 && status < 400) return kUpstreamMalformed;
  if (const auto kind = KindOfQuota(body)) return *kind;
  // A request that is too large is too large whatever limit it ran into.
  if (status == 413 && FindWord(body, Strength::kDecisive) != kContextLength) return kTooLarge;
  if (const auto kind = FindWord(body, Strength::kDecisive)) return WithRights(*kind, status);
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

// A spent quota is not full again within a minute, whatever short wait the same answer names.
constexpr std::chrono::minutes kShortestQuotaWait{1};

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

bool HasWord(const ErrorBody& body, std::string_view readable) {
  return std::any_of(body.words.begin(), body.words.end(),
                     [&](const std::string& word) { return IsSameWord(readable, word); });
}

// What the status would have been, had the error not come under a success.
int MeantStatus(FailureKind kind, int status, const ErrorBody& body) {
  const int inner = InnerStatus(body);
  if (inner != 0 || status >= 300 || kind != kUpstreamError) return inner;
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
  failure.error_object = body.openai_error;
  // A type that is a URI is an RFC 9457 problem's, no word that clients know.
  if (!body.type.empty() && !Contains(body.type, ":")) {
    failure.type = body.type;
    failure.code = body.code;
    failure.param = body.param;
  }
  failure.timing = BelievableTiming(failure, ReadRetryTiming(headers, body, received_at));
  return failure;
}

Failure MalformedAnswer(int status, std::string_view what) {
  Failure failure;
  failure.kind = kUpstreamMalformed;
  failure.upstream_status = status;
  failure.message = common::Concat("The provider's answer ", what, ".");
  return failure;
}

}  // namespace gateway
