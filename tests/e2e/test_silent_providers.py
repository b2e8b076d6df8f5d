"""Providers of every dialect that fall silent, before a word or with the answer half told. Nobody
waits for ever, and nobody takes it for an answer."""

import pytest

from support.clients import CLIENTS
from support.stack import PROVIDER_DIALECTS

PAIR = {
    "routes": 0,
    "hasty": {"mute": {"first_byte": "300ms", "idle": "300ms"}, "halting": {"idle": "300ms"}},
    "hasty_routes": 80,
}
PAIRS = pytest.mark.parametrize(
    "client_name, dialect",
    [
        (client, dialect)
        for client in CLIENTS
        for dialect in PROVIDER_DIALECTS
        if dialect != "compatible" or client == "responses"
    ],
)


def assert_timed_out(client, reply, status=504):
    error, told_status = client.told(reply)
    assert (reply.status, told_status) == (status, 504), reply
    assert error["candor"]["kind"] == "upstream_timeout"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(
    "silence",
    [{"before_headers": "stall"}, {"cut_after_bytes": 0, "end": "stall"}],
    ids=["before headers", "after headers"],
)
@PAIRS
def test_without_a_word(pair, client_name, dialect, silence, stream):
    route = pair.hasty("mute", dialect)
    route.first.always(**silence)
    client = CLIENTS[client_name]

    assert_timed_out(client, client.ask(pair.gateway, route.model, stream=stream))


@PAIRS
def test_half_told(pair, client_name, dialect):
    route = pair.hasty("halting", dialect)
    route.first.always(answer={"text": ["So"] * 30}, cut_after_events=20, end="stall")
    client = CLIENTS[client_name]

    reply = client.ask(pair.gateway, route.model, stream=True)

    assert_timed_out(client, reply, status=200)
    assert client.read(reply).text.startswith("So")
