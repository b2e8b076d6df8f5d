"""OpenAI's Responses API.

https://platform.openai.com/docs/api-reference/responses, .../responses-streaming
"""

import time

from answer import halves, named


def _usage(answer, texts):
    output = answer.output_count(len(texts))
    return {
        "input_tokens": answer.input_tokens,
        "input_tokens_details": {"cached_tokens": answer.cached_tokens, "cache_write_tokens": 0},
        "output_tokens": output,
        "output_tokens_details": {"reasoning_tokens": answer.reasoning_tokens},
        "total_tokens": answer.input_tokens + output,
    }


def _reasoning_item(call, answer):
    return {
        "id": f"rs_fake{call.number}",
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": "".join(answer.reasoning)}],
    }


def _message_item(call, part):
    return {
        "id": f"msg_fake{call.number}",
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "content": [part],
    }


def _text_part(texts):
    return {"type": "output_text", "text": "".join(texts), "annotations": [], "logprobs": []}


def _call_item(call, index, each):
    return {
        "id": f"fc_fake{call.number}_{index}",
        "type": "function_call",
        "status": "completed",
        "call_id": each.id,
        "name": each.name,
        "arguments": each.arguments_text(),
    }


def _has_message(answer):
    return answer.is_plain() or answer.text or answer.refusal


def _output(call, answer, texts):
    items = [_reasoning_item(call, answer)] if answer.reasoning else []
    if answer.refusal:
        items.append(_message_item(call, {"type": "refusal", "refusal": answer.refusal}))
    elif _has_message(answer):
        items.append(_message_item(call, _text_part(texts)))
    return items + [_call_item(call, i, each) for i, each in enumerate(answer.tool_calls)]


def _final_status(answer):
    """Status and the reason why it is incomplete."""
    reason = {"length": "max_output_tokens", "content_filter": "content_filter"}.get(answer.finish)
    return ("incomplete", {"reason": reason}) if reason else ("completed", None)


def _response(call, status, output=(), usage=None, incomplete=None):
    return {
        "id": f"resp_fake{call.number}",
        "object": "response",
        "created_at": int(time.time()),
        "status": status,
        "model": call.model,
        "error": None,
        "incomplete_details": incomplete,
        "output": list(output),
        "parallel_tool_calls": True,
        "tools": call.body.get("tools", []),
        "tool_choice": call.body.get("tool_choice", "auto"),
        "usage": usage,
    }


def body(call, answer):
    texts = list(answer.text)
    status, incomplete = _final_status(answer)
    output = _output(call, answer, texts)
    return _response(call, status, output, _usage(answer, texts), incomplete)


class _Numbered:
    """Builds the events of one stream, each with its sequence number."""

    def __init__(self):
        self._next = 0

    def event(self, name, /, **fields):
        self._next += 1
        return named(name, {"sequence_number": self._next - 1, **fields})


def events(call, answer):
    stream = _Numbered()
    index = 0
    said = []
    yield stream.event("response.created", response=_response(call, "in_progress"))
    yield stream.event("response.in_progress", response=_response(call, "in_progress"))
    if answer.reasoning:
        yield from _reasoning_events(stream, _reasoning_item(call, answer), index, answer)
        index += 1
    if _has_message(answer):
        yield from _message_events(stream, call, index, answer, said)
        index += 1
    for number, each in enumerate(answer.tool_calls):
        yield from _call_events(stream, _call_item(call, number, each), index)
        index += 1
    status, incomplete = _final_status(answer)
    output = _output(call, answer, said)
    final = _response(call, status, output, _usage(answer, said), incomplete)
    yield stream.event(f"response.{status}", response=final)


def _reasoning_events(stream, item, index, answer):
    place = {"item_id": item["id"], "output_index": index, "summary_index": 0}
    empty = {"type": "summary_text", "text": ""}
    added = {**item, "summary": []}
    yield stream.event("response.output_item.added", output_index=index, item=added)
    yield stream.event("response.reasoning_summary_part.added", **place, part=empty)
    for text in answer.reasoning:
        yield stream.event("response.reasoning_summary_text.delta", **place, delta=text)
    done = item["summary"][0]
    yield stream.event("response.reasoning_summary_text.done", **place, text=done["text"])
    yield stream.event("response.reasoning_summary_part.done", **place, part=done)
    yield stream.event("response.output_item.done", output_index=index, item=item)


def _message_events(stream, call, index, answer, said):
    """`said` takes the pieces as they go out."""
    item = _message_item(call, {})
    place = {"item_id": item["id"], "output_index": index, "content_index": 0}
    added = {**item, "status": "in_progress", "content": []}
    yield stream.event("response.output_item.added", output_index=index, item=added)
    if answer.refusal:
        part = {"type": "refusal", "refusal": answer.refusal}
        empty = {"type": "refusal", "refusal": ""}
        yield stream.event("response.content_part.added", **place, part=empty)
        yield stream.event("response.refusal.delta", **place, delta=answer.refusal)
        yield stream.event("response.refusal.done", **place, refusal=answer.refusal)
    else:
        yield stream.event("response.content_part.added", **place, part=_text_part([]))
        for text in answer.text:
            said.append(text)
            yield stream.event("response.output_text.delta", **place, delta=text, logprobs=[])
        part = _text_part(said)
        yield stream.event("response.output_text.done", **place, text=part["text"], logprobs=[])
    yield stream.event("response.content_part.done", **place, part=part)
    done = {**item, "content": [part]}
    yield stream.event("response.output_item.done", output_index=index, item=done)


def _call_events(stream, item, index):
    place = {"item_id": item["id"], "output_index": index}
    added = {**item, "status": "in_progress", "arguments": ""}
    yield stream.event("response.output_item.added", output_index=index, item=added)
    for piece in halves(item["arguments"]):
        yield stream.event("response.function_call_arguments.delta", **place, delta=piece)
    yield stream.event(
        "response.function_call_arguments.done",
        **place,
        name=item["name"],
        arguments=item["arguments"],
    )
    yield stream.event("response.output_item.done", output_index=index, item=item)
