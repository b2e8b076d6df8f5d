"""The four public bug reports that gave birth to this gateway (DESIGN, section 1). Each stays a
named test."""

import json

import pytest

from support.clients import CLIENTS, EMBEDDINGS

PAIR = {"gateways": 2}

ENVELOPE_2005 = {
    "success": False,
    "result": [],
    "messages": [],
    "error": [{"code": 2005, "message": "Failed to get a response from the provider"}],
}

ABSURD_TIMING = {
    "no header": [],
    "negative": [("retry-after", "-5")],
    "not a number": [("retry-after", "NaN")],
    "infinite": [("retry-after", "inf")],
    "year 9999": [("retry-after", "Fri, 31 Dec 9999 23:59:59 GMT")],
    "empty": [("retry-after", "")],
    "two values": [("retry-after", "3"), ("retry-after", "86400000000")],
    "overflow": [("retry-after", "18446744073709551617"), ("retry-after-ms", "1e400")],
    "words": [("retry-after", "soon")],
    "a date in the past": [("retry-after", "Mon, 01 Jan 2001 00:00:00 GMT")],
    "reset of a full bucket": [("x-ratelimit-reset-requests", "83h10m39.057s")],
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("dialect", ["openai", "azure"])
def test_swallowed_429_stays_429_with_timing(pair, dialect, stream):
    route = pair.route_of(dialect)
    route.first.next(status=429, headers={"retry-after": "20"})

    reply = pair.gateway.chat(route.model, stream=stream)

    assert reply.status == 429, reply
    assert reply.kind() == "rate_limited"
    # At least what the provider asked for; at most its jitter of 20 % and a second of spread more.
    assert 19_500 <= reply.wait_ms() <= 25_100
    assert reply.header("x-should-retry") == "true"
    error = reply.error()
    assert error["code"] in ("rate_limit_exceeded", "429")
    assert error["candor"]["upstream_status"] == 429
    assert error["candor"]["fault"] == "provider"


# As the report had it: there the answer was 200 with `status: "failed"`, no output and no usage.
@pytest.mark.parametrize("stream", [False, True])
def test_swallowed_429_on_responses_of_a_gemini_model(pair, stream):
    route = pair.route_of("gemini")
    route.first.next(
        status=429,
        body={
            "error": {
                "code": 429,
                "message": "Resource has been exhausted. Please retry in 20.5s.",
                "status": "RESOURCE_EXHAUSTED",
                "details": [
                    {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "20s"}
                ],
            }
        },
    )
    body = {"model": route.model, "input": "hi", "stream": stream}

    reply = pair.gateway.post("/v1/responses", body)

    assert reply.status == 429, reply
    assert reply.kind() == "rate_limited"
    assert 20_500 <= reply.wait_ms() <= 25_700
    assert reply.header("x-should-retry") == "true"
    error = reply.error()
    assert error["message"].startswith("Resource has been exhausted.")
    assert "Please try again in 2" in error["message"]
    assert error["code"] == "rate_limit_exceeded"
    assert error["candor"]["provider"] == route.first.name
    assert "failed" not in reply.json()
    # The other replica knows it, too.
    again = pair.gateways[1].post("/v1/responses", body)
    assert (again.status, again.kind()) == (503, "no_provider_available")
    assert route.first.attempt_count() == 1


EVERY_ENDPOINT = [
    (client, dialect, stream)
    for client in CLIENTS.values()
    for dialect in ("openai", "anthropic", "gemini")
    for stream in (False, True)
] + [(EMBEDDINGS, dialect, False) for dialect in ("openai", "gemini")]


@pytest.mark.parametrize(
    "client, dialect, stream",
    EVERY_ENDPOINT,
    ids=[f"{client.name}-{dialect}-{stream}" for client, dialect, stream in EVERY_ENDPOINT],
)
def test_swallowed_429_stays_429_on_every_endpoint(pair, client, dialect, stream):
    route = pair.route_of(dialect)
    route.first.next(status=429, headers={"retry-after": "20"})

    reply = client.ask(pair.gateway, route.model, stream=stream)

    assert reply.status == 429, reply
    assert client.failure(reply)["candor"]["kind"] == "rate_limited"
    assert reply.wait_ms() >= 19_500


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", [400, 200])
def test_providers_failure_dressed_as_400_is_502(pair, status, stream):
    route = pair.solo()
    route.first.next(status=status, body=ENVELOPE_2005)

    reply = pair.gateway.chat(route.model, stream=stream)

    assert reply.status == 502, reply
    assert reply.kind() == "upstream_error"
    assert reply.header("x-should-retry") == "true"
    assert reply.error()["candor"]["upstream_status"] == status


def test_providers_failure_dressed_as_400_falls_back(pair):
    route = pair.duo()
    route.first.next(status=400, body=ENVELOPE_2005)

    reply = pair.gateway.chat(route.model)

    assert reply.status == 200, reply
    assert route.attempt_counts() == [1, 1]


@pytest.mark.parametrize("headers", ABSURD_TIMING.values(), ids=ABSURD_TIMING.keys())
def test_429_with_absurd_timing_opens_a_backoff_and_falls_back(pair, headers):
    route = pair.duo()
    route.first.always(status=429, headers=headers)

    reply = pair.gateways[0].chat(route.model)
    assert reply.status == 200, reply
    assert reply.header("x-candor-provider") == route.second.name

    seen_by_the_other_replica = pair.gateways[1].chat(route.model)
    assert seen_by_the_other_replica.status == 200
    assert f"{route.first.name}:refused(backoff):" in seen_by_the_other_replica.header(
        "x-candor-attempts"
    )
    assert route.attempt_counts() == [1, 2]


@pytest.mark.parametrize("headers", ABSURD_TIMING.values(), ids=ABSURD_TIMING.keys())
def test_429_with_absurd_timing_tells_a_sane_wait(pair, headers):
    route = pair.solo()
    route.first.next(status=429, headers=headers)

    reply = pair.gateway.chat(route.model)

    assert reply.status == 429, reply
    assert 1 <= reply.wait_ms() <= 60_000


REJECTIONS = {
    "503 of an orchestrator": {
        "status": 503,
        "body": {
            "error": {
                "message": "Request rejected: no capacity for this model.",
                "type": "capacity_exceeded",
                "code": "no_capacity",
            }
        },
    },
    "plain text": {"status": 503, "body": "no capacity", "content_type": "text/plain"},
    "529": {"status": 529, "body": {"error": {"message": "Overloaded"}}},
    "a 200 that says overloaded": {
        "status": 200,
        "body": {
            "error": {
                "message": "Too many requests in the queue, try later.",
                "type": "server_error",
                "param": None,
                "code": "server_is_overloaded",
            }
        },
    },
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("rejection", REJECTIONS.values(), ids=REJECTIONS.keys())
def test_rejected_request_is_503_with_timing_and_diagnostics(pair, rejection, stream):
    route = pair.solo()
    diagnostics = {
        "retry-after": "7",
        "x-request-id": "req_rejected",
        "x-ratelimit-remaining-requests": "0",
    }
    route.first.next(**rejection, headers=diagnostics)

    reply = pair.gateway.chat(route.model, stream=stream)

    assert reply.status == 503, reply
    assert reply.kind() == "overloaded"
    assert reply.header("x-should-retry") == "true"
    assert reply.header("x-candor-upstream-request-id") == "req_rejected"
    assert reply.header("x-ratelimit-remaining-requests") == "0"
    assert reply.header("x-candor-attempts").startswith(f"{route.first.name}:overloaded:")
    assert reply.error()["candor"]["kind"] == "overloaded"
    assert "choices" not in json.loads(reply.body)
    if rejection["status"] >= 400:
        assert reply.wait_ms() >= 6_500
    else:
        # A success status carries no wait that may be believed, yet a 503 always tells one.
        assert reply.wait_ms() > 0
