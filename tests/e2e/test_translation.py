"""What a client says reaches every provider, and what the model answers reaches every client: a
conversation with everything in it, then field by field. What cannot be done is refused by name or
shown as dropped, never silently lost."""

import pytest

from support.asked import read_asked
from support.clients import CLIENTS
from support.stack import PROVIDER_DIALECTS

PAIR = {"routes": 150, "doubles": False}
TALKERS = ("chat_completions", "responses", "messages")
PAIRS = [(client, dialect) for client in TALKERS for dialect in PROVIDER_DIALECTS]
PNG = (  # one pixel
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9"
    "awAAAABJRU5ErkJggg=="
)
DATA_URL = f"data:image/png;base64,{PNG}"
IMAGE_URL = "https://pictures.example.com/map.png"
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string", "description": "Where"}},
    "required": ["city"],
    "additionalProperties": False,
}
DESCRIPTION = "Looks the weather up."
SYSTEM = ["Be brief.", "Use metres."]
CALLS = [("call_1", "weather", {"city": "Oslo"}), ("call_2", "weather", {"city": "Bern"})]
SAID = [
    ("user", "text", "What is this?"),
    ("user", "image", DATA_URL),
    ("assistant", "text", "A map."),
    ("assistant", "call", *CALLS[0]),
    ("assistant", "call", *CALLS[1]),
    ("tool", "result", "call_1", "3 degrees"),
    ("tool", "result", "call_2", "5 degrees"),
    ("user", "text", "And now?"),
]


def chat_conversation(image_url=DATA_URL):
    def call(id_, name, arguments):
        function = {"name": name, "arguments": '{"city": "%s"}' % arguments["city"]}
        return {"id": id_, "type": "function", "function": function}

    image = {"type": "image_url", "image_url": {"url": image_url}}
    return {
        "messages": [
            {"role": "system", "content": SYSTEM[0]},
            {"role": "developer", "content": SYSTEM[1]},
            {"role": "user", "content": [{"type": "text", "text": SAID[0][2]}, image]},
            {
                "role": "assistant",
                "content": SAID[2][2],
                "tool_calls": [call(*each) for each in CALLS],
            },
            {"role": "tool", "tool_call_id": "call_1", "content": "3 degrees"},
            {"role": "tool", "tool_call_id": "call_2", "content": "5 degrees"},
            {"role": "user", "content": "And now?"},
        ],
        "tools": chat_tools(),
    }


def chat_tools():
    function = {"name": "weather", "description": DESCRIPTION, "parameters": SCHEMA}
    return [{"type": "function", "function": function}]


def responses_conversation(image_url=DATA_URL):
    def call(id_, name, arguments):
        text = '{"city": "%s"}' % arguments["city"]
        return {"type": "function_call", "call_id": id_, "name": name, "arguments": text}

    def output(id_, text):
        return {"type": "function_call_output", "call_id": id_, "output": text}

    question = [
        {"type": "input_text", "text": SAID[0][2]},
        {"type": "input_image", "image_url": image_url, "detail": "auto"},
    ]
    answer = [{"type": "output_text", "text": SAID[2][2], "annotations": []}]
    return {
        "instructions": SYSTEM[0],
        "input": [
            {"role": "developer", "content": SYSTEM[1]},
            {"role": "user", "content": question},
            {"type": "message", "role": "assistant", "content": answer},
            *(call(*each) for each in CALLS),
            output("call_1", "3 degrees"),
            output("call_2", "5 degrees"),
            {"role": "user", "content": "And now?"},
        ],
        "tools": responses_tools(),
    }


def responses_tools():
    tool = {"type": "function", "name": "weather", "description": DESCRIPTION}
    return [{**tool, "parameters": SCHEMA, "strict": None}]


def messages_conversation(image_url=DATA_URL):
    def call(id_, name, arguments):
        return {"type": "tool_use", "id": id_, "name": name, "input": arguments}

    def result(id_, content):
        return {"type": "tool_result", "tool_use_id": id_, "content": content}

    source = {"type": "base64", "media_type": "image/png", "data": PNG}
    if image_url != DATA_URL:
        source = {"type": "url", "url": image_url}
    return {
        "system": [{"type": "text", "text": text} for text in SYSTEM],
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": SAID[0][2]},
                    {"type": "image", "source": source},
                ],
            },
            {
                "role": "assistant",
                "content": [{"type": "text", "text": "A map."}, *(call(*each) for each in CALLS)],
            },
            {
                "role": "user",
                "content": [
                    result("call_1", "3 degrees"),
                    result("call_2", [{"type": "text", "text": "5 degrees"}]),
                    {"type": "text", "text": "And now?"},
                ],
            },
        ],
        "tools": messages_tools(),
    }


def messages_tools():
    return [{"name": "weather", "description": DESCRIPTION, "input_schema": SCHEMA}]


