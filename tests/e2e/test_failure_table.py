"""The table of failures (DESIGN, section 4) for the OpenAI and Azure dialects: what the provider
did, and the status, headers and body that the client gets, streaming and not."""

import dataclasses
import typing

import pytest

from support.programs import RefusingAddress

PAIR = {"routes": 200, "hasty": {"mute": {"first_byte": "500ms", "idle": "500ms"}}}


@dataclasses.dataclass
class Row:
    name: str
    behaviour: dict
    kind: str
    status: int
    should_retry: bool
    falls_back: bool
    message: typing.Optional[str] = None  # the provider's own words, kept
    code: typing.Optional[str] = None


def openai_error(message, type_="server_error", code=None, param=None):
    return {"error": {"message": message, "type": type_, "param": param, "code": code}}


CALLER = {"should_retry": False, "falls_back": False}
PROVIDER = {"should_retry": True, "falls_back": True}
OPERATOR = {"should_retry": False, "falls_back": True}

ROWS = [
    Row(
        "429",
        {
            "status": 429,
            "body": openai_error(
                "Rate limit reached for requests.", "requests", "rate_limit_exceeded"
            ),
        },
        "rate_limited",
        429,
        **PROVIDER,
        message="Rate limit reached for requests.",
        code="rate_limit_exceeded",
    ),
    Row("429 without a body", {"status": 429, "body": ""}, "rate_limited", 429, **PROVIDER),
    Row(
        "429 cut short",
        {"status": 429, "body": openai_error("x" * 999), "cut_after_bytes": 99, "end": "close"},
        "rate_limited",
        429,
        **PROVIDER,
    ),
    Row(
        "429 as HTML",
        {"status": 429, "body": "<html>slow down</html>", "content_type": "text/html"},
        "rate_limited",
        429,
        **PROVIDER,
    ),
    Row(
        "403 that says rate limit",
        {
            "status": 403,
            "body": openai_error("Too many requests", "requests", "rate_limit_exceeded"),
        },
        "rate_limited",
        429,
        **PROVIDER,
    ),
    Row(
        "429 insufficient quota",
        {
            "status": 429,
            "body": openai_error(
                "You exceeded your current quota.", "insufficient_quota", "insufficient_quota"
            ),
        },
        "quota_exhausted",
        429,
        **OPERATOR,
        code="insufficient_quota",
    ),
    Row(
        "402",
        {"status": 402, "body": openai_error("Insufficient balance", "billing_error")},
        "quota_exhausted",
        502,
        **OPERATOR,
    ),
    Row(
        "503",
        {"status": 503, "body": openai_error("The engine is overloaded.", "server_error")},
        "overloaded",
        503,
        **PROVIDER,
        message="The engine is overloaded.",
    ),
    Row(
        "529",
        {"status": 529, "body": openai_error("Overloaded", "overloaded_error")},
        "overloaded",
        503,
        **PROVIDER,
    ),
    Row(
        "500",
        {"status": 500, "body": openai_error("The server had an error.")},
        "upstream_error",
        500,
        **PROVIDER,
        message="The server had an error.",
    ),
    Row(
        "502 as HTML",
        {
            "status": 502,
            "body": "<html><h1>502 Bad Gateway</h1></html>",
            "content_type": "text/html",
        },
        "upstream_error",
        502,
        **PROVIDER,
    ),
    Row(
        "504", {"status": 504, "body": "", "content_type": ""}, "upstream_timeout", 504, **PROVIDER
    ),
    Row(
        "503 reset within its words",
        {"status": 503, "body": openai_error("x" * 999), "cut_after_bytes": 99, "end": "reset"},
        "overloaded",
        503,
        **PROVIDER,
    ),
    Row(
        "400 cut short",
        {"status": 400, "body": openai_error("x" * 999), "cut_after_bytes": 99, "end": "close"},
        "upstream_interrupted",
        502,
        **PROVIDER,
    ),
    Row("520", {"status": 520, "body": "error code: 520"}, "upstream_error", 502, **PROVIDER),
    Row("524", {"status": 524, "body": "error code: 524"}, "upstream_timeout", 504, **PROVIDER),
    Row("599", {"status": 599, "body": ""}, "upstream_error", 502, **PROVIDER),
    Row(
        "408 of a middleman",
        {"status": 408, "body": openai_error("Upstream timed out", "timeout")},
        "upstream_timeout",
        504,
        **PROVIDER,
    ),
    Row("no first byte", {"before_headers": "stall"}, "upstream_timeout", 504, **PROVIDER),
    Row(
        "headers and then nothing",
        {"cut_after_bytes": 0, "end": "stall"},
        "upstream_timeout",
        504,
        **PROVIDER,
    ),
    Row(
        "closed before any byte",
        {"before_headers": "close"},
        "upstream_unreachable",
        502,
        **PROVIDER,
    ),
    Row(
        "reset before any byte",
        {"before_headers": "reset"},
        "upstream_unreachable",
        502,
        **PROVIDER,
    ),
    Row(
        "no HTTP", {"raw": "220 smtp.example ESMTP\r\n\r\n"}, "upstream_malformed", 502, **PROVIDER
    ),
    Row(
        "HTML under a 200",
        {"body": "<html>Welcome</html>", "content_type": "text/html"},
        "upstream_malformed",
        502,
        **PROVIDER,
    ),
    Row("an empty 200", {"body": ""}, "upstream_malformed", 502, **PROVIDER),
    Row(
        "a 200 that is no JSON",
        {"body": '{"id": "c1", "choices": [{'},
        "upstream_malformed",
        502,
        **PROVIDER,
    ),
    Row(
        "a 200 of another shape",
        {"body": {"hello": "world"}},
        "upstream_malformed",
        502,
        **PROVIDER,
    ),
    Row(
        "a 200 without choices",
        {"body": {"id": "c1", "object": "chat.completion", "choices": []}},
        "upstream_malformed",
        502,
        **PROVIDER,
    ),
    Row(
        "headers without an end",
        {"header_padding": 2_000_000},
        "upstream_malformed",
        502,
        **PROVIDER,
    ),
    Row(
        "200 with an error object",
        {"body": openai_error("The model crashed.")},
        "upstream_error",
        500,
        **PROVIDER,
        message="The model crashed.",
    ),
    Row(
        "200 with status failed",
        {
            "body": {
                "id": "x",
                "status": "failed",
                "choices": [],
                "error": {"message": "died", "code": "server_error"},
            }
        },
        "upstream_error",
        500,
        **PROVIDER,
    ),
    Row(
        "401",
        {
            "status": 401,
            "body": openai_error(
                "Incorrect API key provided.", "invalid_request_error", "invalid_api_key"
            ),
        },
        "provider_auth",
        502,
        **OPERATOR,
        code="provider_auth",
    ),
    Row(
        "403",
        {
            "status": 403,
            "body": openai_error(
                "Country not supported", "request_forbidden", "unsupported_country_region_territory"
            ),
        },
        "provider_auth",
        502,
        **OPERATOR,
    ),
    Row(
        "404 model",
        {
            "status": 404,
            "body": openai_error(
                "The model does not exist.", "invalid_request_error", "model_not_found"
            ),
        },
        "model_not_found",
        404,
        **OPERATOR,
        code="model_not_found",
    ),
    Row(
        "400",
        {
            "status": 400,
            "body": openai_error(
                "Invalid value for temperature.",
                "invalid_request_error",
                "invalid_value",
                "temperature",
            ),
        },
        "invalid_request",
        400,
        **CALLER,
        message="Invalid value for temperature.",
        code="invalid_value",
    ),
    Row(
        "400 context length",
        {
            "status": 400,
            "body": openai_error(
                "This model's maximum context length is 8192 tokens.",
                "invalid_request_error",
                "context_length_exceeded",
                "messages",
            ),
        },
        "context_length",
        400,
        **CALLER,
        code="context_length_exceeded",
    ),
    Row(
        "400 content filter",
        {
            "status": 400,
            "body": openai_error(
                "The response was filtered.", "invalid_request_error", "content_filter", "prompt"
            ),
        },
        "content_filter",
        400,
        **CALLER,
        code="content_filter",
    ),
    Row(
        "413",
        {"status": 413, "body": openai_error("Request too large", "invalid_request_error")},
        "too_large",
        413,
        **CALLER,
    ),
    Row(
        "422",
        {"status": 422, "body": openai_error("Unprocessable", "invalid_request_error")},
        "unprocessable",
        422,
        **CALLER,
    ),
]


