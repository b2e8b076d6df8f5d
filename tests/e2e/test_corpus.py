"""Failures that providers really sent, and our own cases of the same shapes, served by the fake
provider and judged by each line's truth, through every dialect of clients that can reach it.

The recorded data belongs to others and is read in place: CANDOR_CORPUS, default ../shared/corpus
beside the repository.
"""

import collections
import json
import os

import pytest

from support.clients import CLIENTS, EMBEDDINGS
from support.programs import REPOSITORY

CORPUS = REPOSITORY / os.environ.get("CANDOR_CORPUS", "../shared/corpus") / "upstream-errors.jsonl"
OWN_CASES = REPOSITORY / "tests/data/provider_failures.jsonl"
MAX_CLIENT_WAIT_MS = 60_000  # the gateway's default: a longer wait is not for a client's process
KINDS = {
    "rate_limited": "rate_limited",
    "quota_exhausted": "quota_exhausted",
    "overloaded": "overloaded",
    "upstream_error": "upstream_error",
    "timeout": "upstream_timeout",
    "auth": "provider_auth",
    "permission": "provider_auth",
    "invalid_request": "invalid_request",
    "context_length": "context_length",
    "content_filter": "content_filter",
    "not_found": "model_not_found",
    "too_large": "too_large",
    "unprocessable": "unprocessable",
    "malformed": "upstream_malformed",
    "interrupted": "upstream_interrupted",
}


def dialect_of(line):
    """Who speaks this line's api. "other" is what a server says beside OpenAI's API."""
    if line["api"] == "generateContent":
        return "gemini"
    if line["api"] == "messages":
        return "anthropic"
    return "azure" if line["provider"].startswith("azure") else "openai"


def meetings(line):
    """(client, provider's dialect) that can meet the line. What stands under a success has the
    shape of one API of OpenAI's and comes only from that API."""
    dialect = dialect_of(line)
    if line["api"] == "embeddings":
        return [(EMBEDDINGS, dialect)]
    if line["status"] != 200 or dialect in ("anthropic", "gemini"):
        return [(client, dialect) for client in CLIENTS.values()]
    if line["api"] == "responses":
        return [(CLIENTS["responses"], dialect)]
    through_chat = [(CLIENTS["chat_completions"], dialect), (CLIENTS["messages"], dialect)]
    return through_chat + [(CLIENTS["responses"], "compatible")] * (dialect == "openai")


def read_cases(path):
    """One case for each meeting of each line, or one that is skipped visibly."""
    if not path.exists():
        reason = f"no corpus at {path}: CANDOR_CORPUS names the folder of upstream-errors.jsonl"
        skip = pytest.mark.skip(reason=reason)
        return [pytest.param(None, None, None, marks=skip, id="absent")]
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [
        pytest.param(line, client, dialect, id=f"{line['id']}-{client.name}")
        for line in lines
        if line["provider"] != "bedrock"  # its dialect is not spoken here
        for client, dialect in meetings(line)
    ]


RECORDED, OWN = read_cases(CORPUS), read_cases(OWN_CASES)
PAIR = {
    "routes": collections.Counter(case.values[2] or "openai" for case in RECORDED + OWN),
    "doubles": False,
    "ratelimitd_config": {"defaults": {"backoff": {"ceiling": "1h"}}},
}


def behaviour_of(line):
    fields = line["headers"].items()
    headers = [
        (name, value)
        for name, values in fields
        if name.lower()
        not in ("content-length", "transfer-encoding", "connection", "content-encoding")
        for value in (values if isinstance(values, list) else [values])
    ]
    named = {name.lower() for name, _ in headers}
    return {
        "status": line["status"],
        "headers": headers,
        "body": line["body"],
        "content_type": "" if "content-type" in named else _content_type(line),
    }


def _content_type(line):
    """Where the source kept none: that of an event stream, or the fake provider's usual one."""
    is_json = line["body"].lstrip().startswith(("{", "["))
    return "text/event-stream" if line["kind"] == "stream" and not is_json else None


@pytest.mark.parametrize("line, client, dialect", RECORDED)
def test_real_failure(pair, line, client, dialect):
    judge(pair, line, client, dialect)


@pytest.mark.parametrize("line, client, dialect", OWN)
def test_own_case(pair, line, client, dialect):
    judge(pair, line, client, dialect)


def judge(pair, line, client, dialect):
    truth = line["truth"]
    route = pair.route_of(dialect)
    route.first.always(**behaviour_of(line))

    reply = client.ask(pair.gateway, route.model, stream=line["kind"] == "stream")

    if truth.get("mid_stream"):
        error = client.failure_in_stream(reply)
        status, wait_ms = error["status"], error["candor"]["retry_after_ms"]
    else:
        error = client.failure(reply)
        status, wait_ms = reply.status, reply.header("retry-after") and reply.wait_ms()
        assert_advice(reply, error, truth)
    assert error["candor"]["kind"] == KINDS[truth["class"]], error
    assert status == truth["client_status"], error
    assert error["candor"]["upstream_status"] == line["status"]
    assert_timing(wait_ms, status, line)
    assert_charged(pair, route, truth)


def assert_advice(reply, error, truth):
    assert reply.kind() == error["candor"]["kind"]
    worth_a_wait = truth["retryable"] and (truth["retry_after_ms"] or 0) <= MAX_CLIENT_WAIT_MS
    assert reply.header("x-should-retry") == ("true" if worth_a_wait else "false")


def assert_timing(wait_ms, status, line):
    truth = line["truth"]
    if not truth["retryable"]:
        assert wait_ms is None
    elif status in (429, 503):
        assert wait_ms > 0
    is_believed = line["status"] >= 400  # a success says in its headers when, but not what for
    if is_believed and truth["retryable"] and truth["retry_after_ms"] and wait_ms:
        assert wait_ms >= truth["retry_after_ms"] - 500, "earlier than the provider asked"
        assert wait_ms <= truth["retry_after_ms"] * 1.2 + 2000


def assert_charged(pair, route, truth):
    provider = pair.ratelimitd.provider(route.first.name)
    healths = [provider["health"], *(target["health"] for target in provider["targets"])]
    is_charged = any(
        health["state"] != "HEALTH_STATE_HEALTHY"
        or int(health.get("window", {}).get("failures", 0)) > 0
        for health in healths
    )
    assert is_charged == truth["counts_against_provider"], provider
