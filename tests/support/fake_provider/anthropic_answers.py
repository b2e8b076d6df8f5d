"""Anthropic's Messages API.

https://docs.anthropic.com/en/api/messages, .../messages-streaming
"""

from answer import SIGNATURE, halves, named

STOP_REASONS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
}


def _input_usage(answer):
    """Its input_tokens are those that no cache held."""
    return {
        "input_tokens": answer.input_tokens - answer.cached_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": answer.cached_tokens,
    }


def _stop(answer):
    is_sequence = answer.stop_sequence is not None
    reason = "stop_sequence" if is_sequence else STOP_REASONS[answer.finish]
    return {"stop_reason": reason, "stop_sequence": answer.stop_sequence}


def _tool_use(each):
    return {"type": "tool_use", "id": each.id, "name": each.name, "input": each.arguments}


def body(call, answer):
    texts = list(answer.text)
    content = []
    if answer.reasoning:
        thinking = "".join(answer.reasoning)
        content.append({"type": "thinking", "thinking": thinking, "signature": SIGNATURE})
    if texts or answer.refusal:
        content.append({"type": "text", "text": "".join(texts) + answer.refusal})
    content += [_tool_use(each) for each in answer.tool_calls]
    return {
        "id": f"msg_fake{call.number}",
        "type": "message",
        "role": "assistant",
        "model": call.model,
        "content": content,
        **_stop(answer),
        "usage": {**_input_usage(answer), "output_tokens": answer.output_count(len(texts))},
    }


def count_body(call, answer):
    return {"input_tokens": answer.input_tokens}


def events(call, answer):
    message = {
        "id": f"msg_fake{call.number}",
        "type": "message",
        "role": "assistant",
        "model": call.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {**_input_usage(answer), "output_tokens": 1},
    }
    count = 0
    yield named("message_start", {"message": message})
    index = 0
    if answer.reasoning:
        yield from _thinking_events(answer, index)
        index += 1
    if answer.is_plain() or answer.text or answer.refusal:
        yield _start(index, {"type": "text", "text": ""})
        yield named("ping", {})
        for text in [answer.refusal] if answer.refusal else answer.text:
            count += 1
            yield _delta(index, {"type": "text_delta", "text": text})
        yield named("content_block_stop", {"index": index})
        index += 1
    for each in answer.tool_calls:
        yield _start(index, {**_tool_use(each), "input": {}})
        for piece in ["", *halves(each.arguments_text())]:
            yield _delta(index, {"type": "input_json_delta", "partial_json": piece})
        yield named("content_block_stop", {"index": index})
        index += 1
    usage = {"output_tokens": answer.output_count(count)}
    yield named("message_delta", {"delta": _stop(answer), "usage": usage})
    yield named("message_stop", {})


def _thinking_events(answer, index):
    yield _start(index, {"type": "thinking", "thinking": "", "signature": ""})
    for text in answer.reasoning:
        yield _delta(index, {"type": "thinking_delta", "thinking": text})
    yield _delta(index, {"type": "signature_delta", "signature": SIGNATURE})
    yield named("content_block_stop", {"index": index})


def _start(index, block):
    return named("content_block_start", {"index": index, "content_block": block})


def _delta(index, delta):
    return named("content_block_delta", {"index": index, "delta": delta})
