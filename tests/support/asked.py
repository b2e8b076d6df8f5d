"""What a provider was asked, read from the request it got: the other end of every translation.

One value for all dialects, so that a test states once what has to arrive.
"""

import dataclasses
import json
import re
import typing


@dataclasses.dataclass
class Asked:
    """`said` is the conversation, flat and in order: (role, kind, value...), where kind is
      "text" (text), "image" (URL, or data: URL), "call" (id, name, arguments),
      "result" (id of the call, text).
    A field that the request does not have is None."""

    system: str = ""
    said: list = dataclasses.field(default_factory=list)
    tools: dict = dataclasses.field(default_factory=dict)  # name -> (description, schema)
    tool_choice: typing.Any = None  # "auto", "none", "required" or the name of a tool
    schema: typing.Optional[dict] = None
    stop: typing.Optional[list] = None
    temperature: typing.Optional[float] = None
    top_p: typing.Optional[float] = None
    max_tokens: typing.Optional[int] = None
    seed: typing.Optional[int] = None
    effort: typing.Any = None  # OpenAI's word, or a budget of tokens
    is_parallel: typing.Optional[bool] = None
    is_stream: bool = False


def read_asked(attempt):
    """The Asked of a request that the fake provider recorded."""
    return READERS[attempt.api](attempt)


def _texts(content):
    if isinstance(content, str):
        return content
    return "\n".join(part["text"] for part in content)


def _openai_choice(choice):
    if not isinstance(choice, dict):
        return choice
    return choice.get("name") or choice["function"]["name"]


def _chat(attempt):
    body = attempt.json()
    asked = Asked(
        tools={
            tool["function"]["name"]: _tool(tool["function"], "parameters")
            for tool in body.get("tools", [])
        },
        tool_choice=_openai_choice(body.get("tool_choice")),
        stop=[body["stop"]] if isinstance(body.get("stop"), str) else body.get("stop"),
        temperature=body.get("temperature"),
        top_p=body.get("top_p"),
        max_tokens=body.get("max_completion_tokens", body.get("max_tokens")),
        seed=body.get("seed"),
        effort=body.get("reasoning_effort"),
        is_parallel=body.get("parallel_tool_calls"),
        is_stream=body.get("stream", False),
    )
    if "response_format" in body:
        asked.schema = body["response_format"]["json_schema"]["schema"]
    system = []
    for message in body["messages"]:
        if message["role"] in ("system", "developer"):
            system.append(_texts(message["content"]))
        else:
            asked.said += _chat_message(message)
    asked.system = "\n".join(system)
    return asked


def _tool(tool, schema_key):
    return tool.get("description"), tool.get(schema_key)


def _chat_message(message):
    role, content = message["role"], message.get("content") or []
    if role == "tool":
        return [("tool", "result", message["tool_call_id"], _texts(content))]
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
    said = [
        (role, "text", part["text"])
        if part["type"] == "text"
        else (role, "image", part["image_url"]["url"])
        for part in parts
    ]
    for call in message.get("tool_calls", []):
        function = call["function"]
        arguments = json.loads(function["arguments"])
        said.append((role, "call", call["id"], function["name"], arguments))
    return said


def _completions(attempt):
    body = attempt.json()
    return Asked(
        said=[("user", "text", body["prompt"])],
        stop=body.get("stop"),
        temperature=body.get("temperature"),
        max_tokens=body.get("max_tokens"),
        is_stream=body.get("stream", False),
    )


def _responses(attempt):
    body = attempt.json()
    asked = Asked(
        tools={tool["name"]: _tool(tool, "parameters") for tool in body.get("tools", [])},
        tool_choice=_openai_choice(body.get("tool_choice")),
        temperature=body.get("temperature"),
        top_p=body.get("top_p"),
        max_tokens=body.get("max_output_tokens"),
        effort=(body.get("reasoning") or {}).get("effort"),
        schema=((body.get("text") or {}).get("format") or {}).get("schema"),
        is_parallel=body.get("parallel_tool_calls"),
        is_stream=body.get("stream", False),
    )
    system = [body["instructions"]] if body.get("instructions") else []
    items = body["input"]
    for item in [{"role": "user", "content": items}] if isinstance(items, str) else items:
        if item.get("role") in ("system", "developer"):
            system.append(_texts(item["content"]))
        else:
            asked.said += _responses_item(item)
    asked.system = "\n".join(system)
    return asked


