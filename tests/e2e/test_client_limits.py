"""The callers' own limits: counted once for all gateways, told exactly, and never a provider's fault."""

import hashlib
import time

from support.programs import wait_until
from support.stack import Pair

KEYS = {name: f"sk-{name}-limits" for name in ("few", "words", "one", "free")}
LIMITS = {
    "few": {"requests_per_minute": 3},
    "words": {"tokens_per_minute": 1000},
    "one": {"concurrent": 1},
    "free": None,
}


def entry(name):
    limits = LIMITS[name]
    client = {"name": name, "key_sha256": hashlib.sha256(KEYS[name].encode()).hexdigest()}
    return {**client, **({"limits": limits} if limits else {})}


def start(programs, **options):
    config = {"clients": [entry(name) for name in LIMITS]}
    return Pair(programs, gateway_config=config, **options)


def bearer(name):
    return {"authorization": f"Bearer {KEYS[name]}"}


def test_requests_a_minute_hold_over_all_gateways(programs):
    pair = start(programs, gateways=2)
    route = pair.solo()
    began = time.monotonic()
    replies = [pair.gateways[i % 2].chat(route.model, bearer("few")) for i in range(5)]
    took_ms = 1000 * (time.monotonic() - began)

    assert [reply.status for reply in replies] == [200, 200, 200, 429, 429]
    assert [reply.header("x-ratelimit-limit-requests") for reply in replies] == ["3"] * 5
    assert [reply.header("x-ratelimit-remaining-requests") for reply in replies] == list("21000")
    refused = replies[3]
    assert refused.kind() == "client_rate_limited"
    assert refused.error()["code"] == "rate_limit_exceeded"
    assert refused.error()["candor"]["fault"] == "caller"
    assert refused.header("x-should-retry") == "true"
    # Three a minute: the next one after 20 s, less what the test itself took.
    assert 19_000 - took_ms <= refused.wait_ms() <= 20_000
    assert refused.header("x-candor-provider") == "none"
    assert route.first.attempt_count() == 3
    assert pair.gateway.chat(route.model, bearer("free")).status == 200


def test_a_client_without_limits_sees_the_providers_headers(programs):
    pair = start(programs)
    route = pair.solo()
    route.first.next(headers={"x-ratelimit-limit-requests": "77"}, times=2)

    free = pair.gateway.chat(route.model, bearer("free"))
    limited = pair.gateway.chat(route.model, bearer("few"))

    assert free.header("x-ratelimit-limit-requests") == "77"
    assert limited.header("x-ratelimit-limit-requests") == "3"


def test_tokens_are_estimated_and_then_corrected(programs):
    pair = start(programs)
    route = pair.solo()
    question = {"messages": [{"role": "user", "content": "word " * 400}]}  # about 500 tokens
    first = pair.gateway.chat(route.model, bearer("words"), **question)
    assert first.status == 200
    assert first.header("x-ratelimit-limit-tokens") == "1000"
    assert int(first.header("x-ratelimit-remaining-tokens")) < 500

    # The fake provider counts far fewer: what was taken too much is given back.
    def remaining():
        reply = pair.gateway.chat(route.model, bearer("words"))
        return int(reply.header("x-ratelimit-remaining-tokens"))

    wait_until(lambda: remaining() > 700, "the estimate is corrected")


def test_a_fallback_is_no_second_request(programs):
    pair = start(programs)
    route = pair.duo()
    route.first.next(status=500, times=2)
    replies = [pair.gateway.chat(route.model, bearer("few")) for _ in range(2)]

    assert [reply.status for reply in replies] == [200, 200]
    assert replies[1].header("x-ratelimit-remaining-requests") == "1"


def test_concurrent_requests(programs):
    pair = start(programs, gateways=2)
    route = pair.solo()
    route.first.next(chunks=1000, chunk_delay_ms=20)
    with pair.gateways[0].open_chat_stream(route.model, headers=bearer("one")) as stream:
        stream.read_until(b"Honest")
        refused = pair.gateways[1].chat(route.model, bearer("one"))
        assert (refused.status, refused.kind()) == (429, "client_rate_limited")
        assert pair.gateways[1].chat(route.model, bearer("free")).status == 200

    wait_until(
        lambda: pair.gateways[1].chat(route.model, bearer("one")).status == 200,
        "the place is free again",
    )


def test_without_ratelimitd_nobody_is_limited_and_it_shows(programs):
    pair = start(programs)
    route = pair.solo()
    pair.ratelimitd.stop()
    replies = [pair.gateway.chat(route.model, bearer("few")) for _ in range(5)]

    assert {reply.status for reply in replies} == {200}
    assert replies[4].header("x-candor-degraded") == "ratelimitd_unreachable"
