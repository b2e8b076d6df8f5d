"""How /v1/responses is served by providers of OpenAI's dialect: natively, translated through chat
completions, or natively until the provider says that it has no such route. With OpenAI's SDKs."""

import itertools
import json
import pathlib
import subprocess

import openai
import pydantic
import pytest

from support.stack import TIMEOUTS, Route, ask

PER_MODE = 30
NO_ROUTE = {"status": 404, "body": {"detail": "Not Found"}}
WEATHER = {
    "type": "function",
    "name": "weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    "strict": None,
}
CALLS = [
    {"id": "call_1", "name": "weather", "arguments": {"city": "Oslo"}},
    {"id": "call_2", "name": "weather", "arguments": {"city": "Bergen"}},
]
HEALTHY = "Honest answers travel"


class Served:
    """A gateway with many providers of each mode; each test takes one that is new."""

    def __init__(self, programs):
        self.fake = programs.fake_provider()
        names = [f"{mode}-{i}" for mode in MODES for i in range(PER_MODE)]
        config = {
            "ratelimitd": ask(programs.ratelimitd().address),
            "providers": [self._provider(name) for name in names],
            "models": [
                {"name": f"on-{name}", "targets": [{"provider": name, "model": "own"}]}
                for name in names
            ],
        }
        self.gateway = programs.gateway(config)
        self._unused = {mode: itertools.count() for mode in MODES}

    def _provider(self, name):
        mode = name.split("-")[0]
        return {
            "name": name,
            "dialect": "openai",
            "api_key": "sk-key",
            "base_url": self.fake.named(name).base_url(),
            "timeouts": TIMEOUTS,
            "responses": mode,
        }

    def route(self, mode):
        name = f"{mode}-{next(self._unused[mode])}"
        return Route(f"on-{name}", [self.fake.named(name)])

    def ask(self, route, **fields):
        return self.gateway.post("/v1/responses", {"model": route.model, "input": "hi", **fields})

    def sdk(self):
        return openai.OpenAI(base_url=self.gateway.url(), api_key="unused", max_retries=0)


MODES = ("auto", "native", "translated")


@pytest.fixture(scope="module")
def served(shared_programs):
    return Served(shared_programs)


def paths(route):
    return [attempt.target.split("/v1/")[1] for attempt in route.first.attempts()]


def without_route(served, mode):
    """A provider that has chat completions only."""
    route = served.route(mode)
    served.fake.add_rule({"provider": route.first.name, "path": "/responses", "cycle": [NO_ROUTE]})
    return route


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("mode", ["auto", "native"])
def test_the_providers_own_api_is_asked_first(served, mode, stream):
    route = served.route(mode)

    reply = served.ask(route, stream=stream, store=True, previous_response_id="resp_before")

    assert reply.status == 200, reply
    assert paths(route) == ["responses"]
    seen = route.first.attempts()[0].json()
    assert (seen["model"], seen["previous_response_id"]) == ("own", "resp_before")
    assert "resp_fake" in reply.text() and HEALTHY in reply.text()


@pytest.mark.parametrize("stream", [False, True])
def test_a_provider_without_the_route_is_asked_in_other_words_at_once(served, stream):
    route = without_route(served, "auto")

    first = served.ask(route, stream=stream)
    second = served.ask(route, stream=stream)

    for reply in (first, second):
        assert reply.status == 200, reply
        assert HEALTHY in reply.text()
        # Finding out is no failure of the provider's.
        assert ", " not in reply.header("x-candor-attempts")
        assert ":ok:" in reply.header("x-candor-attempts")
    assert paths(route) == ["responses", "chat/completions", "chat/completions"]


def test_a_model_that_is_not_there_is_no_missing_route(served):
    route = served.route("auto")
    route.first.next(status=404)

    assert served.ask(route).kind() == "model_not_found"
    assert served.ask(route).status == 200
    assert paths(route) == ["responses", "responses"]


def test_native_is_never_translated(served):
    route = without_route(served, "native")

    assert served.ask(route).status == 404
    assert paths(route) == ["responses"]


def test_a_failure_after_the_missing_route_is_the_providers(served):
    route = without_route(served, "auto")
    served.fake.add_rule(
        {
            "provider": route.first.name,
            "path": "/chat/completions",
            "queue": [{"status": 429, "headers": {"retry-after": "20"}}],
        }
    )

    reply = served.ask(route)

    assert (reply.status, reply.kind()) == (429, "rate_limited")
    assert reply.wait_ms() >= 19_500


@pytest.mark.parametrize("field", ["previous_response_id", "conversation"])
def test_state_is_refused_where_nobody_keeps_it(served, field):
    route = served.route("translated")

    reply = served.ask(route, **{field: "id_1"})

    assert reply.status == 400
    assert reply.error()["param"] == field
    assert route.first.attempt_count() == 0


@pytest.mark.parametrize("mode", MODES)
def test_background_is_refused_everywhere(served, mode):
    route = served.route(mode)

    reply = served.ask(route, background=True)

    assert (reply.status, reply.error()["param"]) == (400, "background")
    assert route.first.attempt_count() == 0


@pytest.mark.parametrize("mode", ["native", "translated"])
def test_sdk_creates(served, mode):
    response = served.sdk().responses.create(model=served.route(mode).model, input="hi")

    assert response.status == "completed"
    assert response.output_text == HEALTHY
    assert (response.usage.input_tokens, response.usage.total_tokens) == (7, 10)