def assert_reply_is(reply, row, route):
    assert (reply.status, reply.kind()) == (row.status, row.kind), reply
    assert reply.header("x-should-retry") == ("true" if row.should_retry else "false")
    if row.should_retry and row.status in (429, 503):
        assert reply.wait_ms() > 0
    if not row.should_retry:
        assert reply.header("retry-after") is None
        assert reply.header("retry-after-ms") is None
    error = reply.error()
    candor = error["candor"]
    assert candor["kind"] == row.kind
    assert candor["provider"] == route.first.name
    assert candor["upstream_status"] == _status_sent(row)
    assert candor["request_id"] == reply.header("x-request-id")
    assert [attempt["kind"] for attempt in candor["attempts"]] == [row.kind]
    assert row.message is None or error["message"] == row.message
    assert row.code is None or error["code"] == row.code


def route_for(pair, row, dialect):
    """Where the provider falls silent, one whose gateway is not patient."""
    is_silent = "stall" in row.behaviour.values()
    return pair.hasty("mute", dialect) if is_silent else pair.route_of(dialect)


def _status_sent(row):
    """What the provider answered; nothing when its answer broke off or was no HTTP, unless it had
    blamed itself before."""
    status = row.behaviour.get("status", 200)
    if "cut_after_bytes" in row.behaviour and (status == 429 or status >= 500):
        return status
    if {"before_headers", "raw", "header_padding", "cut_after_bytes"} & set(row.behaviour):
        return None
    return status


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("dialect", ["openai", "azure"])
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_row_reaches_the_client(pair, row, dialect, stream):
    route = route_for(pair, row, dialect)
    # A reused connection that breaks is tried once more; that is another test's matter.
    route.first.always(**row.behaviour)

    reply = pair.gateway.chat(route.model, stream=stream)

    assert_reply_is(reply, row, route)
    assert len(route.first.wait_for_attempts(1)) == 1


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_row_falls_back_or_not(pair, row):
    is_silent = "stall" in row.behaviour.values()
    route = pair.hasty_duo("mute") if is_silent else pair.duo()
    route.first.always(**row.behaviour)

    reply = pair.gateway.chat(route.model)

    if row.falls_back:
        assert reply.status == 200, reply
        assert reply.header("x-candor-attempts").startswith(f"{route.first.name}:{row.kind}:")
    else:
        assert_reply_is(reply, row, route)
    route.first.wait_for_attempts(1)
    assert route.attempt_counts() == [1, 1 if row.falls_back else 0]


