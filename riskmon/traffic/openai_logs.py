"""Request logs of OpenAI-compatible servers: where gateways put the request, the response, its id and its time.

Three requests are known: chat completions (`messages`), the Responses API (`input`, `instructions`) and the older
completions (`prompt`). A gateway logs the request's body whole, as an object or as JSON text, under a name of its own,
or spreads it over the top of the message; the response's body likewise. The first name that holds what is looked for
wins:

    request     request.body, request, request_body, body, input, http_buffered_trace.request.body.as_string, the top
    response    response.body, response, response_body, output, http_buffered_trace.response.body.as_string
    id          id, request_id, custom_id, the response's id, trace_id
    timestamp   timestamp, startTime, start_time, started_at, time, the response's created or created_at

`open_bodies` parses bodies that are JSON text, in place, so that paths of the configuration reach into them; text that
is JSON but no body, such as an answer that was asked for in JSON, stays text. The other functions each find one fact in
such a document; none raises.

Sources: OpenAI API reference; LiteLLM `StandardLoggingPayload`; Langfuse observations; Portkey logs; APISIX
kafka-logger; Envoy HTTP tap.
"""

from __future__ import annotations

from typing import Any

import orjson

_BODIES = ("request", "request_body", "body", "input", "response", "response_body", "output")
_TAP = "http_buffered_trace"
_MARKS = frozenset({"messages", "input", "prompt", "choices", "output", "role"})
_IDS = ("id", "request_id", "custom_id")
_TIMES = ("timestamp", "startTime", "start_time", "started_at", "time")


def open_bodies(document: dict[str, Any]) -> None:
    """Parse, in place, bodies that are JSON text; what cannot be parsed stays text."""
    for name in _BODIES:
        value = document.get(name)
        if isinstance(value, str):
            document[name] = _parsed(value)
        elif isinstance(value, dict) and isinstance(text := value.get("body"), str):
            value["body"] = _parsed(text)
    trace = document.get(_TAP)
    for side in ("request", "response") if isinstance(trace, dict) else ():
        body = _descend(trace, (side, "body"))
        if isinstance(body, dict) and isinstance(text := body.get("as_string"), str):
            body["as_string"] = _parsed(text)


def find_messages(document: dict[str, Any]) -> object:
    """Chat messages of the request, those of the Responses API made into chat messages; None where there are none."""
    request = _request(document)
    messages = request.get("messages")
    if isinstance(messages, dict):
        messages = messages.get("messages")
    if messages and not isinstance(messages, str):
        return messages
    asked, instructions = request.get("input"), request.get("instructions")
    if not asked or not isinstance(asked, str | list):
        return None
    turns = [{"role": "user", "content": asked}] if isinstance(asked, str) else _from_items(asked)
    return [{"role": "system", "content": instructions}, *turns] if isinstance(instructions, str) else turns


def find_prompt(document: dict[str, Any]) -> object:
    """Text of an older completion; None for a batch of several and for one of token ids."""
    request = _request(document)
    prompt = request.get("prompt") or request.get("messages")
    if isinstance(prompt, list):
        return prompt[0] if len(prompt) == 1 else None
    return prompt


def find_tools(document: dict[str, Any]) -> object:
    """Tools that the request offers the model; None where it offers none."""
    tools = _request(document).get("tools")
    if tools is None:
        # LiteLLM keeps the request's other parameters apart.
        tools = _descend(document, ("model_parameters", "tools"))
    return [_chat_tool(tool) for tool in tools] if isinstance(tools, list) else None


def find_response(document: dict[str, Any]) -> str | None:
    """Text that the model answered with; None where none is logged, or where it called tools without a word."""
    for body in _responses(document):
        if isinstance(body, str):
            return body
        if isinstance(body, dict) and (text := _answer(body)) is not None:
            return text
    return None


def find_id(document: dict[str, Any]) -> object:
    """The request's id; None where there is none."""
    for name in _IDS:
        if (value := document.get(name)) is not None:
            return value
    for value in _in_responses(document, "id"):
        if value is not None:
            return value
    return document.get("trace_id")


def find_timestamp(document: dict[str, Any]) -> object:
    """When the request was made, else when its answer was; what is neither text nor a number is passed over."""
    for name in _TIMES:
        if _is_moment(value := document.get(name)):
            return value
    for name in ("created", "created_at"):
        for value in _in_responses(document, name):
            if _is_moment(value):
                return value
    return None