@pytest.mark.parametrize("mode", ["native", "translated"])
def test_sdk_streams(served, mode):
    sdk = served.sdk()

    with sdk.responses.stream(model=served.route(mode).model, input="hi") as stream:
        events = list(stream)
        response = stream.get_final_response()

    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert response.output_text == HEALTHY
    assert response.usage.output_tokens == 3


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("mode", ["native", "translated"])
def test_sdk_calls_tools(served, mode, stream):
    route = served.route(mode)
    route.first.next(answer={"reasoning": ["hm"], "text": ["Let me see"], "tool_calls": CALLS})
    sdk = served.sdk()

    def create(items):
        request = {"model": route.model, "input": items, "tools": [WEATHER], "store": False}
        if not stream:
            return sdk.responses.create(**request)
        with sdk.responses.stream(**request) as events:
            return events.until_done().get_final_response()

    items = [{"role": "user", "content": "weather?"}]
    response = create(items)
    calls = [item for item in response.output if item.type == "function_call"]
    assert [(call.call_id, json.loads(call.arguments)["city"]) for call in calls] == [
        ("call_1", "Oslo"),
        ("call_2", "Bergen"),
    ]
    items += response.output
    items += [
        {"type": "function_call_output", "call_id": call.call_id, "output": "rain"}
        for call in calls
    ]
    assert create(items).output_text == HEALTHY
    if mode == "translated":
        messages = route.first.attempts()[-1].json()["messages"]
        assert [message["role"] for message in messages] == ["user", "assistant", "tool", "tool"]
        assert [call["id"] for call in messages[1]["tool_calls"]] == ["call_1", "call_2"]


class City(pydantic.BaseModel):
    name: str


@pytest.mark.parametrize("mode", ["native", "translated"])
def test_sdk_parses(served, mode):
    route = served.route(mode)
    route.first.next(answer={"text": ['{"name":', '"Oslo"}']})

    response = served.sdk().responses.parse(model=route.model, input="where?", text_format=City)

    assert response.output_parsed == City(name="Oslo")


@pytest.mark.parametrize("mode", ["native", "translated"])
def test_sdk_sees_what_was_cut(served, mode):
    route = served.route(mode)
    route.first.next(answer={"text": ["Oh"], "finish": "length"})

    response = served.sdk().responses.create(model=route.model, input="hi")

    assert response.status == "incomplete"
    assert response.incomplete_details.reason == "max_output_tokens"
    assert response.output_text == "Oh"


@pytest.mark.parametrize("mode", ["native", "translated"])
def test_sdk_raises_when_a_stream_breaks(served, mode):
    route = served.route(mode)
    route.first.next(cut_after_events=6 if mode == "native" else 2, end="close")
    seen = []

    with pytest.raises(openai.APIError) as raised:
        for event in served.sdk().responses.create(model=route.model, input="hi", stream=True):
            seen.append(event)

    assert any(event.type == "response.output_text.delta" for event in seen)
    assert not any(event.type == "response.completed" for event in seen)
    error = raised.value.body
    assert error["candor"]["kind"] == "upstream_interrupted"
    assert [event.sequence_number for event in seen] == list(range(len(seen)))


@pytest.mark.parametrize("mode", ["native", "translated"])
def test_sdk_raises_for_a_rate_limit(served, mode):
    route = served.route(mode)
    route.first.next(status=429, headers={"retry-after": "20"})

    with pytest.raises(openai.RateLimitError) as raised:
        served.sdk().responses.create(model=route.model, input="hi", stream=True)

    assert "Please try again in" in raised.value.message


def node(served, call, route):
    """What the SDK for Node makes of one call; see sdk.mjs."""
    order = {"baseURL": served.gateway.url(), "call": call, "model": route.model, "maxRetries": 0}
    done = subprocess.run(
        ["node", pathlib.Path(__file__).parent / "sdk.mjs", json.dumps(order)],
        timeout=60,
        check=True,
        capture_output=True,
        text=True,
    )
    return json.loads(done.stdout)


@pytest.mark.parametrize("mode", ["native", "translated"])
def test_node_creates_and_parses(served, node_modules, mode):
    assert node(served, "response", served.route(mode)) == {"ok": HEALTHY}
    route = served.route(mode)
    route.first.next(answer={"text": ['{"name":', '"Oslo"}']})
    assert node(served, "responseParse", route) == {"ok": {"name": "Oslo"}}


@pytest.mark.parametrize("mode", ["native", "translated"])
def test_node_streams(served, node_modules, mode):
    seen = node(served, "responseStream", served.route(mode))["ok"]

    assert (seen["text"], seen["last"]) == (HEALTHY, "response.completed")
    assert seen["usage"]["total_tokens"] == 10


@pytest.mark.parametrize("mode", ["native", "translated"])
def test_node_calls_tools(served, node_modules, mode):
    route = served.route(mode)
    route.first.next(answer={"reasoning": ["hm"], "tool_calls": CALLS})

    seen = node(served, "responseTools", route)["ok"]

    assert seen["text"] == HEALTHY
    assert [json.loads(arguments)["city"] for arguments in seen["called"]] == ["Oslo", "Bergen"]


@pytest.mark.parametrize("mode", ["native", "translated"])
def test_node_raises_when_a_stream_breaks(served, node_modules, mode):
    route = served.route(mode)
    route.first.next(cut_after_events=6 if mode == "native" else 2, end="close")

    raised = node(served, "responseStream", route)["raised"]

    assert raised["body"]["candor"]["kind"] == "upstream_interrupted"