CONVERSATIONS = {
    "chat_completions": chat_conversation,
    "responses": responses_conversation,
    "messages": messages_conversation,
}
TOOLS = {
    "chat_completions": chat_tools,
    "responses": responses_tools,
    "messages": messages_tools,
}


def without_ids(said):
    """Gemini's calls need no ids: name and order tell them apart."""
    return (*said[:2], None, *said[3:]) if said[1] in ("call", "result") else said


def result_text(value):
    """A tool's text inside the object that Gemini wants; the key is the gateway's choice."""
    return next(iter(value.values())) if isinstance(value, dict) else value


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("client_name, dialect", PAIRS)
def test_everything_said_reaches_the_provider(pair, client_name, dialect, stream):
    route = pair.route_of(dialect)

    reply = CLIENTS[client_name].ask(
        pair.gateway, route.model, stream=stream, **CONVERSATIONS[client_name]()
    )

    assert reply.status == 200, reply
    asked = read_asked(route.first.attempts()[0])
    assert asked.is_stream == stream
    assert asked.system.split() == " ".join(SYSTEM).split()
    assert asked.tools == {"weather": (DESCRIPTION, SCHEMA)}
    if dialect == "gemini":
        said = [
            (*one[:3], result_text(one[3])) if one[1] == "result" else one for one in asked.said
        ]
        assert [without_ids(one) for one in said] == [without_ids(one) for one in SAID]
    else:
        assert asked.said == SAID


RICH = {
    "reasoning": ["Let me", " think."],
    "text": ["I look", " it up."],
    "tool_calls": [{"id": i, "name": n, "arguments": a} for i, n, a in CALLS],
    "input_tokens": 100,
    "cached_tokens": 60,
    "output_tokens": 50,
    "reasoning_tokens": 20,
}
FINISHES = {
    "chat_completions": {
        "stop": "stop",
        "length": "length",
        "tool_calls": "tool_calls",
        "content_filter": "content_filter",
    },
    "responses": {
        "stop": "completed",
        "length": "max_output_tokens",
        "tool_calls": "completed",
        "content_filter": "content_filter",
    },
    "messages": {
        "stop": "end_turn",
        "length": "max_tokens",
        "tool_calls": "tool_use",
        "content_filter": "refusal",
    },
}


def hear(pair, client_name, route, stream, **fields):
    """The client's view of an answer; a chat client has to ask for the usage of a stream."""
    if stream and client_name == "chat_completions":
        fields["stream_options"] = {"include_usage": True}
    client = CLIENTS[client_name]
    reply = client.ask(pair.gateway, route.model, stream=stream, **fields)
    assert reply.status == 200, reply
    return client.read(reply)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("client_name, dialect", PAIRS)
def test_everything_answered_reaches_the_client(pair, client_name, dialect, stream):
    route = pair.route_of(dialect)
    route.first.next(answer=RICH)

    seen = hear(pair, client_name, route, stream, tools=TOOLS[client_name]())

    assert seen.is_whole
    assert (seen.text, seen.reasoning) == ("I look it up.", "Let me think.")
    assert seen.finish == FINISHES[client_name]["tool_calls"]
    assert [call[1:] for call in seen.tool_calls] == [call[1:] for call in CALLS]
    ids = [call[0] for call in seen.tool_calls]
    assert ids == ["call_1", "call_2"] if dialect != "gemini" else len(set(ids)) == 2 and all(ids)
    assert (seen.input_tokens, seen.cached_tokens, seen.output_tokens) == (100, 60, 50)
    if client_name != "messages" and dialect != "anthropic":
        assert seen.reasoning_tokens == 20


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("finish", ["stop", "length", "content_filter"])
@pytest.mark.parametrize("client_name, dialect", PAIRS)
def test_why_the_model_stopped_reaches_the_client(pair, client_name, dialect, finish, stream):
    route = pair.route_of(dialect)
    route.first.next(answer={"text": ["So", " far"], "finish": finish})

    seen = hear(pair, client_name, route, stream)

    assert seen.text == "So far"
    # Responses of a provider's own tell no more than this about a filter.
    assert seen.finish == FINISHES[client_name][finish]


