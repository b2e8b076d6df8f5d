"""A 400 names the caller's own field, in each client's dialect, and asks no provider. Paths under an
endpoint speak that endpoint's dialect, too."""

import pytest

from support.clients import CLIENTS

PAIR = {"routes": 30, "doubles": False}

BAD_IMAGE = "ftp://pictures.example.com/a.png"


def chat(*messages, **fields):
    return {"messages": list(messages), **fields}


def user(content):
    return {"role": "user", "content": content}


def image_url(url):
    return {"type": "image_url", "image_url": {"url": url}}


def url_source(url):
    return {"type": "image", "source": {"type": "url", "url": url}}


TEXT = {"type": "text", "text": "What is this?"}
CHOICE = {"type": "function", "function": {"name": "nothing"}}
# Name: (client, provider's dialect, fields, what the 400 names)
REFUSED = {
    "the second part of the third message": (
        "chat_completions",
        "anthropic",
        chat(
            {"role": "system", "content": "Be brief."},
            {"role": "system", "content": "Be kind."},
            user([TEXT, image_url(BAD_IMAGE)]),
        ),
        "messages[2].content[1]",
    ),
    "the second call of an assistant": (
        "chat_completions",
        "gemini",
        chat(
            user("x"),
            {
                "role": "assistant",
                "tool_calls": [
                    {"id": i, "type": "function", "function": {"name": "f", "arguments": a}}
                    for i, a in (("a", "{}"), ("b", "no object"))
                ],
            },
        ),
        "messages[1].tool_calls[1]",
    ),
    "an item of a response's input behind joined ones": (
        "responses",
        "anthropic",
        {
            "instructions": "Be brief.",
            "input": [
                user("x"),
                {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"},
                {"type": "function_call", "call_id": "b", "name": "f", "arguments": "[]"},
            ],
        },
        "input[2]",
    ),
    "a part of an item": (
        "responses",
        "compatible",
        {"input": [user([{"type": "input_image", "image_url": BAD_IMAGE}])]},
        "input[0].content[0]",
    ),
    "a block behind a turn's results": (
        "messages",
        "gemini",
        chat(
            {
                "role": "assistant",
                "content": [{"type": "tool_use", "id": "a", "name": "f", "input": {}}],
            },
            user(
                [
                    {"type": "tool_result", "tool_use_id": "a", "content": "r"},
                    TEXT,
                    url_source(BAD_IMAGE),
                ]
            ),
        ),
        "messages[1].content[2]",
    ),
    "a block of an unknown type": (
        "messages",
        "compatible",
        chat(user([TEXT, {"type": "smell", "smell": "roses"}])),
        "messages[0].content[1].type",
    ),
    "an image that Anthropic does not take": (
        "chat_completions",
        "anthropic",
        chat(user([TEXT, image_url("data:image/bmp;base64,QUJD")])),
        "messages[0].content[1]",
    ),
    "a stop word of white space": (
        "chat_completions",
        "anthropic",
        chat(user("x"), stop=["END", "\n"]),
        "stop",
    ),
    "an empty stop word": ("chat_completions", "gemini", chat(user("x"), stop=""), "stop"),
    "an empty stop sequence": (
        "messages",
        "compatible",
        chat(user("x"), stop_sequences=["END", ""]),
        "stop_sequences",
    ),
    "no messages": ("chat_completions", "anthropic", chat(), "messages"),
    "nothing but white space": ("chat_completions", "anthropic", chat(user(" \n")), "messages"),
    "a last message without content": (
        "messages",
        "gemini",
        chat(user("x"), {"role": "assistant", "content": "y"}, user([])),
        "messages",
    ),
    "no content at all": ("chat_completions", "gemini", chat({"role": "user"}), "messages[0].content"),
    "a choice without tools": (
        "chat_completions",
        "anthropic",
        chat(user("x"), tool_choice="required"),
        "tool_choice",
    ),
    "a choice of a tool that is not there": (
        "chat_completions",
        "gemini",
        chat(
            user("x"),
            tools=[{"type": "function", "function": {"name": "f"}}],
            tool_choice=CHOICE,
        ),
        "tool_choice",
    ),
    "Anthropic's choice without tools": (
        "messages",
        "compatible",
        chat(user("x"), tool_choice={"type": "any"}),
        "tool_choice",
    ),
}


@pytest.mark.parametrize("client_name, dialect, fields, name", REFUSED.values(), ids=REFUSED.keys())
def test_a_400_names_the_callers_own_field(pair, client_name, dialect, fields, name):
    route = pair.route_of(dialect)
    client = CLIENTS[client_name]

    reply = client.ask(pair.gateway, route.model, **fields)

    assert (reply.status, reply.kind()) == (400, "bad_request"), reply
    error = client.failure(reply)
    assert f"'{name}" in error["message"]
    if client_name != "messages":
        assert error["param"].startswith(name)
    assert route.first.attempt_count() == 0


def test_a_choice_that_says_nothing_without_tools_is_not_passed_on(pair):
    route = pair.route_of("compatible")

    reply = CLIENTS["messages"].ask(pair.gateway, route.model, tool_choice={"type": "auto"})

    assert reply.status == 200
    assert "tool_choice" not in route.first.attempts()[0].json()


def test_a_picture_goes_to_anthropic_by_its_real_type(pair):
    route = pair.route_of("anthropic")

    fields = chat(user([TEXT, image_url("data:image/jpg;base64,QUJD")]))
    assert CLIENTS["chat_completions"].ask(pair.gateway, route.model, **fields).status == 200

    content = route.first.attempts()[0].json()["messages"][0]["content"]
    assert content[1]["source"]["media_type"] == "image/jpeg"


def test_a_function_of_responses_is_strict_unless_its_caller_says_otherwise(pair):
    route = pair.route_of("compatible")
    strict = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
    tools = [
        {"type": "function", "name": "fits", "parameters": strict},
        {"type": "function", "name": "does_not", "parameters": {"type": "object"}},
        {"type": "function", "name": "must_not", "parameters": strict, "strict": False},
    ]

    reply = CLIENTS["responses"].ask(pair.gateway, route.model, tools=tools)

    assert reply.status == 200
    asked = [tool["function"].get("strict") for tool in route.first.attempts()[0].json()["tools"]]
    assert asked == [True, None, False]
    assert reply.header("x-candor-dropped") == "tools[].strict"


def test_whole_numbers_of_any_size_reach_the_provider_as_they_are(pair):
    route = pair.route_of("compatible")
    body = (
        '{"model":"%s","max_tokens":9,"messages":[{"role":"user","content":"x"},'
        '{"role":"assistant","content":[{"type":"tool_use","id":"a","name":"f","input":{"n":%s}}]},'
        '{"role":"user","content":[{"type":"tool_result","tool_use_id":"a","content":"r"}]}],'
        '"tools":[{"name":"f","input_schema":{"type":"object","maximum":%s}}]}'
    )
    large, larger = "123456789012345678901234567890", "-98765432109876543210987654321"

    reply = pair.gateway.post("/v1/messages", (body % (route.model, large, larger)).encode())

    assert reply.status == 200, reply
    asked = route.first.attempts()[0].body
    assert '{\\"n\\":%s}' % large in asked
    assert '"maximum":%s}' % larger in asked


@pytest.mark.parametrize("path", ["/v1/messages/batches", "/v1/messages/"])
def test_failures_under_messages_are_told_in_anthropics_words(pair, path):
    reply = pair.gateway.post(path, {}, {"x-request-id": "mine"})

    assert (reply.status, reply.kind()) == (404, "unknown_route")
    assert reply.header("request-id") == "mine"
    body = reply.json()
    assert (body["type"], body["error"]["type"]) == ("error", "not_found_error")
    assert body["request_id"] == "mine"


@pytest.mark.parametrize("path", ["/v1/responses/resp_1", "/v1/responses/resp_1/input_items"])
def test_a_response_cannot_be_fetched_later(pair, path):
    reply = pair.gateway.get(path)

    assert (reply.status, reply.kind()) == (404, "unknown_route")
    assert "keeps no responses" in reply.error()["message"]
    assert reply.header("x-should-retry") == "false"
