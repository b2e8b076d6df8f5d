"""OpenAI's Chat Completions, Completions, Embeddings and Models; Azure's deployments answer alike.

https://platform.openai.com/docs/api-reference/chat, .../chat-streaming
"""

import time

from answer import data, halves


def _usage(answer, pieces):
    output = answer.output_count(pieces)
    return {
        "prompt_tokens": answer.input_tokens,
        "completion_tokens": output,
        "total_tokens": answer.input_tokens + output,
        "prompt_tokens_details": {"cached_tokens": answer.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": answer.reasoning_tokens},
    }


def _tool_call(call):
    return {
        "id": call.id,
        "type": "function",
        "function": {"name": call.name, "arguments": call.arguments_text()},
    }


def chat_body(call, answer):
    texts = list(answer.text)
    message = {
        "role": "assistant",
        "content": "".join(texts) if texts else None,
        "refusal": answer.refusal or None,
    }
    if answer.reasoning:
        message["reasoning_content"] = "".join(answer.reasoning)
    if answer.tool_calls:
        message["tool_calls"] = [_tool_call(each) for each in answer.tool_calls]
    choice = {"index": 0, "finish_reason": answer.finish, "logprobs": None, "message": message}
    return {
        "id": f"chatcmpl-fake{call.number}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": call.model,
        "usage": _usage(answer, len(texts)),
        "choices": [choice],
    }


def chat_events(call, answer):
    created = int(time.time())

    def chunk(delta, finish=None):
        return {
            "id": f"chatcmpl-fake{call.number}",
            "object": "chat.completion.chunk",
            "created": created,
            "model": call.model,
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
        }

    count = 0
    if call.dialect == "azure":
        yield data({**chunk({}), "choices": [], "prompt_filter_results": []})
    yield data(chunk({"role": "assistant", "content": ""}))
    for text in answer.reasoning:
        yield data(chunk({"reasoning_content": text}))
    for text in answer.text:
        count += 1
        yield data(chunk({"content": text}))
    if answer.refusal:
        yield data(chunk({"refusal": answer.refusal}))
    for index, each in enumerate(answer.tool_calls):
        whole = _tool_call(each)
        opening = {**whole, "index": index, "function": {"name": each.name, "arguments": ""}}
        yield data(chunk({"tool_calls": [opening]}))
        for piece in halves(each.arguments_text()):
            yield data(
                chunk({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
            )
    yield data(chunk({}, finish=answer.finish))
    if (call.body.get("stream_options") or {}).get("include_usage"):
        yield data({**chunk({}), "choices": [], "usage": _usage(answer, count)})
    yield "data: [DONE]"


def completion_body(call, answer):
    texts = list(answer.text)
    return {
        "id": f"cmpl-fake{call.number}",
        "object": "text_completion",
        "created": int(time.time()),
        "model": call.model,
        "usage": _usage(answer, len(texts)),
        "choices": [
            {"index": 0, "text": "".join(texts), "finish_reason": answer.finish, "logprobs": None}
        ],
    }


def completion_events(call, answer):
    head = {
        "id": f"cmpl-fake{call.number}",
        "object": "text_completion",
        "created": int(time.time()),
        "model": call.model,
    }
    for text in answer.text:
        yield data({**head, "choices": [{"index": 0, "text": text, "finish_reason": None}]})
    yield data({**head, "choices": [{"index": 0, "text": "", "finish_reason": answer.finish}]})
    yield "data: [DONE]"


def embedding_body(call, _):
    inputs = call.body.get("input", "")
    inputs = inputs if isinstance(inputs, list) else [inputs]
    # The SDKs ask for base64 by default: three little-endian floats 0.25, 0.5, 0.75.
    vector = (
        "AACAPgAAAD8AAEA/" if call.body.get("encoding_format") == "base64" else [0.25, 0.5, 0.75]
    )
    return {
        "object": "list",
        "model": call.model,
        "usage": {"prompt_tokens": 4, "total_tokens": 4},
        "data": [
            {"object": "embedding", "index": i, "embedding": vector} for i in range(len(inputs))
        ],
    }


def models_body(call, _):
    models = [
        {"id": name, "object": "model", "created": 1700000000, "owned_by": "fake"}
        for name in ("fake-large", "fake-small")
    ]
    return {"object": "list", "data": models}
