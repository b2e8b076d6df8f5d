"""The dialects that clients speak, each with what its users rely on: how a request looks, how an
answer reads, how a failure must look, and what would be taken for success.

Shapes are judged by the models of the official SDKs, so that a missing or mistyped field is found.
"""

import dataclasses
import json
import typing

import anthropic.types
import openai.types
import openai.types.chat
import openai.types.responses

HELLO = "Say hello."


@dataclasses.dataclass
class Seen:
    """What a client makes of an answer, in no dialect. Token counts are totals, as in the fake
    provider's answer.py; None is what the dialect does not tell."""

    text: str = ""
    reasoning: str = ""
    refusal: str = ""
    tool_calls: list = dataclasses.field(default_factory=list)  # of (id, name, arguments)
    finish: str = ""
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = None
    is_whole: bool = True  # the dialect's mark of success was there

    def has_output(self):
        return bool(self.text or self.reasoning or self.refusal or self.tool_calls)


class Client:
    """A dialect. `name` is its endpoint's in the gateway's metrics and logs."""

    name = ""
    path = ""
    can_stream = True
    headers = {}

    def request(self, model, **fields):
        """The smallest sensible request."""
        raise NotImplementedError

    def ask(self, gateway, model, stream=False, **fields):
        if stream:
            fields["stream"] = True
        return gateway.post(self.path, self.request(model, **fields), self.headers)

    def read(self, reply):
        """The whole or streamed answer as Seen."""
        assert reply.status == 200, reply
        if reply.header("content-type").startswith("text/event-stream"):
            return self._read_stream(reply)
        return self._read_whole(reply.json())

    def failure(self, reply):
        """The error of a reply with an error status, after checking that every SDK can read it."""
        assert reply.status >= 400, reply
        assert reply.header("content-type").split(";")[0] == "application/json", reply
        return self._check_error(reply.json(), reply)

    def failure_in_stream(self, reply):
        """The error that ends a stream which had begun, after checking that nothing in the stream
        reads as success and that the error is its end."""
        assert reply.status == 200 and not reply.is_cut, reply
        assert not self._read_stream(reply).is_whole, reply
        error = self._check_stream_end(reply)
        assert error["status"] >= 400
        return error

    def told(self, reply):
        """The error and its status, wherever it had to be told."""
        if reply.status != 200:
            return self.failure(reply), reply.status
        error = self.failure_in_stream(reply)
        return error, error["status"]

    def _check_error(self, body, reply):
        return check_openai_error(body)


def check_openai_error(body):
    error = body["error"]
    assert isinstance(error["message"], str) and error["message"], body
    assert isinstance(error["type"], str) and error["type"], body
    assert error["param"] is None or isinstance(error["param"], str), body
    assert error["code"] is None or isinstance(error["code"], (str, int)), body
    assert "choices" not in body and "output" not in body, body
    return error


def read_arguments(text):
    """What a model wrote as arguments: normally JSON, else the text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def json_events(reply):
    """The events of a stream in which each has to be JSON, but for OpenAI's end marker."""
    return [json.loads(event) for event in reply.events() if event != "[DONE]"]


class Chat(Client):
    name = "chat_completions"
    path = "/v1/chat/completions"

    def request(self, model, **fields):
        return {"model": model, "messages": [{"role": "user", "content": HELLO}], **fields}

    def _read_whole(self, body):
        completion = openai.types.chat.ChatCompletion.model_validate(body)
        choice = completion.choices[0]
        message = choice.message
        seen = Seen(
            text=message.content or "",
            reasoning=getattr(message, "reasoning_content", None) or "",
            refusal=message.refusal or "",
            finish=choice.finish_reason,
        )
        for call in message.tool_calls or []:
            arguments = read_arguments(call.function.arguments)
            seen.tool_calls.append((call.id, call.function.name, arguments))
        self._count(seen, completion.usage)
        return seen

    def _read_stream(self, reply):
        seen = Seen(is_whole="[DONE]" in reply.events())
        calls = {}
        for event in json_events(reply):
            if "error" in event:
                continue
            chunk = openai.types.chat.ChatCompletionChunk.model_validate(event)
            self._count(seen, chunk.usage)
            for choice in chunk.choices:
                seen.text += choice.delta.content or ""
                seen.reasoning += getattr(choice.delta, "reasoning_content", None) or ""
                seen.refusal += choice.delta.refusal or ""
                seen.finish = choice.finish_reason or seen.finish
                self._add_calls(calls, choice.delta.tool_calls or [])
        for call in calls.values():
            arguments = read_arguments(call[2]) if seen.is_whole else None
            seen.tool_calls.append((call[0], call[1], arguments))
        return seen

    @staticmethod
    def _add_calls(calls, deltas):
        for delta in deltas:
            call = calls.setdefault(delta.index, ["", "", ""])
            call[0] += delta.id or ""
            if delta.function:
                call[1] += delta.function.name or ""
                call[2] += delta.function.arguments or ""

    @staticmethod
    def _count(seen, usage):
        if not usage:
            return
        seen.input_tokens = usage.prompt_tokens
        seen.output_tokens = usage.completion_tokens
        assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
        if usage.prompt_tokens_details:
            seen.cached_tokens = usage.prompt_tokens_details.cached_tokens or 0
        if usage.completion_tokens_details:
            seen.reasoning_tokens = usage.completion_tokens_details.reasoning_tokens

    def _check_stream_end(self, reply):
        events = json_events(reply)
        assert all("error" not in event for event in events[:-1]), reply
        return check_openai_error(events[-1])


