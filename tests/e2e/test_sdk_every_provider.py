"""OpenAI's and Anthropic's SDKs for Python, unmodified, in front of providers of every dialect:
answers, streams, tools called and answered, structured output, failures, retries."""

import json

import anthropic
import openai
import pydantic
import pytest

from support.asked import read_asked
from support.stack import PROVIDER_DIALECTS

PAIR = {"routes": 120, "doubles": False}
HEALTHY = "Honest answers travel"
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
SIGNATURE = "ZmFrZS1zaWduYXR1cmU="  # as the fake provider signs
CALLS = [
    {"id": "call_1", "name": "weather", "arguments": {"city": "Oslo"}},
    {"id": "call_2", "name": "weather", "arguments": {"city": "Bern"}},
]


class Place(pydantic.BaseModel):
    city: str


class ChatSdk:
    """Each of these classes is one API of one SDK, with the same verbs."""

    errors = openai
    tools = [{"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}]

    def __init__(self, origin, max_retries):
        self.sdk = openai.OpenAI(
            base_url=f"{origin}/v1", api_key="unused", max_retries=max_retries
        )

    def say(self, model):
        messages = [{"role": "user", "content": "Say hello."}]
        done = self.sdk.chat.completions.create(model=model, messages=messages)
        return done.choices[0].message.content

    def stream(self, model):
        messages = [{"role": "user", "content": "Say hello."}]
        with self.sdk.chat.completions.stream(model=model, messages=messages) as events:
            return events.get_final_completion().choices[0].message.content

    def parse(self, model):
        messages = [{"role": "user", "content": "Where?"}]
        done = self.sdk.chat.completions.parse(
            model=model, messages=messages, response_format=Place
        )
        return done.choices[0].message.parsed

    def use_tools(self, model, stream):
        """Asks, answers every call, asks again: the calls' cities and the last words."""
        messages = [{"role": "user", "content": "Weather?"}]
        first = self._complete(stream, model, messages)
        messages.append(first.to_dict())
        for call in first.tool_calls:
            city = json.loads(call.function.arguments)["city"]
            messages.append(
                {"role": "tool", "tool_call_id": call.id, "content": f"rain in {city}"}
            )
        cities = [json.loads(call.function.arguments)["city"] for call in first.tool_calls]
        return cities, self._complete(stream, model, messages).content

    def _complete(self, stream, model, messages):
        request = {"model": model, "messages": messages, "tools": self.tools}
        if not stream:
            return self.sdk.chat.completions.create(**request).choices[0].message
        with self.sdk.chat.completions.stream(**request) as events:
            return events.get_final_completion().choices[0].message


class ResponsesSdk:
    errors = openai
    tools = [{"type": "function", "name": "weather", "parameters": SCHEMA, "strict": None}]

    def __init__(self, origin, max_retries):
        self.sdk = openai.OpenAI(
            base_url=f"{origin}/v1", api_key="unused", max_retries=max_retries
        )

    def say(self, model):
        return self.sdk.responses.create(model=model, input="Say hello.").output_text

    def stream(self, model):
        with self.sdk.responses.stream(model=model, input="Say hello.") as events:
            return events.until_done().get_final_response().output_text

    def parse(self, model):
        done = self.sdk.responses.parse(model=model, input="Where?", text_format=Place)
        return done.output_parsed

    def use_tools(self, model, stream):
        items = [{"role": "user", "content": "Weather?"}]
        first = self._create(stream, model, items)
        calls = [item for item in first.output if item.type == "function_call"]
        cities = [json.loads(call.arguments)["city"] for call in calls]
        items += first.output
        for call, city in zip(calls, cities):
            output = {"type": "function_call_output", "call_id": call.call_id}
            items.append({**output, "output": f"rain in {city}"})
        return cities, self._create(stream, model, items).output_text

    def _create(self, stream, model, items):
        request = {"model": model, "input": items, "tools": self.tools, "store": False}
        if not stream:
            return self.sdk.responses.create(**request)
        with self.sdk.responses.stream(**request) as events:
            return events.until_done().get_final_response()


class MessagesSdk:
    errors = anthropic
    tools = [{"name": "weather", "input_schema": SCHEMA}]

    def __init__(self, origin, max_retries):
        self.sdk = anthropic.Anthropic(
            base_url=origin, api_key="unused", max_retries=max_retries
        )

    def say(self, model):
        return self._text(self._create(False, model, [{"role": "user", "content": "Hello?"}]))

    def stream(self, model):
        return self._text(self._create(True, model, [{"role": "user", "content": "Hello?"}]))

    def parse(self, model):
        messages = [{"role": "user", "content": "Where?"}]
        done = self.sdk.messages.parse(
            model=model, max_tokens=100, messages=messages, output_format=Place
        )
        return done.parsed_output

    def use_tools(self, model, stream):
        messages = [{"role": "user", "content": "Weather?"}]
        first = self._create(stream, model, messages, tools=self.tools)
        calls = [block for block in first.content if block.type == "tool_use"]
        assert first.stop_reason == "tool_use"
        messages.append({"role": "assistant", "content": first.content})
        results = [
            {
                "type": "tool_result",
                "tool_use_id": call.id,
                "content": f"rain in {call.input['city']}",
            }
            for call in calls
        ]
        messages.append({"role": "user", "content": results})
        last = self._create(stream, model, messages, tools=self.tools)
        return [call.input["city"] for call in calls], self._text(last)

    def _create(self, stream, model, messages, **more):
        request = {"model": model, "max_tokens": 100, "messages": messages, **more}
        if not stream:
            return self.sdk.messages.create(**request)
        with self.sdk.messages.stream(**request) as events:
            return events.get_final_message()

    @staticmethod
    def _text(message):
        return "".join(block.text for block in message.content if block.type == "text")


APIS = {"chat_completions": ChatSdk, "responses": ResponsesSdk, "messages": MessagesSdk}
PAIRS = [
    (api, dialect)
    for api in APIS
    for dialect in PROVIDER_DIALECTS
    if dialect != "compatible" or api == "responses"
]
WAYS = pytest.mark.parametrize("way", ["say", "stream"])
EVERYWHERE = pytest.mark.parametrize("api, dialect", PAIRS)


@pytest.fixture
def sdk(gateway):
    def build(api, max_retries=0):
        return APIS[api](gateway.url(""), max_retries)

    return build


@WAYS
@EVERYWHERE
def test_answers(pair, sdk, api, dialect, way):
    assert getattr(sdk(api), way)(pair.route_of(dialect).model) == HEALTHY


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@EVERYWHERE
def test_tools_are_called_and_answered(pair, sdk, api, dialect, stream):
    route = pair.route_of(dialect)
    route.first.next(answer={"reasoning": ["Hm."], "text": ["Well."], "tool_calls": CALLS})

    cities, text = sdk(api).use_tools(route.model, stream)

    assert (cities, text) == (["Oslo", "Bern"], HEALTHY)
    said = read_asked(route.first.attempts()[1]).said
    calls = [one[3:] for one in said if one[1] == "call"]
    assert calls == [("weather", {"city": "Oslo"}), ("weather", {"city": "Bern"})]
    results = [str(one[3]) for one in said if one[1] == "result"]
    assert "rain in Oslo" in results[0] and "rain in Bern" in results[1]
    assert [one[2] for one in said if one[1] == "call"] == [
        one[2] for one in said if one[1] == "result"
    ]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(
    "api, dialect",
    [
        ("chat_completions", "gemini"),
        ("responses", "gemini"),
        ("messages", "gemini"),
        ("responses", "anthropic"),
        ("messages", "anthropic"),
    ],
)
def test_a_provider_gets_the_proof_of_its_reasoning_back(pair, sdk, api, dialect, stream):
    """Gemini refuses a call without the signature that came with it, and Anthropic thinking without
    one; the SDKs carry it from turn to turn as they got it."""
    route = pair.route_of(dialect)
    route.first.next(answer={"reasoning": ["Hm."], "tool_calls": CALLS})

    sdk(api).use_tools(route.model, stream)

    assert SIGNATURE in route.first.attempts()[1].body


@EVERYWHERE
def test_output_is_structured(pair, sdk, api, dialect):
    route = pair.route_of(dialect)
    route.first.next(answer={"text": ['{"city":', ' "Oslo"}']})

    assert sdk(api).parse(route.model) == Place(city="Oslo")
    schema = read_asked(route.first.attempts()[0]).schema
    assert schema["properties"]["city"]["type"] == "string"


FAILURES = {
    429: "RateLimitError",
    500: "InternalServerError",
    503: "InternalServerError",
    401: "InternalServerError",  # the gateway's own key: not the caller's fault
    400: "BadRequestError",
    404: "NotFoundError",
}


@WAYS
@pytest.mark.parametrize("status", FAILURES)
@EVERYWHERE
def test_raises_its_own_error(pair, sdk, api, dialect, status, way):
    route = pair.route_of(dialect)
    route.first.always(status=status)
    client = sdk(api)

    with pytest.raises(getattr(client.errors, FAILURES[status])) as caught:
        getattr(client, way)(route.model)

    error = caught.value
    assert error.request_id
    body = error.body.get("error", error.body)
    assert body["candor"]["upstream_status"] == status
    assert body["message"] and body["type"]
    assert f"told to answer {status}" in body["message"]


@WAYS
@EVERYWHERE
def test_honours_the_wait_and_succeeds_on_its_retry(pair, sdk, api, dialect, way):
    route = pair.route_of(dialect)
    route.first.next(status=429, headers={"retry-after": "1"})

    assert getattr(sdk(api, max_retries=2), way)(route.model) == HEALTHY

    first, second = route.first.attempts()
    assert second.started_at - first.started_at >= 0.99


@EVERYWHERE
def test_a_stream_that_breaks_raises(pair, sdk, api, dialect):
    route = pair.route_of(dialect)
    route.first.next(answer={"text": ["So"] * 30}, cut_after_events=20, end="close")
    client = sdk(api)

    with pytest.raises(client.errors.APIError) as caught:
        client.stream(route.model)

    body = caught.value.body.get("error", caught.value.body)
    assert body["candor"]["kind"] == "upstream_interrupted"
    assert body["status"] == 502