def _is_moment(value: object) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def _request(document: dict[str, Any]) -> dict[str, Any]:
    """The request's body: the first object with something to answer, else the top."""
    for body in _bodies(document, "request", "request_body", "body", "input"):
        if isinstance(body, dict) and (body.get("messages") or body.get("input") or body.get("prompt")):
            return body
    return document


def _bodies(document: dict[str, Any], side: str, *others: str) -> list[object]:
    """What may be a body, in the order of the table above."""
    found: list[object] = []
    outer = document.get(side)
    if outer is not None:
        if isinstance(outer, dict) and (inner := outer.get("body")) is not None:
            found.append(inner)
        found.append(outer)
    found += [body for name in others if (body := document.get(name)) is not None]
    if (tapped := _descend(document.get(_TAP), (side, "body", "as_string"))) is not None:
        found.append(tapped)
    return found


def _responses(document: dict[str, Any]) -> list[object]:
    return _bodies(document, "response", "response_body", "output")


def _in_responses(document: dict[str, Any], name: str) -> list[object]:
    """The member of this name of each response body."""
    return [body.get(name) for body in _responses(document) if isinstance(body, dict)]


def _answer(body: dict[str, Any]) -> str | None:
    """Text of one response body."""
    choices = body.get("choices")
    if isinstance(choices, list) and choices:
        first = choices[0]
        if not isinstance(first, dict):
            return None
        message = first.get("message")
        return _said(message) if isinstance(message, dict) else _joined(first.get("text"))
    if (text := _joined(body.get("output_text"))) is not None:
        return text
    output = body.get("output")
    if isinstance(output, list):
        said = [_said(item) for item in output if isinstance(item, dict) and "content" in item]
        return _joined([text for text in said if text is not None])
    return _said(body)


def _said(message: dict[str, Any]) -> str | None:
    """Text of an assistant's message; a refusal is an answer too."""
    text = _joined(message.get("content"))
    return _joined(message.get("refusal")) if text is None else text


def _joined(content: object) -> str | None:
    """Text, or the text parts of a list; None where there is no text."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return None
    parts = [
        part if isinstance(part, str) else part.get("text") or part.get("refusal")
        for part in content
        if isinstance(part, str | dict)
    ]
    texts = [part for part in parts if isinstance(part, str)]
    return "\n".join(texts) if texts else None


def _from_items(items: list[Any]) -> list[Any]:
    """Chat messages of the Responses API's items; calls in a row are one turn, reasoning and the like are left out."""
    messages: list[Any] = []
    for item in items:
        kind = item.get("type", "message") if isinstance(item, dict) else "message"
        if kind == "function_call":
            call = {
                "id": item.get("call_id"),
                "type": "function",
                "function": {"name": item.get("name"), "arguments": item.get("arguments")},
            }
            if messages and isinstance(messages[-1], dict) and messages[-1].get("role") == "assistant":
                messages[-1] = {**messages[-1], "tool_calls": [*(messages[-1].get("tool_calls") or ()), call]}
            else:
                messages.append({"role": "assistant", "content": None, "tool_calls": [call]})
        elif kind == "function_call_output":
            messages.append(
                {"role": "tool", "tool_call_id": item.get("call_id"), "content": item.get("output")}
            )
        elif kind == "message":
            messages.append(item)
    return messages


def _chat_tool(tool: object) -> object:
    """A tool as chat completions spell it, which is what templates know; the Responses API has no inner object."""
    if not isinstance(tool, dict) or tool.get("type") != "function" or "function" in tool:
        return tool
    return {
        "type": "function",
        "function": {name: tool[name] for name in ("name", "description", "parameters") if name in tool},
    }


def _descend(document: object, place: tuple[str, ...]) -> object:
    value = document
    for name in place:
        if not isinstance(value, dict):
            return None
        value = value.get(name)
    return value


def _parsed(text: str) -> object:
    """The body that the text is JSON of, or the text itself."""
    if not text.lstrip().startswith(("{", "[")):
        return text
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
    first = value[0] if isinstance(value, list) and value else value
    return value if isinstance(first, dict) and not _MARKS.isdisjoint(first) else text
