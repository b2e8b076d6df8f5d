"""The fake provider does what it is told: the other tests stand on it."""

import http.client

import pytest

from support import http_client
from support.programs import wait_until


@pytest.fixture(scope="module")
def fake(shared_programs):
    return shared_programs.fake_provider()


@pytest.fixture
def provider(fake, request):
    return fake.named(request.node.name.replace("[", "-").replace("]", ""))


def ask(fake, provider, path="/v1/chat/completions", **fields):
    return http_client.post(
        fake.addresses["http"], f"/{provider.name}{path}", {"model": "m", **fields}
    )


HEALTHY = {
    "chat": ("/v1/chat/completions", {}, {}),
    "completions": ("/v1/completions", {}, {}),
    "embeddings": ("/v1/embeddings", {"input": "x"}, {}),
    "responses": ("/v1/responses", {}, {}),
    "azure": ("/openai/deployments/d/chat/completions?api-version=1", {}, {"api-key": "k"}),
    "anthropic": ("/v1/messages", {}, {"x-api-key": "k"}),
    "gemini": ("/v1beta/models/g:generateContent", {}, {"x-goog-api-key": "k"}),
    "gemini stream": (
        "/v1beta/models/g:streamGenerateContent?alt=sse",
        {},
        {"x-goog-api-key": "k"},
    ),
}


@pytest.mark.parametrize("path, fields, headers", HEALTHY.values(), ids=HEALTHY.keys())
def test_every_dialect_is_healthy_by_default(fake, path, fields, headers):
    for stream in ([False, True] if "messages" in path or "/v1/" in path else [False]):
        reply = http_client.post(
            fake.addresses["http"], path, {"model": "m", "stream": stream, **fields}, headers
        )
        assert reply.status == 200 and not reply.is_cut
        assert reply.events() if b"data:" in reply.body else reply.json()


def test_a_queue_then_health(fake, provider):
    provider.next(times=2, status=429, headers=[["retry-after", "1"], ["retry-after", "2"]])
    replies = [ask(fake, provider) for _ in range(3)]

    assert [reply.status for reply in replies] == [429, 429, 200]
    assert ("retry-after", "2") in replies[0].header_pairs
    assert [attempt.outcome for attempt in provider.attempts()] == ["answered"] * 3


def test_cuts_a_stream(fake, provider):
    provider.next(cut_after_events=2)
    provider.next(cut_after_bytes=5)
    provider.next(cut_after_events=1, end="finish")
    cut, cut_inside, finished = (ask(fake, provider, stream=True) for _ in range(3))

    assert cut.is_cut and len(cut.events()) == 2
    assert cut_inside.is_cut and cut_inside.body == b"data:"
    assert not finished.is_cut and len(finished.events()) == 1


@pytest.mark.parametrize(
    "how, raised", [("close", http.client.RemoteDisconnected), ("reset", ConnectionResetError)]
)
def test_ends_before_headers(fake, provider, how, raised):
    provider.next(before_headers=how)
    with pytest.raises(raised):
        ask(fake, provider)


def test_garbage(fake, provider):
    provider.next(raw="no http\r\n\r\n")
    with pytest.raises(http.client.BadStatusLine):
        ask(fake, provider)


def test_drops_the_next_request_of_a_connection(fake, provider):
    provider.next(afterwards="drop_next")
    connection = http.client.HTTPConnection(fake.addresses["http"])
    connection.request("POST", f"/{provider.name}/v1/embeddings", b"{}")
    assert connection.getresponse().read()
    connection.request("POST", f"/{provider.name}/v1/embeddings", b"{}")
    with pytest.raises(http.client.RemoteDisconnected):
        connection.getresponse()

    assert [a.nth_on_connection for a in provider.attempts()] == [1, 2]


def test_notices_a_client_that_leaves(fake, provider):
    provider.next(chunks=100_000, chunk_delay_ms=10)
    stream = http_client.open_stream(
        fake.addresses["http"], f"/{provider.name}/v1/chat/completions", {"stream": True}
    )
    stream.read_until(b"Honest")
    stream.close()

    provider.wait_for_outcome("client_gone")


def test_counts_what_a_client_takes(fake, provider):
    provider.next(chunks=10_000, chunk_bytes=50_000)
    path = f"/{provider.name}/v1/chat/completions"
    with http_client.open_stream(fake.addresses["http"], path, {"stream": True}):
        written = wait_until(lambda: provider.attempts()[0].bytes_written, "something was written")
    assert 0 < written < 100_000_000


def test_unknown_keys_of_a_script_are_refused(fake):
    reply = http_client.post(fake.addresses["control"], "/rules", {"queue": [{"statsu": 500}]})
    assert reply.status == 400
    assert "statsu" in reply.text()
