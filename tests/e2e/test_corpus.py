"""Failures that providers really sent, served by the fake provider and judged by each line's truth.

The data belongs to others and is read in place: CANDOR_CORPUS, default ../shared/corpus beside the
repository.
"""

import json
import os

import pytest

from support.programs import REPOSITORY

CORPUS = REPOSITORY / os.environ.get("CANDOR_CORPUS", "../shared/corpus") / "upstream-errors.jsonl"
MAX_CLIENT_WAIT_MS = 60_000  # the gateway's default: a longer wait is not for a client's process
PAIR = {"routes": 160, "ratelimitd_config": {"defaults": {"backoff": {"ceiling": "1h"}}}}

# Which endpoint shows a line of this api; the others need dialects that are not served yet.
ENDPOINTS = {"chat": "/v1/chat/completions", "embeddings": "/v1/embeddings"}

CLASSES = {
    "rate_limited": {"rate_limited"},
    "quota_exhausted": {"quota_exhausted", "provider_auth"},
    "overloaded": {"overloaded", "rate_limited", "upstream_error"},
    "upstream_error": {"upstream_error"},
    "timeout": {"upstream_timeout"},
    "auth": {"provider_auth"},
    "permission": {"provider_auth"},
    "invalid_request": {"invalid_request"},
    "context_length": {"context_length"},
    "content_filter": {"content_filter"},
    "not_found": {"model_not_found", "invalid_request"},
    "too_large": {"too_large", "context_length"},
    "unprocessable": {"unprocessable"},
    "malformed": {"upstream_malformed"},
}


def read_lines():
    """The lines that can be shown, or one that is skipped visibly."""
    if not CORPUS.exists():
        reason = f"no corpus at {CORPUS}: CANDOR_CORPUS names the folder of upstream-errors.jsonl"
        return [pytest.param(None, marks=pytest.mark.skip(reason=reason), id="absent")]
    lines = [json.loads(line) for line in CORPUS.read_text().splitlines()]
    return [pytest.param(line, id=line["id"]) for line in lines if line["api"] in ENDPOINTS]


def ask(pair, line, route):
    fields = {"model": route.model, "messages": [{"role": "user", "content": "x"}], "input": "x"}
    fields.pop("input" if line["api"] == "chat" else "messages")
    if line["kind"] == "stream":
        fields["stream"] = True
    return pair.gateway.post(ENDPOINTS[line["api"]], fields)


def behaviour_of(line):
    headers = {
        k: v
        for k, v in line["headers"].items()
        if k.lower()
        not in ("content-length", "transfer-encoding", "connection", "content-encoding")
    }
    named = {name.lower() for name in headers}
    content_type = None if "content-type" not in named else ""
    return {
        "status": line["status"],
        "headers": headers,
        "body": line["body"],
        "content_type": content_type,
    }


@pytest.mark.parametrize("line", read_lines())
def test_real_failure(pair, line):
    truth = line["truth"]
    route = pair.route_of("azure" if line["provider"].startswith("azure") else "openai")
    route.first.next(**behaviour_of(line))

    reply = ask(pair, line, route)

    if truth.get("mid_stream"):
        error = json.loads(reply.events()[-1])["error"]
        assert "[DONE]" not in reply.events()
        status, should_retry = error["status"], None
    else:
        error = reply.error()
        status, should_retry = reply.status, reply.header("x-should-retry")
    kind = error["candor"]["kind"]
    assert kind in CLASSES[truth["class"]], (line["id"], error)
    assert status == truth["client_status"]
    worth_a_wait = truth["retryable"] and (truth["retry_after_ms"] or 0) <= MAX_CLIENT_WAIT_MS
    assert should_retry in (None, "true" if worth_a_wait else "false")
    assert_timing(reply, truth)
    assert_charged(pair, route, truth)


def assert_timing(reply, truth):
    if truth["retryable"] and truth["retry_after_ms"] and reply.header("retry-after"):
        assert reply.wait_ms() >= truth["retry_after_ms"] - 500, "earlier than the provider asked"
        assert reply.wait_ms() <= truth["retry_after_ms"] * 1.2 + 2000
    if not truth["retryable"]:
        assert reply.header("retry-after") is None


def assert_charged(pair, route, truth):
    provider = pair.ratelimitd.provider(route.first.name)
    healths = [provider["health"], *(target["health"] for target in provider["targets"])]
    is_charged = any(
        health["state"] != "HEALTH_STATE_HEALTHY"
        or int(health.get("window", {}).get("failures", 0)) > 0
        for health in healths
    )
    assert is_charged == truth["counts_against_provider"], provider
