#include "gateway/core/failure_vocabulary.h"

#include <algorithm>
#include <charconv>
#include <iterator>

#include "gateway/core/ascii.h"

namespace gateway {
namespace {

using enum FailureKind;

struct WordRule {
  std::string_view word;  // lower case; '_' is for the reader and not compared
  FailureKind kind;
  Strength strength = Strength::kDecisive;
};

// Machine-readable words: `code`, `type`, `status`, `reason` and their like. Sources: the API
// references of OpenAI, Azure OpenAI, Anthropic, Google (google.rpc.Code and ErrorInfo), AWS
// Bedrock, Cloudflare, Mistral, Groq, xAI, DeepSeek, Cohere, Moonshot, Alibaba, Volcengine, MiniMax
// and Zhipu (their numbers), and what recordings of compatible servers show.
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
    {"account_overdue_error", kQuotaExhausted},
    {"allocation_quota_free_tier_only", kQuotaExhausted},
    {"openrouter_free_tier_daily", kQuotaExhausted},
    {"token_quota_reached", kQuotaExhausted},
    {"cloudflare_2021", kQuotaExhausted},
    {"cloudflare_3036", kQuotaExhausted},
    {"cloudflare_4006", kQuotaExhausted},
    {"minimax_1008", kQuotaExhausted},
    {"minimax_2056", kQuotaExhausted},
    {"zhipu_1113", kQuotaExhausted},
    {"zhipu_1304", kQuotaExhausted},
    {"zhipu_1308", kQuotaExhausted},
    {"zhipu_1309", kQuotaExhausted},
    {"zhipu_1310", kQuotaExhausted},
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
    {"policies_ratelimit_quota_violation", kRateLimited},
    {"policies_ratelimit_spike_arrest_violation", kRateLimited},
    {"cloudflare_2003", kRateLimited},
    {"minimax_1002", kRateLimited},
    {"minimax_1039", kRateLimited},
    {"minimax_1041", kRateLimited},
    {"zhipu_1302", kRateLimited},
    {"zhipu_1303", kRateLimited},
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
    {"resource_unavailable", kOverloaded},
    {"queue_exceeded", kOverloaded},
    {"unavailable_error", kOverloaded},
    {"no_provider_available", kOverloaded},
    {"gateway_overloaded", kOverloaded},
    {"cloudflare_3040", kOverloaded},
    {"zhipu_1305", kOverloaded},
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
    {"minimax_1001", kUpstreamTimeout},
    // The provider itself failed.
    {"cloudflare_2005", kUpstreamError},
    {"minimax_1000", kUpstreamError},
    {"minimax_1013", kUpstreamError},
    {"minimax_1024", kUpstreamError},
    {"minimax_1033", kUpstreamError},
    {"zhipu_1234", kUpstreamError},
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
    {"cloudflare_9106", kProviderAuth},
    {"cloudflare_9109", kProviderAuth},
    {"cloudflare_10000", kProviderAuth},
    {"minimax_1004", kProviderAuth},
    {"minimax_2049", kProviderAuth},
    {"zhipu_1000", kProviderAuth},
    {"zhipu_1001", kProviderAuth},
    {"zhipu_1002", kProviderAuth},
    {"zhipu_1003", kProviderAuth},
    {"zhipu_1004", kProviderAuth},
    {"zhipu_1112", kProviderAuth},
    {"zhipu_1220", kProviderAuth},
    {"provider_auth", kProviderAuth},
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
    {"model_not_open", kModelNotFound},
    {"cloudflare_2008", kModelNotFound},
    {"zhipu_1211", kModelNotFound},
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
    {"zhipu_1261", kContextLength},
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
    {"sensitive_content_detected", kContentFilter},
    {"input_text_sensitive_content_detected", kContentFilter},
    {"input_image_sensitive_content_detected", kContentFilter},
    {"output_text_sensitive_content_detected", kContentFilter},
    {"minimax_1026", kContentFilter},
    {"minimax_1027", kContentFilter},
    {"zhipu_1301", kContentFilter},
    {"prohibited_content", kContentFilter},
    {"invalid_prompt", kContentFilter},
    {"safety", kContentFilter},
    // Its form.
    {"unsupported_parameter", kInvalidRequest},
    {"unsupported_value", kInvalidRequest, Strength::kPlain},
    {"unknown_parameter", kInvalidRequest},
    {"missing_required_parameter", kInvalidRequest},
    {"invalid_value", kInvalidRequest},
    {"invalid_type", kInvalidRequest},
    {"invalid_json", kInvalidRequest},
    {"invalid_parameter", kInvalidRequest, Strength::kPlain},
    {"minimax_2013", kInvalidRequest},
    {"zhipu_1210", kInvalidRequest},
    {"zhipu_1213", kInvalidRequest},
    {"zhipu_1214", kInvalidRequest},
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

struct WordingRule {
  unsigned groups;
  FailureKind kind;
  std::string_view phrase;     // lower case
  std::string_view also = {};  // must occur too
};

// Tried in order. Money goes before everything, since its messages also mention keys and limits;
// rates go before capacity, since theirs mention "high demand".
constexpr WordingRule kWordings[] = {
    {kUnderBad | kUnderSuccess, kProviderAuth, "location is not supported"},
    {kUnderBad | kUnderSuccess, kProviderAuth, "region, or territory not supported"},
    {kUnderBad | kUnderSuccess, kProviderAuth, "not available in your region"},
    {kUnderBad | kUnderSuccess, kProviderAuth, "not available in your country"},
    {kUnderBad | kUnderSuccess, kProviderAuth, "organization must be verified"},
    {kUnderBad | kUnderSuccess, kProviderAuth, "access token invalid"},

    {kUnderAny, kQuotaExhausted, "credit balance"},
    {kUnderAny, kQuotaExhausted, "insufficient credit"},
    {kUnderAny, kQuotaExhausted, "insufficient balance"},
    {kUnderAny, kQuotaExhausted, "insufficient quota"},
    {kUnderAny, kQuotaExhausted, "insufficient account balance"},
    {kUnderAny, kQuotaExhausted, "insufficient unified billing credits"},
    {kUnderAny, kQuotaExhausted, "insufficient funds"},
    {kUnderAny, kQuotaExhausted, "requires more credits"},
    {kUnderAny, kQuotaExhausted, "out of credits"},
    {kUnderAny, kQuotaExhausted, "no credits"},
    {kUnderAny, kQuotaExhausted, "any credits"},
    {kUnderAny, kQuotaExhausted, "used all available credits"},
    {kUnderAny, kQuotaExhausted, "purchase credits"},
    {kUnderAny, kQuotaExhausted, "purchase more credits"},
    {kUnderAny, kQuotaExhausted, "valid credit card"},
    {kUnderAny, kQuotaExhausted, "exceeded your current quota"},
    {kUnderAny, kQuotaExhausted, "exceeded your monthly"},
    {kUnderAny, kQuotaExhausted, "monthly spending limit"},
    {kUnderAny, kQuotaExhausted, "monthly usage limit"},
    {kUnderAny, kQuotaExhausted, "monthly included credits"},
    {kUnderAny, kQuotaExhausted, "spending limit"},
    {kUnderAny, kQuotaExhausted, "budget has been exceeded"},
    {kUnderAny, kQuotaExhausted, "exceededbudget"},
    {kUnderAny, kQuotaExhausted, "exceededtokenbudget"},
    {kUnderAny, kQuotaExhausted, "over budget"},
    {kUnderAny, kQuotaExhausted, "weekly usage limit"},
    {kUnderAny, kQuotaExhausted, "calls / month"},
    {kUnderAny, kQuotaExhausted, "too many tokens per day"},
    {kUnderTooMany, kQuotaExhausted, "usage limit", "upgrade"},
    {kUnderAny, kQuotaExhausted, "billing hard limit"},
    {kUnderAny, kQuotaExhausted, "api usage limits", "regain access"},
    {kUnderAny, kQuotaExhausted, "daily free allocation"},
    {kUnderAny, kQuotaExhausted, "free-models-per-day"},
    {kUnderAny, kQuotaExhausted, "requests per day", "upgrade"},
    {kUnderAny, kQuotaExhausted, "account is not active", "billing"},
    {kUnderAny, kQuotaExhausted, "in arrears"},
    {kUnderAny, kQuotaExhausted, "balance is insufficient"},
    {kUnderAny, kQuotaExhausted, "overdue balance"},
    {kUnderAny, kQuotaExhausted, "daily request limit"},
    {kUnderDenied | kUnderBad, kQuotaExhausted, "billing", "enable"},

    {kUnderAny, kRateLimited, "rate limit exceeded"},
    {kUnderAny, kRateLimited, "rate limit reached"},
    {kUnderAny, kRateLimited, "rate limit of"},
    {kUnderAny, kRateLimited, "exceeded rate limit"},
    {kUnderAny, kRateLimited, "exceeded call rate limit"},
    {kUnderAny, kRateLimited, "exceeded the rate limit"},
    {kUnderAny, kRateLimited, "exceeded token rate limit"},
    {kUnderAny, kRateLimited, "ratelimiterror"},
    {kUnderAny, kRateLimited, "rate-limited"},
    {kUnderAny, kRateLimited, "rate limited"},
    {kUnderAny, kRateLimited, "too many requests"},
    {kUnderAny, kRateLimited, "queries per minute"},
    {kUnderAny, kRateLimited, "due to rate limiting"},
    {kUnderAny, kRateLimited, "qps", "limit"},
    {kUnderTooMany, kRateLimited, "per minute"},
    {kUnderTooMany, kRateLimited, "per second"},

    {kUnderAny & ~kUnderTooMany, kContentFilter, "content management policy"},
    {kUnderAny & ~kUnderTooMany, kContentFilter, "content filter"},
    {kUnderAny & ~kUnderTooMany, kContentFilter, "content-filter"},
    {kUnderAny & ~kUnderTooMany, kContentFilter, "content policy"},
    {kUnderAny & ~kUnderTooMany, kContentFilter, "usage policy"},
    {kUnderAny & ~kUnderTooMany, kContentFilter, "usage policies"},
    {kUnderAny & ~kUnderTooMany, kContentFilter, "safety system"},
    {kUnderAny & ~kUnderTooMany, kContentFilter, "moderation", "flagged"},
    {kUnderAny & ~kUnderTooMany, kContentFilter, "inappropriate content"},
    {kUnderAny & ~kUnderTooMany, kContentFilter, "prohibited content"},

    {kUnderBad | kUnderSuccess | kUnderServer, kContextLength, "maximum context length"},
    {kUnderBad | kUnderSuccess | kUnderServer, kContextLength, "context length"},
    {kUnderBad | kUnderSuccess | kUnderServer, kContextLength, "context window"},
    {kUnderBad | kUnderSuccess | kUnderServer, kContextLength, "context size"},
    {kUnderBad | kUnderSuccess | kUnderServer, kContextLength, "context limit"},
    {kUnderBad | kUnderSuccess | kUnderServer, kContextLength, "contextwindowexceedederror"},
    {kUnderBad | kUnderSuccess | kUnderServer, kContextLength, "prompt is too long"},
    {kUnderBad | kUnderSuccess | kUnderServer, kContextLength, "prompt too long"},
    {kUnderBad | kUnderSuccess | kUnderServer, kContextLength, "input is too long"},
    {kUnderBad | kUnderSuccess | kUnderServer, kContextLength, "too many tokens"},
    {kUnderBad | kUnderSuccess | kUnderServer, kContextLength,
     "length of all messages is too long"},
    {kUnderBad | kUnderSuccess | kUnderServer, kContextLength, "input tokens exceed"},
    {kUnderBad | kUnderSuccess | kUnderServer, kContextLength, "token count",
     "exceeds the maximum"},
    {kUnderBad | kUnderSuccess | kUnderServer, kContextLength, "tokens", "exceeds maximum length"},
    {kUnderBad | kUnderSuccess | kUnderServer, kContextLength, "tokens", "must be <="},
    {kUnderBad | kUnderSuccess | kUnderServer, kContextLength, "n_ctx"},
    {kUnderBad | kUnderSuccess | kUnderServer, kContextLength, "maximum prompt length"},
    {kUnderBad | kUnderSuccess | kUnderServer, kContextLength, "maximum input length"},
    {kUnderBad | kUnderSuccess | kUnderServer, kContextLength, "maximum number of tokens"},
    {kUnderBad | kUnderSuccess | kUnderServer, kContextLength, "model token limit"},
    {kUnderBad | kUnderSuccess | kUnderServer, kContextLength, "range of input length"},
    {kUnderBad | kUnderSuccess | kUnderServer, kContextLength, "max_seq_len"},

    {kUnderBad | kUnderDenied | kUnderSuccess | kUnderServer, kProviderAuth, "api key",
     "incorrect"},
    {kUnderBad | kUnderDenied | kUnderSuccess | kUnderServer, kProviderAuth, "api key",
     "not valid"},
    {kUnderBad | kUnderDenied | kUnderSuccess | kUnderServer, kProviderAuth, "api key", "invalid"},
    {kUnderBad | kUnderDenied | kUnderSuccess | kUnderServer, kProviderAuth, "api key", "expired"},
    {kUnderBad | kUnderDenied | kUnderSuccess | kUnderServer, kProviderAuth, "api key",
     "not found"},
    {kUnderBad | kUnderDenied | kUnderSuccess | kUnderServer, kProviderAuth, "api key", "missing"},
    {kUnderBad | kUnderDenied | kUnderSuccess | kUnderServer, kProviderAuth, "api key", "provide"},
    {kUnderBad | kUnderSuccess | kUnderServer, kProviderAuth, "invalid_api_key"},
    {kUnderBad | kUnderSuccess | kUnderServer, kProviderAuth, "authenticationerror"},
    {kUnderBad | kUnderSuccess | kUnderServer, kProviderAuth, "authentication fail"},
    {kUnderBad | kUnderSuccess | kUnderServer, kProviderAuth, "invalid authentication"},
    {kUnderBad | kUnderSuccess | kUnderServer, kProviderAuth, "authentication token"},
    {kUnderBad | kUnderSuccess | kUnderServer, kProviderAuth, "unauthorized"},
    {kUnderBad | kUnderSuccess, kProviderAuth, "organization has been disabled"},
    {kUnderBad | kUnderSuccess, kProviderAuth, "account has been disabled"},
    {kUnderBad | kUnderSuccess, kProviderAuth, "account has been deactivated"},
    {kUnderBad | kUnderSuccess, kProviderAuth, "account has been suspended"},
    {kUnderBad | kUnderSuccess, kProviderAuth, "account is suspended"},
    {kUnderBad | kUnderSuccess, kProviderAuth, "credential is only authorized"},
    {kUnderBad | kUnderSuccess, kProviderAuth, "permissiondeniederror"},

    {kUnderBad | kUnderSuccess | kUnderServer, kModelNotFound, "no such model"},
    {kUnderBad | kUnderSuccess | kUnderServer, kModelNotFound, "model not found"},
    {kUnderBad | kUnderSuccess | kUnderServer, kModelNotFound, "unknown model"},
    {kUnderBad | kUnderSuccess | kUnderServer, kModelNotFound, "model not exist"},
    {kUnderBad | kUnderSuccess | kUnderServer, kModelNotFound, "model identifier is invalid"},
    {kUnderBad | kUnderSuccess | kUnderServer, kModelNotFound, "invalid model"},
    {kUnderBad | kUnderSuccess | kUnderServer, kModelNotFound, "not a valid model"},
    {kUnderBad | kUnderSuccess | kUnderServer, kModelNotFound, "model", "does not exist"},
    {kUnderBad | kUnderSuccess | kUnderServer, kModelNotFound, "model", "not found"},
    {kUnderBad | kUnderSuccess | kUnderServer, kModelNotFound, "model", "has been decommissioned"},
    {kUnderBad | kUnderSuccess | kUnderServer, kModelNotFound, "model", "end of life"},
    {kUnderBad | kUnderSuccess | kUnderServer, kModelNotFound, "no endpoints found"},
    {kUnderBad | kUnderSuccess, kModelNotFound, "on-demand throughput"},

    {kUnderServer | kUnderSuccess, kTooLarge, "too large to process"},
    {kUnderServer | kUnderSuccess, kTooLarge, "request entity too large"},
    {kUnderServer | kUnderSuccess, kTooLarge, "increase the physical batch size"},
    {kUnderBad, kTooLarge, "payload size exceeds"},
    {kUnderServer | kUnderSuccess, kInvalidRequest, "input is not supported"},
    {kUnderServer | kUnderSuccess, kInvalidRequest, "json.exception."},
    {kUnderServer | kUnderSuccess, kInvalidRequest, "failed to parse grammar"},
    {kUnderServer | kUnderSuccess, kInvalidRequest, "roles must alternate"},
    {kUnderServer | kUnderSuccess, kInvalidRequest, "badrequesterror"},
    {kUnderServer | kUnderSuccess, kInvalidRequest, "invalid_request_error"},

    {kUnderAny & ~kUnderDenied, kOverloaded, "overloaded"},
    {kUnderAny & ~kUnderDenied, kOverloaded, "high demand"},
    {kUnderAny & ~kUnderDenied, kOverloaded, "at capacity"},
    {kUnderAny & ~kUnderDenied, kOverloaded, "over capacity"},
    {kUnderAny & ~kUnderDenied, kOverloaded, "out of capacity"},
    {kUnderAny & ~kUnderDenied, kOverloaded, "no capacity"},
    {kUnderAny & ~kUnderDenied, kOverloaded, "insufficient capacity"},
    {kUnderAny & ~kUnderDenied, kOverloaded, "lack of capacity"},
    {kUnderAny & ~kUnderDenied, kOverloaded, "capacity exceeded"},
    {kUnderAny & ~kUnderDenied, kOverloaded, "server is busy"},
    {kUnderAny & ~kUnderDenied, kOverloaded, "really busy"},
    {kUnderAny & ~kUnderDenied, kOverloaded, "system is busy"},
    {kUnderAny & ~kUnderDenied, kOverloaded, "server busy"},
    {kUnderAny & ~kUnderDenied, kOverloaded, "too busy"},
    {kUnderAny & ~kUnderDenied, kOverloaded, "queue is full"},
    {kUnderAny & ~kUnderDenied, kOverloaded, "reset reason: overflow"},
    {kUnderAny & ~kUnderDenied, kOverloaded, "no healthy upstream"},
    {kUnderAny & ~kUnderDenied, kOverloaded, "currently loading"},
    {kUnderAny & ~kUnderDenied, kOverloaded, "loading model"},
    {kUnderServer | kUnderSuccess, kOverloaded, "model is loading"},
    {kUnderServer | kUnderSuccess, kOverloaded, "requires more system memory"},
    {kUnderServer | kUnderSuccess, kOverloaded, "out of memory"},
    {kUnderBad | kUnderSuccess, kOverloaded, "service unavailable"},
    {kUnderBad | kUnderSuccess, kOverloaded, "temporarily unavailable"},

    {kUnderServer | kUnderSuccess, kUpstreamTimeout, "timed out"},
    {kUnderServer | kUnderSuccess, kUpstreamTimeout, "gateway time-out"},
    {kUnderServer | kUnderSuccess, kUpstreamTimeout, "gateway timeout"},
    {kUnderServer | kUnderSuccess, kUpstreamTimeout, "timeout"},
    {kUnderServer | kUnderSuccess, kUpstreamTimeout, "deadline exceeded"},
    {kUnderBad, kUpstreamTimeout, "upstream request timeout"},
    {kUnderBad, kUpstreamTimeout, "request timed out"},
    {kUnderBad, kUpstreamTimeout, "upstream timed out"},

    {kUnderBad, kUpstreamError, "internal server error"},
    {kUnderBad, kUpstreamError, "has crashed"},
    {kUnderBad, kUpstreamError, "process has terminated"},
    {kUnderBad, kUpstreamError, "bad gateway"},
    {kUnderBad, kUpstreamError, "upstream connect error"},
    {kUnderBad, kUpstreamError, "failed to get response from provider"},
    {kUnderBad, kUpstreamError, "upstream error"},
};

}  // namespace

std::optional<FailureKind> FindWord(const ErrorBody& body, Strength strength) {
  for (const std::string& word : body.words) {
    const auto rule = std::find_if(std::begin(kWords), std::end(kWords), [&](const WordRule& r) {
      return r.strength == strength && IsSameWord(r.word, word);
    });
    if (rule != std::end(kWords)) return rule->kind;
  }
  return std::nullopt;
}

bool BlamesThePurse(const ErrorBody& body) {
  constexpr std::string_view kPurseWords[] = {
      "billing_error",        "billing_disabled",       "billing_not_active",
      "payment_required",     "payment_required_error", "insufficient_balance",
      "insufficient_credits", "insufficient_funds",     "arrearage",
      "minimax_1008",         "invalid_request_error",  "permission_error",
      "permission_denied"};
  if (HasWord(body, "insufficient_quota")) return false;  // OpenAI's, with 429
  return std::any_of(std::begin(kPurseWords), std::end(kPurseWords),
                     [&](std::string_view word) { return HasWord(body, word); });
}

// A number is a status or a provider's own numbering, no word.
bool HasUnknownCode(const ErrorBody& body) {
  if (body.code.empty() || std::all_of(body.code.begin(), body.code.end(), IsDigit)) return false;
  const std::string code = NormalizeWord(body.code);
  return std::none_of(std::begin(kWords), std::end(kWords),
                      [&](const WordRule& rule) { return IsSameWord(rule.word, code); });
}

bool HasWord(const ErrorBody& body, std::string_view readable) {
  return std::any_of(body.words.begin(), body.words.end(),
                     [&](const std::string& word) { return IsSameWord(readable, word); });
}

StatusGroup GroupOf(int status) {
  if (status < 300) return kUnderSuccess;
  if (status == 401 || status == 402 || status == 403) return kUnderDenied;
  if (status == 429) return kUnderTooMany;
  if (status >= 500 || status == 408 || status == 424 || status == 499) return kUnderServer;
  return kUnderBad;
}

std::optional<FailureKind> FindWording(std::string_view text, StatusGroup group) {
  for (const WordingRule& rule : kWordings) {
    if ((rule.groups & group) == 0 || !Contains(text, rule.phrase)) continue;
    if (rule.also.empty() || Contains(text, rule.also)) return rule.kind;
  }
  return std::nullopt;
}

std::optional<int> FindStatus(std::string_view text) {
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
}  // namespace gateway
