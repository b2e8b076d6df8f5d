"""Answers that are odd: those that are healthy all the same pass, those that are not are told."""

import gzip
import json

import pytest

PAIR = {"routes": 80}

ANSWER = {
    "id": "c1",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "usage": {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8},
    "choices": [
        {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "hi"}}
    ],
}
WHOLE = json.dumps(ANSWER)


def answer(finish_reason="stop", **message):
    choice = {
        "index": 0,
        "finish_reason": finish_reason,
        "message": {"role": "assistant", **message},
    }
    return {"body": {**ANSWER, "choices": [choice]}}


def raw(*head, body=WHOLE):
    lines = [*head, "content-type: application/json", "", ""]
    return {"raw": "\r\n".join(lines) + body}


ZIPPED = gzip.compress(WHOLE.encode()).decode("latin-1")
LENGTH = f"content-length: {len(WHOLE)}"
CHUNKED = f"{len(WHOLE):x};name=value\r\n{WHOLE}\r\n0\r\nx-trailer: 1\r\n\r\n"

HEALTHY = {
    "an early hint before the answer": raw(
        "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n", "HTTP/1.1 200 OK", LENGTH
    ),
    "100 Continue before the answer": raw("HTTP/1.1 100 Continue\r\n", "HTTP/1.1 200 OK", LENGTH),
    "HTTP/1.0": raw("HTTP/1.0 200 OK"),
    "chunk extensions and trailers": raw(
        "HTTP/1.1 200 OK", "transfer-encoding: chunked", body=CHUNKED
    ),
    "bytes after the answer": raw("HTTP/1.1 200 OK", LENGTH, body=WHOLE + "EXTRA"),
    "no content type": {"body": WHOLE, "content_type": ""},
    "text as content type": {"body": WHOLE, "content_type": "text/plain"},
    "an error that is null": {"body": {**ANSWER, "error": None}},
    "a filter's error inside a good answer": {
        "body": {
            **ANSWER,
            "prompt_filter_results": [
                {"content_filter_results": {"error": {"code": "content_filter_error"}}}
            ],
        }
    },
    "cut short by its length": answer("length", content=""),
    "filtered by the model": answer("content_filter", content=""),
    "a refusal": answer(content=None, refusal="I must not."),
    "a tool call": answer(
        "tool_calls",
        content=None,
        tool_calls=[{"id": "t", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
    ),
    "reasoning only": answer("length", content="", reasoning_content="Let me see"),
}

FAILED = {
    "compressed without being asked": raw(
        "HTTP/1.1 200 OK", "content-encoding: gzip", f"content-length: {len(ZIPPED)}", body=ZIPPED
    ),
    "a redirect": {"status": 302, "headers": {"location": "http://127.0.0.1:1/"}, "body": ""},
    "204": {"raw": "HTTP/1.1 204 No Content\r\n\r\n"},
    "two lengths": raw("HTTP/1.1 200 OK", "content-length: 3", LENGTH),
    "length and chunks": raw("HTTP/1.1 200 OK", LENGTH, "transfer-encoding: chunked", body=CHUNKED),
    "less than announced": raw("HTTP/1.1 200 OK", "content-length: 9999"),
    "an error as finish reason": answer("error", content="hal"),
    "101 Switching Protocols": {"raw": "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n"},
    "an endless row of hints": {"raw": "HTTP/1.1 103 Early Hints\r\n\r\n" * 10_000},
}


@pytest.mark.parametrize("behaviour", HEALTHY.values(), ids=HEALTHY.keys())
def test_healthy_all_the_same(pair, behaviour):
    route = pair.solo()
    route.first.next(**behaviour)

    reply = pair.gateway.chat(route.model)

    assert reply.status == 200, reply
    assert reply.header("content-type") == "application/json"
    assert reply.json()["id"] == "c1"
    assert pair.gateway.chat(route.model).status == 200


@pytest.mark.parametrize("behaviour", FAILED.values(), ids=FAILED.keys())
def test_no_answer_of_a_model(pair, behaviour):
    route = pair.solo()
    route.first.next(**behaviour)

    reply = pair.gateway.chat(route.model)

    assert reply.status == 502, reply
    assert reply.kind() in ("upstream_malformed", "upstream_interrupted", "upstream_error")
    assert pair.gateway.chat(route.model).status == 200, "the next request meets a clean connection"


@pytest.mark.parametrize("stream", [False, True])
def test_the_status_that_is_told_is_the_one_that_the_provider_sent(pair, stream):
    route = pair.solo()
    route.first.next(**FAILED["204"])

    candor = pair.gateway.chat(route.model, stream=stream).error()["candor"]

    assert (candor["kind"], candor["upstream_status"]) == ("upstream_malformed", 204)


def test_no_redirect_is_followed(pair):
    """It would carry the credential to wherever the provider says."""
    route, elsewhere = pair.solo(), pair.solo()
    location = elsewhere.first.base_url() + "/chat/completions"
    for status in (301, 302, 307, 308):
        route.first.next(status=status, headers={"location": location}, body="")
        assert pair.gateway.chat(route.model).status == 502
    assert elsewhere.first.attempt_count() == 0


CHUNK = json.dumps(
    {
        **ANSWER,
        "object": "chat.completion.chunk",
        "choices": [{"index": 0, "delta": {"content": "hi"}, "finish_reason": None}],
    }
)
FINISH = json.dumps(
    {
        **ANSWER,
        "object": "chat.completion.chunk",
        "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}],
    }
)


def stream(line_end="\n", prefix="data: ", last=None):
    end = line_end * 2
    events = [CHUNK, FINISH, "[DONE]"]
    body = end.join(prefix + event for event in events) + (end if last is None else last)
    return {"raw": "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n" + body}


EVENTS = [f"data: {CHUNK}", f"data: {FINISH}", "data: [DONE]"]
HEALTHY_STREAMS = {
    "lines end in CR LF": stream("\r\n"),
    "lines end in CR": stream("\r"),
    "no space after data": stream(prefix="data:"),
    "no empty line after the end marker": stream(last=""),
    "comments between events": {"events": [": ping", EVENTS[0], ": ping", *EVENTS[1:]]},
    "a comment inside an event": {"events": [": ping\n" + EVENTS[0], *EVENTS[1:]]},
    "named events without data": {"events": ["event: ping", EVENTS[0], "event: ping", *EVENTS[1:]]},
    "the connection stays open after the end": {
        "events": [*EVENTS, ": never sent"],
        "cut_after_events": 3,
        "end": "stall",
    },
    "something after the end": {"events": [*EVENTS, EVENTS[0]]},
    "no content type": {"events": EVENTS, "content_type": ""},
    "a finish reason and no text": {"events": EVENTS[1:]},
}


@pytest.mark.parametrize("behaviour", HEALTHY_STREAMS.values(), ids=HEALTHY_STREAMS.keys())
def test_healthy_stream_all_the_same(pair, behaviour):
    route = pair.solo()
    route.first.next(**behaviour)

    reply = pair.gateway.chat(route.model, stream=True)

    assert reply.status == 200, reply
    assert not reply.is_cut
    text = reply.text().replace("\r\n", "\n").replace("\r", "\n")
    assert FINISH in text
    assert text.rstrip("\n").endswith("data: [DONE]") or text.rstrip("\n").endswith("data:[DONE]")
    assert "event: ping" not in text, "an event without data makes SDKs fail"


def test_a_whole_answer_to_a_request_for_a_stream_is_malformed(pair):
    route = pair.solo()
    route.first.next(body=WHOLE)

    reply = pair.gateway.chat(route.model, stream=True)

    assert (reply.status, reply.kind()) == (502, "upstream_malformed")