HOPE = [
    "rate_limited",
    "overloaded",
    "upstream_timeout",
    "upstream_error",
    "upstream_unreachable",
    "upstream_malformed",
    "quota_exhausted",
    "provider_auth",
    "model_not_found",
]
ROW_OF_KIND = {row.kind: row for row in reversed(ROWS)}


@pytest.mark.parametrize("better, worse", list(zip(HOPE, HOPE[1:])))
@pytest.mark.parametrize("is_better_first", [True, False], ids=["better first", "worse first"])
def test_of_several_failures_the_most_hopeful_is_told(pair, better, worse, is_better_first):
    route = pair.duo()
    kinds = [better, worse] if is_better_first else [worse, better]
    for provider, kind in zip(route.providers, kinds):
        provider.always(**ROW_OF_KIND[kind].behaviour)

    reply = pair.gateway.chat(route.model)

    assert reply.kind() == better
    assert [a["kind"] for a in reply.error()["candor"]["attempts"]] == kinds


def test_nobody_listens(programs, pair):
    with RefusingAddress() as refusing:
        assert_unreachable(programs, pair, str(refusing))


def assert_unreachable(programs, pair, address):
    config = {
        **pair.config,
        "providers": [
            {"name": "gone", "dialect": "openai", "base_url": f"http://{address}/v1"},
            {
                "name": "no-such-host",
                "dialect": "openai",
                "base_url": "http://no-such-host.invalid/v1",
            },
            pair.openai_provider("there"),
        ],
        "models": [
            {"name": "gone", "targets": [{"provider": "gone", "model": "m"}]},
            {"name": "unknown", "targets": [{"provider": "no-such-host", "model": "m"}]},
            {
                "name": "both",
                "targets": [
                    {"provider": "gone", "model": "m"},
                    {"provider": "there", "model": "m"},
                ],
            },
        ],
    }
    gateway = programs.gateway(config)

    for model in ("gone", "unknown"):
        reply = gateway.chat(model)
        assert (reply.status, reply.kind()) == (502, "upstream_unreachable"), reply
        assert address not in reply.text(), "the operator's addresses are nobody's business"
    assert gateway.chat("both").status == 200
