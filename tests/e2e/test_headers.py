"""Every header of DESIGN section 5: on success, on failure, and what must not come through."""

import re
import uuid

import pytest

ATTEMPT = re.compile(r"([\w-]+):([\w()]+):(\d+)ms")
EVERY_RESPONSE = [
    "x-request-id",
    "x-candor-provider",
    "x-candor-model",
    "x-candor-attempts",
    "x-candor-latency-ms",
    "x-candor-overhead-ms",
]


def attempts_of(reply):
    return [
        ATTEMPT.fullmatch(part).groups()[:2]
        for part in reply.header("x-candor-attempts").split(", ")
    ]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("dialect", ["openai", "azure"])
def test_success_has_them_all(pair, dialect, stream):
    route = pair.route_of(dialect)
    reply = pair.gateway.chat(route.model, stream=stream)

    assert all(reply.header(name) is not None for name in EVERY_RESPONSE), reply
    assert reply.header("x-candor-provider") == route.first.name
    assert reply.header("x-candor-model") == route.first.attempts()[0].model
    assert attempts_of(reply) == [(route.first.name, "ok")]
    assert (
        0 <= int(reply.header("x-candor-overhead-ms")) <= int(reply.header("x-candor-latency-ms"))
    )
    for name in (
        "retry-after",
        "retry-after-ms",
        "x-should-retry",
        "x-candor-error",
        "x-candor-degraded",
    ):
        assert reply.header(name) is None


@pytest.mark.parametrize(
    "ask",
    [
        lambda gateway: gateway.chat("no-such-model"),
        lambda gateway: gateway.post("/v1/chat/completions", b"{"),
        lambda gateway: gateway.post("/v1/no-such-route", {}),
        lambda gateway: gateway.get("/v1/chat/completions"),
        lambda gateway: gateway.get("/v1/models"),
    ],
    ids=["unknown model", "broken JSON", "unknown route", "bad method", "models"],
)
def test_even_without_a_provider(pair, ask):
    reply = ask(pair.gateway)

    assert uuid.UUID(reply.header("x-request-id")).version == 7
    assert reply.header("x-candor-provider") == "none"
    assert int(reply.header("x-candor-latency-ms")) >= 0


def test_latency_holds_the_wait_for_the_provider_and_overhead_does_not(pair):
    route = pair.solo()
    route.first.next(delay_ms=300)
    reply = pair.gateway.chat(route.model)

    latency = int(reply.header("x-candor-latency-ms"))
    assert latency >= 299
    assert int(reply.header("x-candor-overhead-ms")) <= latency - 299


@pytest.mark.parametrize("given", ["abc", "req-" + "x" * 124, "!~#"])
def test_request_id_of_the_caller_is_kept(pair, given):
    route = pair.solo()
    reply = pair.gateway.chat(route.model, {"x-request-id": given})

    assert reply.header("x-request-id") == given


@pytest.mark.parametrize("given", ["", "x" * 129, "two words", "\u00e9t\u00e9"])
def test_malformed_request_id_is_replaced(pair, given):
    route = pair.solo()
    reply = pair.gateway.chat(route.model, {"x-request-id": given.encode("latin-1")})

    assert uuid.UUID(reply.header("x-request-id")).version == 7


def test_request_ids_differ(pair):
    route = pair.solo()
    assert len({pair.gateway.chat(route.model).header("x-request-id") for _ in range(10)}) == 10


def test_attempts_tell_the_whole_story(pair):
    route = pair.duo()
    route.first.always(status=429, headers={"retry-after": "20"})

    first, second = pair.gateway.chat(route.model), pair.gateway.chat(route.model)

    assert attempts_of(first) == [(route.first.name, "rate_limited"), (route.second.name, "ok")]
    assert attempts_of(second) == [
        (route.first.name, "refused(backoff)"),
        (route.second.name, "ok"),
    ]


PROVIDER_HEADERS = {
    "x-request-id": "req_of_provider",
    "x-ratelimit-limit-requests": "500",
    "x-ratelimit-remaining-tokens": "149984",
    "x-ratelimit-reset-requests": "120ms",
    "openai-processing-ms": "77",
    "anthropic-ratelimit-requests-remaining": "3",
    "openai-organization": "acme-internal",
    "set-cookie": "__cf_bm=secret",
    "server": "cloudflare",
    "cf-ray": "abc",
    "x-should-retry": "true",
    "retry-after": "30",
    "retry-after-ms": "30000",
    "x-candor-provider": "forged",
    "strict-transport-security": "max-age=1",
}


