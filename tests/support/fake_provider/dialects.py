"""What healthy providers answer, and how each words an error: OpenAI, Azure, Anthropic, Gemini.

`locate` tells from a path who is asked and for what; the first path segment before the API's own
root names the provider, so that one process can stand in for many:
/backup/v1/chat/completions is provider "backup".
"""

import dataclasses
import json
import re
import time
import urllib.parse

WORDS = ("Honest", " answers", " travel", " far", " and", " arrive", " whole")


@dataclasses.dataclass
class Call:
    """One request as the dialect understands it."""

    dialect: str  # "openai", "azure", "anthropic", "gemini" or "" for an unknown path
    api: str  # "chat", "completions", "embeddings", "responses", "models", "messages", "generate"
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
    ("anthropic", re.compile(r"^(?:/([^/]+))?/v1()/(messages)$")),
    (
        "gemini",
        re.compile(
            r"^(?:/([^/]+))?/v1(?:beta)?/models/([^/:]+):(generateContent|streamGenerateContent)$"
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


def healthy_body(call, texts):
    """The complete answer as JSON; `texts` are the pieces of the model's words."""
    return _BODIES[call.api](call, texts)


def healthy_events(call, texts):
    """The streamed answer: each item one event-stream block without its empty line."""
    return _EVENTS[call.api](call, texts)


def can_stream(call):
    return call.is_stream and call.api in _EVENTS


def pieces(count, size):
    """`count` pieces of text of `size` bytes each; lazily, for streams without an end."""
    for number in range(count):
        word = WORDS[number % len(WORDS)]
        yield word if not size else word.ljust(size, ".")[:size]


def _data(value):
    return "data: " + json.dumps(value, separators=(",", ":"))


def _named(name, value):
    return f"event: {name}\n" + _data({"type": name, **value})


def _usage(count):
    return {"prompt_tokens": 7, "completion_tokens": count, "total_tokens": 7 + count}


def _chat_body(call, texts):
    texts = list(texts)
    return {
        "id": f"chatcmpl-fake{call.number}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": call.model,
        "usage": _usage(len(texts)),
        "choices": [
            {
                "index": 0,
                "finish_reason": "stop",
                "logprobs": None,
                "message": {"role": "assistant", "content": "".join(texts), "refusal": None},
            }
        ],
    }


def _chat_events(call, texts):
    def chunk(delta, finish=None):
        return {
            "id": f"chatcmpl-fake{call.number}",
            "object": "chat.completion.chunk",
            "created": created,
            "model": call.model,
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
        }

    created = int(time.time())
    count = 0
    if call.dialect == "azure":
        yield _data({**chunk({}), "choices": [], "prompt_filter_results": []})
    yield _data(chunk({"role": "assistant", "content": ""}))
    for text in texts:
        count += 1
        yield _data(chunk({"content": text}))
    yield _data(chunk({}, finish="stop"))
    if (call.body.get("stream_options") or {}).get("include_usage"):
        yield _data({**chunk({}), "choices": [], "usage": _usage(count)})
    yield "data: [DONE]"


def _completion_body(call, texts):
    texts = list(texts)
    return {
        "id": f"cmpl-fake{call.number}",
        "object": "text_completion",
        "created": int(time.time()),
        "model": call.model,
        "usage": _usage(len(texts)),
        "choices": [
            {"index": 0, "text": "".join(texts), "finish_reason": "stop", "logprobs": None}
        ],
    }


def _completion_events(call, texts):
    head = {
        "id": f"cmpl-fake{call.number}",
        "object": "text_completion",
        "created": int(time.time()),
        "model": call.model,
    }
    for text in texts:
        yield _data({**head, "choices": [{"index": 0, "text": text, "finish_reason": None}]})
    yield _data({**head, "choices": [{"index": 0, "text": "", "finish_reason": "stop"}]})
    yield "data: [DONE]"


def _embedding_body(call, _):
    inputs = call.body.get("input", "")
    inputs = inputs if isinstance(inputs, list) else [inputs]
    # The SDKs ask for base64 by default: three little-endian floats 0.25, 0.5, 0.75.
    vector = (
        "AACAPgAAAD8AAEA/" if call.body.get("encoding_format") == "base64" else [0.25, 0.5, 0.75]
    )
    return {
        "object": "list",
        "model": call.model,
        "usage": {"prompt_tokens": 4, "total_tokens": 4},
        "data": [
            {"object": "embedding", "index": i, "embedding": vector} for i in range(len(inputs))
        ],
    }


def _models_body(call, _):
    models = [
        {"id": name, "object": "model", "created": 1700000000, "owned_by": "fake"}
        for name in ("fake-large", "fake-small")
    ]
    return {"object": "list", "data": models}


def _response_object(call, texts, status):
    output = [
        {
            "id": f"msg_fake{call.number}",
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "".join(texts), "annotations": []}],
        }
    ]
    return {
        "id": f"resp_fake{call.number}",
        "object": "response",
        "created_at": int(time.time()),
        "status": status,
        "model": call.model,
        "error": None,
        "incomplete_details": None,
        "output": output if status == "completed" else [],
        "parallel_tool_calls": True,
        "tools": [],
        "tool_choice": "auto",
        "usage": (
            None
            if status != "completed"
            else {
                "input_tokens": 7,
                "output_tokens": len(texts),
                "total_tokens": 7 + len(texts),
                "input_tokens_details": {"cached_tokens": 0},
                "output_tokens_details": {"reasoning_tokens": 0},
            }
        ),
    }