class Completions(Chat):
    name = "completions"
    path = "/v1/completions"

    def request(self, model, **fields):
        return {"model": model, "prompt": HELLO, **fields}

    def _read_whole(self, body):
        completion = openai.types.Completion.model_validate(body)
        choice = completion.choices[0]
        seen = Seen(text=choice.text, finish=choice.finish_reason)
        self._count(seen, completion.usage)
        return seen

    def _read_stream(self, reply):
        seen = Seen(is_whole="[DONE]" in reply.events())
        for event in json_events(reply):
            if "error" in event:
                continue
            # A chunk of this API is a whole completion but for its finish reason.
            for choice in event["choices"]:
                assert choice["index"] == 0 and isinstance(choice["text"], str), event
                seen.text += choice["text"]
                seen.finish = choice.get("finish_reason") or seen.finish
        return seen




def models_by_type(union):
    """The models of an annotated union by what their field `type` says: an error of validation then
    speaks of one model and not of all."""
    members = typing.get_args(typing.get_args(union)[0])
    return {typing.get_args(m.model_fields["type"].annotation)[0]: m for m in members}


RESPONSE_EVENTS = models_by_type(openai.types.responses.ResponseStreamEvent)
REASONING_DELTAS = ("response.reasoning_summary_text.delta", "response.reasoning_text.delta")
RESPONSE_ENDS = ("response.completed", "response.incomplete")


class Responses(Client):
    name = "responses"
    path = "/v1/responses"

    def request(self, model, **fields):
        return {"model": model, "input": HELLO, **fields}

    def _read_whole(self, body):
        response = openai.types.responses.Response.model_validate(body)
        assert response.status in ("completed", "incomplete") and response.error is None, body
        return self._seen_in(response)

    @staticmethod
    def _seen_in(response):
        seen = Seen(finish=response.status)
        if response.incomplete_details:
            seen.finish = response.incomplete_details.reason
        for item in response.output:
            if item.type == "reasoning":
                parts = [*item.summary, *(item.content or [])]
                seen.reasoning += "".join(part.text for part in parts)
            elif item.type == "function_call":
                seen.tool_calls.append((item.call_id, item.name, read_arguments(item.arguments)))
            elif item.type == "message":
                for part in item.content:
                    seen.text += part.text if part.type == "output_text" else ""
                    seen.refusal += part.refusal if part.type == "refusal" else ""
        if response.usage:
            seen.input_tokens = response.usage.input_tokens
            seen.output_tokens = response.usage.output_tokens
            assert response.usage.total_tokens == seen.input_tokens + seen.output_tokens
            seen.cached_tokens = response.usage.input_tokens_details.cached_tokens
            seen.reasoning_tokens = response.usage.output_tokens_details.reasoning_tokens
        return seen

    def _read_stream(self, reply):
        """The final response when there is one, which has to agree with the deltas."""
        events = json_events(reply)
        said = Seen(is_whole=events[-1]["type"] in RESPONSE_ENDS)
        numbers = [event["sequence_number"] for event in events]
        assert numbers == list(range(numbers[0], numbers[0] + len(events))), numbers
        self._check_names(reply)
        for event in events:
            if event["type"] in ("error", "response.failed"):
                continue
            known = RESPONSE_EVENTS[event["type"]].model_validate(event)
            if known.type == "response.output_text.delta":
                said.text += known.delta
            elif known.type == "response.refusal.delta":
                said.refusal += known.delta
            elif known.type in REASONING_DELTAS:
                said.reasoning += known.delta
            elif known.type == "response.output_item.added" and known.item.type == "function_call":
                said.tool_calls.append((known.item.call_id, known.item.name, None))
        assert all(event["type"] not in RESPONSE_ENDS for event in events[:-1]), reply
        if not said.is_whole:
            return said
        whole = self._read_whole(events[-1]["response"])
        assert (said.text, said.refusal, said.reasoning) == (
            whole.text,
            whole.refusal,
            whole.reasoning,
        )
        assert [call[:2] for call in said.tool_calls] == [call[:2] for call in whole.tool_calls]
        return whole

    @staticmethod
    def _check_names(reply):
        for block in reply.text().strip().split("\n\n"):
            if block.startswith(":"):
                continue
            name, data = block.split("\n", 1)
            assert name == "event: " + json.loads(data.removeprefix("data:"))["type"], block

    def _check_stream_end(self, reply):
        events = json_events(reply)
        error, failed = events[-2:]
        assert [error["type"], failed["type"]] == ["error", "response.failed"], reply
        # SDKs look at the flat fields or at the nested object.
        nested = check_openai_error({"error": error["error"]})
        assert {k: error[k] for k in ("message", "code", "param")} == {
            k: nested[k] for k in ("message", "code", "param")
        }
        response = failed["response"]
        assert response["status"] == "failed" and response["object"] == "response"
        assert response["error"] == {"code": nested["code"], "message": nested["message"]}
        assert response["id"] == events[0]["response"]["id"], "a client looks its response up by id"
        return nested