FORMAT = {"name": "place", "schema": SCHEMA, "strict": True}
# Field -> {client: (what it sends, its name for the field)}, and what the provider has to be asked.
FIELDS = {
    "temperature": (
        {name: ({"temperature": 0.5}, "temperature") for name in TALKERS},
        lambda asked: asked.temperature == 0.5,
    ),
    "top_p": (
        {name: ({"top_p": 0.9}, "top_p") for name in TALKERS},
        lambda asked: asked.top_p == 0.9,
    ),
    "most tokens": (
        {
            "chat_completions": ({"max_completion_tokens": 300}, "max_completion_tokens"),
            "responses": ({"max_output_tokens": 300}, "max_output_tokens"),
            "messages": ({"max_tokens": 300}, "max_tokens"),
        },
        lambda asked: asked.max_tokens == 300,
    ),
    "most tokens, by the old name": (
        {"chat_completions": ({"max_tokens": 300}, "max_tokens")},
        lambda asked: asked.max_tokens == 300,
    ),
    "stop": (
        {
            "chat_completions": ({"stop": ["END", "FIN"]}, "stop"),
            "messages": ({"stop_sequences": ["END", "FIN"]}, "stop_sequences"),
        },
        lambda asked: asked.stop == ["END", "FIN"],
    ),
    "stop as a string": (
        {"chat_completions": ({"stop": "END"}, "stop")},
        lambda asked: asked.stop == ["END"],
    ),
    "seed": ({"chat_completions": ({"seed": 7}, "seed")}, lambda asked: asked.seed == 7),
    "effort": (
        {
            "chat_completions": ({"reasoning_effort": "high"}, "reasoning_effort"),
            "responses": ({"reasoning": {"effort": "high"}}, "reasoning"),
            "messages": (
                {"thinking": {"type": "enabled", "budget_tokens": 2048}, "max_tokens": 4000},
                "thinking",
            ),
        },
        lambda asked: asked.effort,
    ),
    "schema": (
        {
            "chat_completions": (
                {"response_format": {"type": "json_schema", "json_schema": FORMAT}},
                "response_format",
            ),
            "responses": ({"text": {"format": {"type": "json_schema", **FORMAT}}}, "text.format"),
            "messages": (
                {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}},
                "output_config.format",
            ),
        },
        lambda asked: asked.schema == SCHEMA,
    ),
    "a named tool": (
        {
            "chat_completions": (
                {
                    "tools": chat_tools(),
                    "tool_choice": {"type": "function", "function": {"name": "weather"}},
                },
                "tool_choice",
            ),
            "responses": (
                {
                    "tools": responses_tools(),
                    "tool_choice": {"type": "function", "name": "weather"},
                },
                "tool_choice",
            ),
            "messages": (
                {"tools": messages_tools(), "tool_choice": {"type": "tool", "name": "weather"}},
                "tool_choice",
            ),
        },
        lambda asked: asked.tool_choice == "weather",
    ),
    "any tool": (
        {
            "chat_completions": (
                {"tools": chat_tools(), "tool_choice": "required"},
                "tool_choice",
            ),
            "responses": ({"tools": responses_tools(), "tool_choice": "required"}, "tool_choice"),
            "messages": (
                {"tools": messages_tools(), "tool_choice": {"type": "any"}},
                "tool_choice",
            ),
        },
        lambda asked: asked.tool_choice == "required",
    ),
    "no tool": (
        {
            "chat_completions": ({"tools": chat_tools(), "tool_choice": "none"}, "tool_choice"),
            "responses": ({"tools": responses_tools(), "tool_choice": "none"}, "tool_choice"),
            "messages": (
                {"tools": messages_tools(), "tool_choice": {"type": "none"}},
                "tool_choice",
            ),
        },
        # A provider that is told of no tools calls none either.
        lambda asked: asked.tool_choice == "none" or not asked.tools,
    ),
    "one call at a time": (
        {
            "chat_completions": (
                {"tools": chat_tools(), "parallel_tool_calls": False},
                "parallel_tool_calls",
            ),
            "responses": (
                {"tools": responses_tools(), "parallel_tool_calls": False},
                "parallel_tool_calls",
            ),
            "messages": (
                {
                    "tools": messages_tools(),
                    "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
                },
                "tool_choice.disable_parallel_tool_use",
            ),
        },
        lambda asked: asked.is_parallel is False,
    ),
    "an image by its URL": (
        {name: (CONVERSATIONS[name](IMAGE_URL), "image_url") for name in TALKERS},
        lambda asked: ("user", "image", IMAGE_URL) in asked.said,
    ),
}
FIELD_CASES = [
    (field, client, dialect)
    for field, (requests, _) in FIELDS.items()
    for client, dialect in PAIRS
    if client in requests
]


@pytest.mark.parametrize("field, client_name, dialect", FIELD_CASES)
def test_a_field_is_honoured_refused_by_name_or_shown_as_dropped(
    pair, field, client_name, dialect
):
    requests, is_honoured = FIELDS[field]
    fields, name = requests[client_name]
    client = CLIENTS[client_name]
    route = pair.route_of(dialect)

    reply = client.ask(pair.gateway, route.model, **fields)

    dropped = (reply.header("x-candor-dropped") or "").replace(",", " ").split()
    if reply.status == 400:
        error = client.failure(reply)
        assert error["candor"]["kind"] == "bad_request"
        assert name in error["message"] or name in (error.get("param") or ""), error
        assert route.first.attempt_count() == 0, "a provider was asked in vain"
    else:
        assert reply.status == 200, reply
        asked = read_asked(route.first.attempts()[0])
        assert is_honoured(asked) or name in dropped, (asked, dropped)
    client.ask(pair.gateway, route.model)  # nothing that is refused may harm the next request
