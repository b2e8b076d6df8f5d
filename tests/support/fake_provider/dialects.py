"""What healthy providers answer, and how each words an error: OpenAI, Azure, Anthropic, Gemini.

`locate` tells from a path who is asked and for what; the first path segment before the API's own
root names the provider, so that one process can stand in for many:
/backup/v1/chat/completions is provider "backup".
"""

import dataclasses
import json
import re
import urllib.parse

import anthropic_answers
import gemini_answers
import openai_answers
import responses_answers

WORDS = ("Honest", " answers", " travel", " far", " and", " arrive", " whole")


@dataclasses.dataclass
class Call:
    """One request as the dialect understands it."""

    dialect: str  # "openai", "azure", "anthropic", "gemini" or "" for an unknown path
    api: str  # "chat", "responses", "messages", "generate" ...: a key of _BODIES
    provider: str  # "default" when the path names none
    model: str
    is_stream: bool
    body: dict
    number: int = 0  # counts calls; makes ids differ


ROUTES = (
    (
        "azure",
        re.compile(
            r"^(?:/([^/]+))?/openai/deployments/([^/]+)/(chat/completions|completions|embeddings)$"
        ),
    ),
    ("azure", re.compile(r"^(?:/([^/]+))?/openai(?:/v1)?()/(responses)$")),
    ("anthropic", re.compile(r"^(?:/([^/]+))?/v1()/(messages(?:/count_tokens)?)$")),
    (
        "gemini",
        re.compile(
            r"^(?:/([^/]+))?/v1(?:beta)?/models/([^/:]+)"
            r":(generateContent|streamGenerateContent|embedContent|batchEmbedContents)$"
        ),
    ),
    (
        "openai",
        re.compile(
            r"^(?:/([^/]+))?/v1()/(chat/completions|completions|embeddings|responses|models)$"
        ),
    ),
)

API_OF_ROUTE = {
    "chat/completions": "chat",
    "messages/count_tokens": "count_tokens",
    "generateContent": "generate",
    "streamGenerateContent": "generate",
}


def locate(target, body):
    """The Call that a request is. An unreadable body reads as an empty one."""
    path = urllib.parse.urlsplit(target).path
    try:
        parsed = json.loads(body) if body else {}
    except ValueError:
        parsed = {}
    parsed = parsed if isinstance(parsed, dict) else {}
    for dialect, pattern in ROUTES:
        if match := pattern.match(path):
            provider, model, route = match.groups()
            return Call(
                dialect=dialect,
                api=API_OF_ROUTE.get(route, route),
                provider=urllib.parse.unquote(provider or "default"),
                model=urllib.parse.unquote(model) or str(parsed.get("model", "")),
                is_stream=route == "streamGenerateContent" or parsed.get("stream") is True,
                body=parsed,
            )
    return Call("", "", path.split("/")[1] or "default", "", False, parsed)


def missing_credential(call, request):
    """Whether a provider of this dialect would refuse the request for want of a key. Servers that
    speak OpenAI's dialect often need none."""
    query = urllib.parse.parse_qs(urllib.parse.urlsplit(request.target).query)
    if call.dialect == "azure":
        return not request.header("api-key")
    if call.dialect == "anthropic":
        return not request.header("x-api-key")
    if call.dialect == "gemini":
        return not (request.header("x-goog-api-key") or query.get("key"))
    return False


def usual_headers(call):
    """What the provider sends beside any answer."""
    if call.dialect == "azure":
        return [
            ("apim-request-id", f"apim-{call.number}"),
            ("x-ms-region", "Fake Central"),
            ("x-ratelimit-remaining-requests", "99"),
            ("x-ratelimit-remaining-tokens", "99000"),
        ]
    if call.dialect == "anthropic":
        return [
            ("request-id", f"req_fake_{call.number}"),
            ("anthropic-ratelimit-requests-remaining", "49"),
        ]
    if call.dialect == "gemini":
        return [("server", "scaffolding on HTTPServer2")]
    return [
        ("x-request-id", f"req_fake_{call.number}"),
        ("openai-processing-ms", "12"),
        ("x-ratelimit-limit-requests", "100"),
        ("x-ratelimit-remaining-requests", "99"),
        ("x-ratelimit-reset-requests", "600ms"),
    ]


def error_body(call, status, message=None):
    """The dialect's own words for `status`."""
    message = message or f"The fake provider was told to answer {status}."
    if call.dialect == "anthropic":
        kind = {
            401: "authentication_error",
            429: "rate_limit_error",
            529: "overloaded_error",
            400: "invalid_request_error",
            404: "not_found_error",
        }.get(status, "api_error")
        return {"type": "error", "error": {"type": kind, "message": message}}
    if call.dialect == "gemini":
        name = {
            400: "INVALID_ARGUMENT",
            401: "UNAUTHENTICATED",
            404: "NOT_FOUND",
            429: "RESOURCE_EXHAUSTED",
            503: "UNAVAILABLE",
        }.get(status, "INTERNAL")
        return {"error": {"code": status, "message": message, "status": name}}
    if call.dialect == "azure":
        return {"error": {"code": str(status), "message": message}}
    kind, code = {
        400: ("invalid_request_error", None),
        401: ("invalid_request_error", "invalid_api_key"),
        404: ("invalid_request_error", "model_not_found"),
        429: ("requests", "rate_limit_exceeded"),
        503: ("service_unavailable_error", "server_is_overloaded"),
    }.get(status, ("server_error", None))
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def healthy_body(call, answer):
    """The complete answer as JSON."""
    return _BODIES[call.api](call, answer)


def healthy_events(call, answer):
    """The streamed answer: each item one event-stream block without its empty line."""
    return _EVENTS[call.api](call, answer)


def can_stream(call):
    return call.is_stream and call.api in _EVENTS


def pieces(count, size):
    """`count` pieces of text of `size` bytes each; lazily, for streams without an end."""
    for number in range(count):
        word = WORDS[number % len(WORDS)]
        yield word if not size else word.ljust(size, ".")[:size]


_BODIES = {
    "chat": openai_answers.chat_body,
    "completions": openai_answers.completion_body,
    "embeddings": openai_answers.embedding_body,
    "models": openai_answers.models_body,
    "responses": responses_answers.body,
    "messages": anthropic_answers.body,
    "count_tokens": anthropic_answers.count_body,
    "generate": gemini_answers.body,
    "embedContent": gemini_answers.embedding_body,
    "batchEmbedContents": gemini_answers.embeddings_body,
}
_EVENTS = {
    "chat": openai_answers.chat_events,
    "completions": openai_answers.completion_events,
    "responses": responses_answers.events,
    "messages": anthropic_answers.events,
    "generate": gemini_answers.events,
}
