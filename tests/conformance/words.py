"""How each provider dialect words a failure: as a whole answer, and inside a stream.

A case says only what went wrong (`means`); this file says it as the provider asked would. Messages
are ours; types, codes and phrases are those that the dialects document and clients look for.
"""

import json

# fmt: off
# means: (status, type, code, param, message)
OPENAI = {
    "rate_limited": (429, "requests", "rate_limit_exceeded", None, "Rate limit reached."),
    "quota_exhausted": (
        429, "insufficient_quota", "insufficient_quota", None,
        "You exceeded your current quota, please check your plan and billing details."),
    "overloaded": (
        503, "service_unavailable_error", "server_is_overloaded", None, "Too much to do."),
    "upstream_error": (500, "server_error", "server_error", None, "The server had an error."),
    "timeout": (504, "timeout", None, None, "The model took too long to answer."),
    "auth": (
        401, "invalid_request_error", "invalid_api_key", None, "Incorrect API key provided."),
    "permission": (
        403, "request_forbidden", "unsupported_country_region_territory", None,
        "Country, region, or territory not supported."),
    "model_not_found": (
        404, "invalid_request_error", "model_not_found", None, "The model does not exist."),
    "invalid_request": (
        400, "invalid_request_error", "invalid_value", "temperature",
        "Invalid value for temperature."),
    "unprocessable": (
        422, "invalid_request_error", "unprocessable", None, "These messages make no sense."),
    "too_large": (413, "invalid_request_error", None, None, "The request is too large."),
    "context_length": (
        400, "invalid_request_error", "context_length_exceeded", "messages",
        "This model's maximum context length is 8 tokens, but 9 were sent."),
    "content_filter": (
        400, "invalid_request_error", "content_filter", "prompt", "The prompt was filtered."),
}

# means: (status, type, message)
ANTHROPIC = {
    "rate_limited": (429, "rate_limit_error", "This request would exceed the rate limit."),
    "quota_exhausted": (402, "billing_error", "There is a problem with your billing."),
    "overloaded": (529, "overloaded_error", "Overloaded"),
    "upstream_error": (500, "api_error", "Internal server error"),
    "timeout": (504, "timeout_error", "The request timed out."),
    "auth": (401, "authentication_error", "invalid x-api-key"),
    "permission": (403, "permission_error", "This key may not do that."),
    "model_not_found": (404, "not_found_error", "model: none-such"),
    "invalid_request": (400, "invalid_request_error", "temperature: must be at most 1"),
    "too_large": (413, "request_too_large", "Request exceeds the maximum size."),
    "context_length": (
        400, "invalid_request_error", "prompt is too long: 9 tokens > 8 maximum"),
    "content_filter": (
        400, "invalid_request_error", "Output blocked by content filtering policy"),
}

RPC = "type.googleapis.com/google.rpc."
PER_DAY = {
    "@type": RPC + "QuotaFailure",
    "violations": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel", "quotaValue": "50"}],
}
BAD_KEY = {"@type": RPC + "ErrorInfo", "reason": "API_KEY_INVALID", "domain": "googleapis.com"}

# means: (code, status, message, details)
GEMINI = {
    "rate_limited": (429, "RESOURCE_EXHAUSTED", "Resource has been exhausted.", []),
    "quota_exhausted": (
        429, "RESOURCE_EXHAUSTED", "You exceeded your current quota for the day.", [PER_DAY]),
    "overloaded": (503, "UNAVAILABLE", "The model is overloaded.", []),
    "upstream_error": (500, "INTERNAL", "An internal error has occurred.", []),
    "timeout": (504, "DEADLINE_EXCEEDED", "The deadline expired.", []),
    "auth": (
        400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.", [BAD_KEY]),
    "permission": (403, "PERMISSION_DENIED", "The caller does not have permission.", []),
    "model_not_found": (
        404, "NOT_FOUND", "models/none-such is not found for API version v1beta.", []),
    "invalid_request": (400, "INVALID_ARGUMENT", "Invalid value at 'temperature'.", []),
    "too_large": (413, "INVALID_ARGUMENT", "Request payload size exceeds the limit.", []),
    "context_length": (
        400, "INVALID_ARGUMENT",
        "The input token count (9) exceeds the maximum number of tokens allowed (8).", []),
}
# fmt: on
TABLES = {"openai": OPENAI, "azure": OPENAI, "anthropic": ANTHROPIC, "gemini": GEMINI}


def can_say(dialect, means):
    return means in TABLES[dialect]


def status_of(dialect, means):
    return TABLES[dialect][means][0]


def error_body(dialect, means, message=None, details=()):
    """The dialect's error as a JSON value. `details` exist in Gemini's dialect only."""
    if dialect == "anthropic":
        _, kind, words = ANTHROPIC[means]
        return {"type": "error", "error": {"type": kind, "message": message or words}}
    if dialect == "gemini":
        code, status, words, own = GEMINI[means]
        error = {"code": code, "message": message or words, "status": status}
        return {"error": {**error, "details": [*own, *details]} if own or details else error}
    _, kind, code, param, words = OPENAI[means]
    return {"error": {"message": message or words, "type": kind, "param": param, "code": code}}


def stream_error(call, means, message=None, form="usual"):
    """The events, each a block without its empty line, by which a provider tells a failure inside a
    stream. `form`: "usual", or a variant that some servers of this API send instead: "chunk" (a
    chat chunk that also has choices), "failed" (only response.failed), "flat" and "nested" (the
    two shapes of the error event), "array" (Google's)."""
    body = error_body(call.dialect, means, message)
    error = body["error"]
    if call.api == "messages":
        return ["event: error\n" + _data(body)]
    if call.api == "responses":
        return _responses_error(error, form)
    if form == "chunk":
        choice = {"index": 0, "delta": {"content": ""}, "finish_reason": "error"}
        return [_data({"id": "c", "object": "chat.completion.chunk", "choices": [choice], **body})]
    return [_data([body] if form == "array" else body)]


def _responses_error(error, form):
    failed = {
        "id": "resp_fake",
        "object": "response",
        "status": "failed",
        "output": [],
        "usage": None,
        "error": {"code": error["code"] or "server_error", "message": error["message"]},
    }
    flat = {
        "type": "error",
        "sequence_number": 90,
        "code": error["code"],
        "message": error["message"],
        "param": error["param"],
    }
    nested = {"type": "error", "sequence_number": 90, "error": error}
    last = {"type": "response.failed", "sequence_number": 91, "response": failed}
    events = {"failed": [last], "flat": [flat], "nested": [nested]}.get(form, [flat, last])
    return [f"event: {event['type']}\n" + _data(event) for event in events]


def _data(value):
    return "data: " + json.dumps(value, separators=(",", ":"))
