"""What each client API looks like from outside: its requests, its errors, its marks of success.

Only what the APIs' documentation says and their SDKs act upon; nothing of any gateway's own.
"""

import json

QUESTION = "Say hello."


class Heard:
    """What a client of the API makes of a reply.

    output    the words of the model
    calls     the names of the tools that it calls
    marks     what tells a client that the answer is complete, in the order it came
    errors    the errors that a client of this API can read
    unread    what looks like an error, in a form that clients of this API do not read
    is_answer a whole (unstreamed) body has the form of an answer, empty or not
    """

    def __init__(self):
        self.output = ""
        self.calls = []
        self.marks = []
        self.errors = []
        self.unread = []
        self.is_answer = False


class Chat:
    path = "/v1/chat/completions"

    def marks_of(self, finish, is_stream):
        """The marks of an answer that finished so (answer.FINISHES of the fake provider): each a
        set, of which one must be there."""
        finishes = {finish, "stop"} if finish == "tool_calls" else {finish}
        end = [{"[DONE]"}] if is_stream else []
        return [{f"finish_reason {name}" for name in finishes}, *end]

    def request(self, model, is_stream):
        message = {"role": "user", "content": QUESTION}
        return {"model": model, "messages": [message], **({"stream": True} if is_stream else {})}

    def headers(self):
        return {}

    def hear_whole(self, value):
        heard = Heard()
        _hear_error_object(heard, value)
        if isinstance(value, dict) and "choices" in value:
            heard.is_answer = True
            for choice in _objects(value["choices"]):
                message = _object(choice.get("message"))
                heard.output += _text(message.get("content"))
                heard.calls += _function_names(message)
                heard.marks.append(f"finish_reason {choice.get('finish_reason')}")
        return heard

    def hear_stream(self, events):
        heard = Heard()
        for name, data in events:
            if data.strip() == "[DONE]":
                heard.marks.append("[DONE]")
                continue
            value = _parse(data)
            _hear_error_object(heard, value)
            if name == "error" and not _object(value).get("error"):
                heard.unread.append(data)
            for choice in _objects(_object(value).get("choices")):
                delta = _object(choice.get("delta"))
                heard.output += _text(delta.get("content"))
                heard.calls += _function_names(delta)
                if choice.get("finish_reason") not in (None, "error"):
                    heard.marks.append(f"finish_reason {choice['finish_reason']}")
        return heard


class Responses:
    path = "/v1/responses"

    def marks_of(self, finish, is_stream):
        end = "incomplete" if finish in ("length", "content_filter") else "completed"
        return [{f"response.{end}" if is_stream else f"status {end}"}]

    def request(self, model, is_stream):
        return {"model": model, "input": QUESTION, **({"stream": True} if is_stream else {})}

    def headers(self):
        return {}

    def hear_whole(self, value):
        heard = Heard()
        _hear_error_object(heard, value)
        if isinstance(value, dict) and "output" in value:
            heard.is_answer = True
            heard.output = _response_text(value)
            heard.calls = [_text(item.get("name")) for item in _calls(value["output"])]
            heard.marks.append(f"status {value.get('status')}")
        return heard

    def hear_stream(self, events):
        heard = Heard()
        for _, data in events:
            value = _object(_parse(data))
            kind = value.get("type")
            response = _object(value.get("response"))
            if kind == "response.output_text.delta":
                heard.output += _text(value.get("delta"))
            elif kind == "response.output_item.added":
                heard.calls += [_text(item.get("name")) for item in _calls([value.get("item")])]
            elif kind in ("response.completed", "response.incomplete"):
                heard.marks.append(kind)
            elif kind == "error" and _is_message(_object(value.get("error")) or value):
                heard.errors.append(value.get("error") or value)
            elif kind == "response.failed" and _is_message(_object(response.get("error"))):
                heard.errors.append(response["error"])
            elif kind in ("error", "response.failed") or "error" in value:
                heard.unread.append(data)
        return heard


class Messages:
    path = "/v1/messages"

    def marks_of(self, finish, is_stream):
        names = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}
        end = [{"message_stop"}] if is_stream else []
        return [{f"stop_reason {names.get(finish, 'refusal')}"}, *end]

    def request(self, model, is_stream):
        message = {"role": "user", "content": QUESTION}
        body = {"model": model, "max_tokens": 64, "messages": [message]}
        return {**body, **({"stream": True} if is_stream else {})}

    def headers(self):
        return {"anthropic-version": "2023-06-01"}

    def hear_whole(self, value):
        heard = Heard()
        self._hear_error(heard, value)
        if isinstance(value, dict) and "content" in value:
            heard.is_answer = True
            for part in _objects(value["content"]):
                self._hear_part(heard, part)
            heard.marks.append(f"stop_reason {value.get('stop_reason')}")
        return heard

    def hear_stream(self, events):
        heard = Heard()
        for name, data in events:
            value = _object(_parse(data))
            if name == "error":
                self._hear_error(heard, value, data)
            elif not name:
                heard.unread.append(data)  # the SDKs skip events without a name
            elif name == "content_block_start":
                self._hear_part(heard, _object(value.get("content_block")))
            elif name == "content_block_delta":
                heard.output += _text(_object(value.get("delta")).get("text"))
            elif name == "message_delta" and _object(value.get("delta")).get("stop_reason"):
                heard.marks.append(f"stop_reason {value['delta']['stop_reason']}")
            elif name == "message_stop":
                heard.marks.append("message_stop")
        return heard

    @staticmethod
    def _hear_part(heard, part):
        heard.output += _text(part.get("text"))
        heard.calls += [_text(part.get("name"))] if part.get("type") == "tool_use" else []

    @staticmethod
    def _hear_error(heard, value, data=None):
        value = _object(value)
        error = _object(value.get("error"))
        if _is_message(error) and isinstance(error.get("type"), str):
            heard.errors.append(error)
        elif "error" in value or data is not None:
            heard.unread.append(data or json.dumps(value))


APIS = {"chat": Chat(), "responses": Responses(), "messages": Messages()}


def _hear_error_object(heard, value):
    """{"error": {"message": ...}}, as every OpenAI SDK reads it."""
    if isinstance(value, dict) and value.get("error"):
        error = value["error"]
        (heard.errors if _is_message(_object(error)) else heard.unread).append(error)


def _is_message(error):
    return isinstance(error.get("message"), str) and bool(error["message"])


def _function_names(message):
    """The names in a message or in a delta of one; later deltas of a call have none."""
    calls = _objects(message.get("tool_calls"))
    names = [_text(_object(call.get("function")).get("name")) for call in calls]
    return [name for name in names if name]


def _calls(items):
    return [item for item in _objects(items) if item.get("type") == "function_call"]


def _response_text(response):
    parts = [p for item in _objects(response.get("output")) for p in _objects(item.get("content"))]
    return "".join(_text(p.get("text")) for p in parts if p.get("type") == "output_text")


def _parse(data):
    try:
        return json.loads(data)
    except ValueError:
        return None


def _object(value):
    return value if isinstance(value, dict) else {}


def _objects(value):
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _text(value):
    return value if isinstance(value, str) else ""
