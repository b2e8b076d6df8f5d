"""What the fake provider's model says is, in each dialect, what that dialect's own SDK understands.
Without this the translations would be tested against an API that nobody offers."""

import pytest

from support import http_client
from support.clients import CLIENTS

TOOL_CALLS = [
    {"id": "call_1", "name": "weather", "arguments": {"city": "Oslo"}},
    {"id": "call_2", "name": "weather", "arguments": {"city": "Bern"}},
]
ANSWERS = {
    "words": {"text": ["Honest", " words"]},
    "tools": {"tool_calls": TOOL_CALLS},
    "all": {
        "reasoning": ["Let me", " think."],
        "text": ["I look", " it up."],
        "tool_calls": TOOL_CALLS,
        "input_tokens": 100,
        "cached_tokens": 60,
        "output_tokens": 50,
        "reasoning_tokens": 20,
    },
    "cut": {"text": ["Too", " long"], "finish": "length"},
}
FINISHES = {
    "chat_completions": {"words": "stop", "tools": "tool_calls", "cut": "length"},
    "responses": {"words": "completed", "tools": "completed", "cut": "max_output_tokens"},
    "messages": {"words": "end_turn", "tools": "tool_use", "cut": "max_tokens"},
}


@pytest.fixture(scope="module")
def fake(shared_programs):
    return shared_programs.fake_provider()


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("name", FINISHES)
@pytest.mark.parametrize("kind", ANSWERS)
def test_the_sdks_models_read_it(fake, name, kind, stream):
    client, answer = CLIENTS[name], ANSWERS[kind]
    provider = fake.named(f"{name}-{kind}-{stream}")
    provider.next(answer=answer)
    fields = {"stream_options": {"include_usage": True}} if name == "chat_completions" else {}

    reply = http_client.post(
        fake.addresses["http"],
        f"/{provider.name}{client.path}",
        client.request("m", stream=stream, **fields),
        {"x-api-key": "k", **client.headers},
    )

    seen = client.read(reply)
    assert seen.is_whole
    assert seen.text == "".join(answer.get("text", ""))
    assert seen.reasoning == "".join(answer.get("reasoning", ""))
    assert seen.tool_calls == [tuple(call.values()) for call in answer.get("tool_calls", [])]
    assert seen.finish == FINISHES[name].get(kind, FINISHES[name]["tools"])
    if kind == "all":
        assert (seen.input_tokens, seen.cached_tokens, seen.output_tokens) == (100, 60, 50)
        assert seen.reasoning_tokens in (20, None)