def _responses_item(item):
    if item.get("type") == "function_call":
        arguments = json.loads(item["arguments"])
        return [("assistant", "call", item["call_id"], item["name"], arguments)]
    if item.get("type") == "function_call_output":
        return [("tool", "result", item["call_id"], _texts(item["output"]))]
    if item.get("type") == "reasoning":
        return []
    content = item["content"]
    parts = [{"type": "input_text", "text": content}] if isinstance(content, str) else content
    return [
        (item["role"], "image", part["image_url"])
        if part["type"] == "input_image"
        else (item["role"], "text", part["text"])
        for part in parts
    ]


def _messages(attempt):
    version = attempt.header("anthropic-version")  # a client of this API may have chosen its own
    assert re.fullmatch(r"20\d\d-\d\d-\d\d", version or ""), attempt.headers
    body = attempt.json()
    choice = body.get("tool_choice") or {}
    words = {"any": "required", "tool": choice.get("name")}
    budget = (body.get("thinking") or {}).get("budget_tokens")
    config = body.get("output_config") or {}
    return Asked(
        system=_texts(body.get("system", "")),
        said=[said for message in body["messages"] for said in _messages_turn(message)],
        tools={tool["name"]: _tool(tool, "input_schema") for tool in body.get("tools", [])},
        tool_choice=words.get(choice.get("type"), choice.get("type")),
        schema=(config.get("format") or {}).get("schema"),
        stop=body.get("stop_sequences"),
        temperature=body.get("temperature"),
        top_p=body.get("top_p"),
        max_tokens=body["max_tokens"],  # this API does not do without
        effort=config.get("effort") or budget,
        is_parallel=not choice["disable_parallel_tool_use"]
        if "disable_parallel_tool_use" in choice
        else None,
        is_stream=body.get("stream", False),
    )


def _messages_turn(message):
    role, content = message["role"], message["content"]
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
    for block in blocks:
        if block["type"] == "text":
            yield role, "text", block["text"]
        elif block["type"] == "image":
            source = block["source"]
            data = "data:{media_type};base64,{data}"
            yield role, "image", source["url"] if "url" in source else data.format(**source)
        elif block["type"] == "tool_use":
            yield role, "call", block["id"], block["name"], block["input"]
        elif block["type"] == "tool_result":
            yield "tool", "result", block["tool_use_id"], _texts(block["content"])


GEMINI_MODES = {"AUTO": "auto", "NONE": "none", "ANY": "required"}


def _generate(attempt):
    body = attempt.json()
    config = body.get("generationConfig", {})
    thinking = config.get("thinkingConfig", {})
    calling = body.get("toolConfig", {}).get("functionCallingConfig", {})
    named = calling.get("allowedFunctionNames", [])
    declared = [one for tool in body.get("tools", []) for one in tool["functionDeclarations"]]
    return Asked(
        system="\n".join(p["text"] for p in body.get("systemInstruction", {}).get("parts", [])),
        said=[said for content in body["contents"] for said in _gemini_content(content)],
        tools={
            one["name"]: (
                one.get("description"),
                one.get("parametersJsonSchema", one.get("parameters")),
            )
            for one in declared
        },
        tool_choice=named[0] if named else GEMINI_MODES.get(calling.get("mode")),
        schema=config.get("responseJsonSchema", config.get("responseSchema")),
        stop=config.get("stopSequences"),
        temperature=config.get("temperature"),
        top_p=config.get("topP"),
        max_tokens=config.get("maxOutputTokens"),
        seed=config.get("seed"),
        effort=(thinking.get("thinkingLevel") or "").lower() or thinking.get("thinkingBudget"),
        is_stream="streamGenerateContent" in attempt.target,
    )


def _gemini_content(content):
    """Calls and results know each other by name and order here, not always by an id."""
    role = {"model": "assistant"}.get(content["role"], content["role"])
    for part in content["parts"]:
        if "text" in part:
            yield role, "text", part["text"]
        elif "inlineData" in part:
            data = part["inlineData"]
            yield role, "image", f"data:{data['mimeType']};base64,{data['data']}"
        elif "fileData" in part:
            yield role, "image", part["fileData"]["fileUri"]
        elif "functionCall" in part:
            call = part["functionCall"]
            yield role, "call", call.get("id"), call["name"], call.get("args", {})
        elif "functionResponse" in part:
            result = part["functionResponse"]
            yield "tool", "result", result.get("id"), result["response"]


READERS = {
    "chat": _chat,
    "completions": _completions,
    "responses": _responses,
    "messages": _messages,
    "generate": _generate,
}