def _responses_body(call, texts):
    return _response_object(call, list(texts), "completed")


def _responses_events(call, texts):
    number = 0

    def event(name, value):
        nonlocal number
        number += 1
        return _named(name, {"sequence_number": number - 1, **value})

    place = {"item_id": f"msg_fake{call.number}", "output_index": 0, "content_index": 0}
    said = []
    yield event("response.created", {"response": _response_object(call, [], "in_progress")})
    yield event("response.in_progress", {"response": _response_object(call, [], "in_progress")})
    item = {"id": place["item_id"], "type": "message", "role": "assistant", "content": []}
    yield event(
        "response.output_item.added", {"output_index": 0, "item": {**item, "status": "in_progress"}}
    )
    yield event(
        "response.content_part.added",
        {**place, "part": {"type": "output_text", "text": "", "annotations": []}},
    )
    for text in texts:
        said.append(text)
        yield event("response.output_text.delta", {**place, "delta": text, "logprobs": []})
    done = {"type": "output_text", "text": "".join(said), "annotations": []}
    yield event("response.output_text.done", {**place, "text": done["text"], "logprobs": []})
    yield event("response.content_part.done", {**place, "part": done})
    yield event(
        "response.output_item.done",
        {"output_index": 0, "item": {**item, "status": "completed", "content": [done]}},
    )
    yield event("response.completed", {"response": _response_object(call, said, "completed")})


def _messages_body(call, texts):
    texts = list(texts)
    return {
        "id": f"msg_fake{call.number}",
        "type": "message",
        "role": "assistant",
        "model": call.model,
        "content": [{"type": "text", "text": "".join(texts)}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 7, "output_tokens": len(texts)},
    }


def _messages_events(call, texts):
    message = {**_messages_body(call, []), "content": [], "stop_reason": None}
    count = 0
    yield _named("message_start", {"message": message})
    yield _named("content_block_start", {"index": 0, "content_block": {"type": "text", "text": ""}})
    yield _named("ping", {})
    for text in texts:
        count += 1
        yield _named(
            "content_block_delta", {"index": 0, "delta": {"type": "text_delta", "text": text}}
        )
    yield _named("content_block_stop", {"index": 0})
    yield _named(
        "message_delta",
        {
            "delta": {"stop_reason": "end_turn", "stop_sequence": None},
            "usage": {"output_tokens": count},
        },
    )
    yield _named("message_stop", {})


def _generate_part(call, text, finish=None):
    candidate = {"content": {"role": "model", "parts": [{"text": text}]}, "index": 0}
    if finish:
        candidate["finishReason"] = finish
    return {
        "candidates": [candidate],
        "modelVersion": call.model,
        "responseId": f"fake{call.number}",
        "usageMetadata": {"promptTokenCount": 7, "candidatesTokenCount": 1, "totalTokenCount": 8},
    }


def _generate_body(call, texts):
    return _generate_part(call, "".join(texts), "STOP")


def _generate_events(call, texts):
    for text in texts:
        yield _data(_generate_part(call, text))
    yield _data(_generate_part(call, "", "STOP"))


_BODIES = {
    "chat": _chat_body,
    "completions": _completion_body,
    "embeddings": _embedding_body,
    "models": _models_body,
    "responses": _responses_body,
    "messages": _messages_body,
    "generate": _generate_body,
}
_EVENTS = {
    "chat": _chat_events,
    "completions": _completion_events,
    "responses": _responses_events,
    "messages": _messages_events,
    "generate": _generate_events,
}