@pytest.mark.parametrize("stream", [False, True])
def test_what_passes_from_a_success(pair, stream):
    route = pair.solo()
    route.first.next(headers=PROVIDER_HEADERS)
    reply = pair.gateway.chat(route.model, stream=stream)

    assert reply.header("x-candor-upstream-request-id") == "req_of_provider"
    assert reply.header("x-request-id") != "req_of_provider"
    for name in (
        "x-ratelimit-limit-requests",
        "x-ratelimit-remaining-tokens",
        "x-ratelimit-reset-requests",
        "openai-processing-ms",
        "anthropic-ratelimit-requests-remaining",
    ):
        assert reply.header(name) == PROVIDER_HEADERS[name]
    for name in (
        "openai-organization",
        "set-cookie",
        "server",
        "cf-ray",
        "x-should-retry",
        "retry-after",
        "retry-after-ms",
        "strict-transport-security",
    ):
        assert reply.header(name) != PROVIDER_HEADERS[name]
    assert reply.header("x-candor-provider") == route.first.name


def test_what_passes_from_a_failure(pair):
    route = pair.solo()
    route.first.next(status=500, headers=PROVIDER_HEADERS)
    reply = pair.gateway.chat(route.model)

    assert reply.header("x-candor-upstream-request-id") == "req_of_provider"
    assert reply.header("x-ratelimit-remaining-tokens") == "149984"
    assert reply.header("x-candor-error") == "upstream_error"
    assert reply.header("set-cookie") is None


def test_rate_limit_headers_are_those_of_the_attempt_that_answers(pair):
    route = pair.duo()
    route.first.next(
        status=429, headers={"x-ratelimit-remaining-requests": "0", "x-ratelimit-only": "1"}
    )
    route.second.next(headers={"x-ratelimit-remaining-requests": "42"})
    reply = pair.gateway.chat(route.model)

    assert reply.header("x-ratelimit-remaining-requests") == "42"
    assert reply.header("x-ratelimit-only") is None


def test_azure_request_id(pair):
    route = pair.azure()
    reply = pair.gateway.chat(route.model)

    assert (
        reply.header("x-candor-upstream-request-id") == f"apim-{route.first.attempts()[0].number}"
    )


def test_expose_rate_limits_false_withholds_them(programs, pair):
    config = {
        **pair.config,
        "providers": [{**pair.openai_provider("discreet"), "expose_rate_limits": False}],
        "models": [{"name": "m", "targets": [{"provider": "discreet", "model": "m"}]}],
    }
    reply = programs.gateway(config).chat("m")

    assert reply.status == 200
    assert not [name for name, _ in reply.header_pairs if "ratelimit" in name]


def test_what_the_provider_is_sent(pair):
    route = pair.solo()
    pair.gateway.chat(
        route.model,
        {
            "authorization": "Bearer client-key",
            "x-request-id": "r-1",
            "cookie": "c=1",
            "openai-organization": "client-org",
            "x-forwarded-for": "10.0.0.1",
            "te": "trailers",
        },
        temperature=0.5,
    )
    [attempt] = route.first.attempts()

    assert attempt.target == f"/{route.first.name}/v1/chat/completions"
    assert attempt.header("authorization") == f"Bearer sk-key-of-{route.first.name}"
    assert attempt.header("content-type") == "application/json"
    assert attempt.header("accept-encoding") == "identity"
    assert attempt.json() == {
        "model": attempt.model,
        "temperature": 0.5,
        "messages": [{"role": "user", "content": "Say hello."}],
    }
    assert attempt.model.startswith("upstream-")
    for name in ("cookie", "x-forwarded-for", "te", "openai-organization"):
        assert attempt.header(name) is None
    assert "client-key" not in str(attempt.headers)


def test_what_azure_is_sent(pair):
    route = pair.azure()
    pair.gateway.chat(route.model)
    [attempt] = route.first.attempts()

    assert attempt.target == (
        f"/{route.first.name}/openai/deployments/{attempt.model}"
        "/chat/completions?api-version=2024-10-21"
    )
    assert attempt.header("api-key") == f"key-of-{route.first.name}"
    assert attempt.header("authorization") is None