MESSAGE_EVENTS = models_by_type(anthropic.types.RawMessageStreamEvent)
ANTHROPIC_ERRORS = (
    "invalid_request_error",
    "authentication_error",
    "billing_error",
    "permission_error",
    "not_found_error",
    "request_too_large",
    "rate_limit_error",
    "timeout_error",
    "api_error",
    "overloaded_error",
)


class Messages(Client):
    name = "messages"
    path = "/v1/messages"
    headers = {"anthropic-version": "2023-06-01"}

    def request(self, model, **fields):
        messages = [{"role": "user", "content": HELLO}]
        return {"model": model, "max_tokens": 100, "messages": messages, **fields}

    def _read_whole(self, body):
        return self._seen_in(anthropic.types.Message.model_validate(body))

    @staticmethod
    def _seen_in(message):
        assert message.role == "assistant" and message.type == "message"
        seen = Seen(finish=message.stop_reason)
        for block in message.content:
            if block.type == "text":
                seen.text += block.text
            elif block.type == "thinking":
                seen.reasoning += block.thinking
            elif block.type == "tool_use":
                seen.tool_calls.append((block.id, block.name, block.input))
        usage = message.usage
        seen.cached_tokens = usage.cache_read_input_tokens or 0
        written = usage.cache_creation_input_tokens or 0
        seen.input_tokens = usage.input_tokens + seen.cached_tokens + written
        seen.output_tokens = usage.output_tokens
        return seen

    def _read_stream(self, reply):
        """Puts the message together as the SDKs do."""
        message, arguments, is_whole = None, {}, False
        for event in json_events(reply):
            if event["type"] in ("error", "ping"):
                continue
            MESSAGE_EVENTS[event["type"]].model_validate(event)
            if event["type"] == "message_start":
                assert message is None
                message = event["message"]
            elif event["type"] == "content_block_start":
                assert event["index"] == len(message["content"]), event
                message["content"].append(event["content_block"])
            elif event["type"] == "content_block_delta":
                self._add_delta(message["content"][event["index"]], event, arguments)
            elif event["type"] == "content_block_stop":
                self._close_block(message["content"][event["index"]], event, arguments)
            elif event["type"] == "message_delta":
                message.update(event["delta"])
                given = {k: v for k, v in event["usage"].items() if v is not None}
                message["usage"].update(given)
            is_whole = event["type"] == "message_stop"
        seen = self._seen_in(anthropic.types.Message.model_validate(message))
        seen.is_whole = is_whole
        return seen

    @staticmethod
    def _add_delta(block, event, arguments):
        delta = event["delta"]
        for field in ("text", "thinking", "signature"):
            if delta["type"] == f"{field}_delta":
                block[field] = block.get(field, "") + delta[field]
        if delta["type"] == "input_json_delta":
            index = event["index"]
            arguments[index] = arguments.get(index, "") + delta["partial_json"]

    @staticmethod
    def _close_block(block, event, arguments):
        if block["type"] == "tool_use":
            written = read_arguments(arguments.get(event["index"]) or "{}")
            block["input"] = written if isinstance(written, dict) else {"unreadable": written}

    def _check_error(self, body, reply):
        if reply is not None:
            assert reply.header("request-id") == reply.header("x-request-id") == body["request_id"]
        assert body["type"] == "error", body
        error = body["error"]
        assert error["type"] in ANTHROPIC_ERRORS, body
        assert isinstance(error["message"], str) and error["message"], body
        assert "content" not in body
        return error

    def _check_stream_end(self, reply):
        assert reply.text().strip().split("\n\n")[-1].startswith("event: error\n"), reply
        events = json_events(reply)
        assert [e["type"] for e in events].count("error") == 1
        return self._check_error(events[-1], None)


class Embeddings(Client):
    name = "embeddings"
    path = "/v1/embeddings"
    can_stream = False

    def request(self, model, **fields):
        return {"model": model, "input": HELLO, **fields}


CLIENTS = {client.name: client for client in (Chat(), Responses(), Messages(), Completions())}
EMBEDDINGS = Embeddings()
