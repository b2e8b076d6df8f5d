"""Google's generateContent, streamGenerateContent and embeddings.

https://ai.google.dev/api/generate-content, https://ai.google.dev/api/embeddings
"""

from answer import SIGNATURE, data

FINISH_REASONS = {
    "stop": "STOP",
    "length": "MAX_TOKENS",
    "tool_calls": "STOP",  # it has no word of its own for these
    "content_filter": "SAFETY",
}


def _usage(answer, output):
    """Its candidatesTokenCount leaves the thoughts out."""
    usage = {
        "promptTokenCount": answer.input_tokens,
        "candidatesTokenCount": output - answer.reasoning_tokens,
        "totalTokenCount": answer.input_tokens + output,
    }
    if answer.reasoning_tokens:
        usage["thoughtsTokenCount"] = answer.reasoning_tokens
    if answer.cached_tokens:
        usage["cachedContentTokenCount"] = answer.cached_tokens
    return usage


def _chunk(call, parts, usage, finish=None):
    candidate = {"content": {"role": "model", "parts": parts}, "index": 0}
    if finish:
        candidate["finishReason"] = finish
    return {
        "candidates": [candidate],
        "modelVersion": call.model,
        "responseId": f"fake{call.number}",
        "usageMetadata": usage,
    }


def _thought(text):
    return {"text": text, "thought": True}


def _call_part(number, each):
    """The calls of one turn share a signature, which the first one carries."""
    part = {"functionCall": {"name": each.name, "args": each.arguments}}
    if number == 0:
        part["thoughtSignature"] = SIGNATURE
    return part


def _call_parts(answer):
    return [_call_part(number, each) for number, each in enumerate(answer.tool_calls)]


def body(call, answer):
    texts = list(answer.text)
    parts = [_thought("".join(answer.reasoning))] if answer.reasoning else []
    said = "".join(texts) + answer.refusal
    parts += [{"text": said}] if said else []
    usage = _usage(answer, answer.output_count(len(texts)))
    return _chunk(call, parts + _call_parts(answer), usage, FINISH_REASONS[answer.finish])


def events(call, answer):
    count = 0
    for text in answer.reasoning:
        yield data(_chunk(call, [_thought(text)], _usage(answer, answer.reasoning_tokens)))
    for text in [answer.refusal] if answer.refusal else answer.text:
        count += 1
        yield data(_chunk(call, [{"text": text}], _usage(answer, answer.reasoning_tokens + count)))
    for part in _call_parts(answer):
        yield data(_chunk(call, [part], _usage(answer, answer.reasoning_tokens)))
    usage = _usage(answer, answer.output_count(count))
    yield data(_chunk(call, [{"text": ""}], usage, FINISH_REASONS[answer.finish]))


def embedding_body(_call, _answer):
    return {"embedding": {"values": [0.25, 0.5, 0.75]}}


def embeddings_body(call, _answer):
    count = len(call.body.get("requests", []))
    return {"embeddings": [{"values": [0.25, 0.5, 0.75]}] * count}
