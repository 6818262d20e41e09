"""Logs of OpenAI-compatible servers as gateways write them, read by `traffic.format: openai`."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from riskmon.config import FieldsConfig, TrafficConfig
from riskmon.records import Message, Position
from riskmon.traffic.decode import Decoded, Decoder, Reason, Rejected
from riskmon.traffic.source import RawMessage

NOW = datetime(2026, 11, 3, 12, 0, tzinfo=UTC)
MADE_AT = datetime(2026, 11, 3, 11, 30, tzinfo=UTC)
MADE_S = int(MADE_AT.timestamp())
AT = Position("prompts", 2, 41)

ASKED: dict[str, Any] = {
    "model": "m7",
    "messages": [{"role": "system", "content": "be kind"}, {"role": "user", "content": "hi"}],
    "temperature": 0.7,
}
ANSWERED: dict[str, Any] = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": MADE_S,
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}],
}
CHAT = (Message("system", "be kind"), Message("user", "hi"))


def decode(value: Any, **settings: Any) -> Decoded | Rejected:
    config = TrafficConfig(jsonl=Path("prompts.jsonl"), format="openai", **settings)
    return Decoder(config).decode(RawMessage(AT, NOW, orjson.dumps(value)), NOW)


def accepted(value: Any, **settings: Any) -> Decoded:
    request = decode(value, **settings)
    assert isinstance(request, Decoded), request
    return request


GATEWAYS: dict[str, dict[str, Any]] = {
    "request and response": {"request": ASKED, "response": ANSWERED},
    "bodies": {"request_body": ASKED, "response_body": ANSWERED},
    "bodies as text": {"request_body": json.dumps(ASKED), "response_body": json.dumps(ANSWERED)},
    "body and response": {"custom_id": "chatcmpl-1", "body": ASKED, "response": {"body": ANSWERED}},
    "Portkey": {
        "request": {"url": "https://x/v1/chat/completions", "method": "POST", "headers": {}, "body": ASKED},
        "response": {"status": 200, "headers": {}, "body": ANSWERED, "response_time": 12},
    },
    "APISIX kafka-logger": {
        "request": {"uri": "/v1/chat/completions", "headers": {}, "body": json.dumps(ASKED)},
        "response": {"status": 200, "headers": {}, "body": json.dumps(ANSWERED)},
        "start_time": MADE_S * 1000,
    },
    "LiteLLM StandardLoggingPayload": {
        "id": "chatcmpl-1",
        "trace_id": "t",
        "call_type": "acompletion",
        "status": "success",
        "startTime": MADE_S + 0.0,
        "endTime": MADE_S + 2.5,
        "model": "m7",
        "metadata": {"user_api_key_alias": "team-a"},
        "messages": ASKED["messages"],
        "response": ANSWERED,
        "model_parameters": {"temperature": 0.7},
    },
    "Langfuse observation": {
        "id": "chatcmpl-1",
        "traceId": "t",
        "type": "GENERATION",
        "startTime": "2026-11-03T11:30:00.000Z",
        "model": "m7",
        "input": ASKED["messages"],
        "output": {"role": "assistant", "content": "hello"},
    },
    "Langfuse observation with a whole input, as text": {
        "id": "chatcmpl-1",
        "startTime": "2026-11-03T11:30:00.000Z",
        "input": json.dumps({"messages": ASKED["messages"], "tools": []}),
        "output": "hello",
    },
    "Envoy tap": {
        "http_buffered_trace": {
            "request": {"headers": [], "body": {"truncated": False, "as_string": json.dumps(ASKED)}},
            "response": {"headers": [], "body": {"truncated": False, "as_string": json.dumps(ANSWERED)}},
        }
    },
    "the request alone, at the top": {"id": "chatcmpl-1", "timestamp": MADE_S, **ASKED, "response": "hello"},
}


@pytest.mark.parametrize("name", GATEWAYS)
def test_a_chat_completion_as_gateways_log_it(name: str) -> None:
    request = accepted(GATEWAYS[name])
    assert (request.id, request.content, request.response) == ("chatcmpl-1", CHAT, "hello")
    assert request.requested_at == MADE_AT


RESPONSES_API: list[tuple[dict[str, Any], Any]] = [
    ({"input": "hi"}, "hi"),
    (
        {"instructions": "be kind", "input": "hi"},
        CHAT,
    ),
    (
        {
            "instructions": "be kind",
            "input": [{"role": "user", "content": [{"type": "input_text", "text": "hi"}]}],
        },
        CHAT,
    ),
    (
        {
            "input": [
                {"type": "message", "role": "user", "content": "weather?"},
                {"type": "reasoning", "summary": []},
                {"type": "function_call", "call_id": "c1", "name": "look", "arguments": '{"at":"Rome"}'},
                {"type": "function_call", "call_id": "c2", "name": "look", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "c1", "output": "sunny"},
            ]
        },
        (
            Message("user", "weather?"),
            Message(
                "assistant",
                "",
                tool_calls='[{"id":"c1","type":"function","function":{"name":"look","arguments":'
                '"{\\"at\\":\\"Rome\\"}"}},{"id":"c2","type":"function","function":{"name":"look",'
                '"arguments":"{}"}}]',
            ),
            Message("tool", "sunny", tool_call_id="c1"),
        ),
    ),
]


@pytest.mark.parametrize("envelope", ["request", "body", None])
@pytest.mark.parametrize(("asked", "content"), RESPONSES_API, ids=["text", "instructions", "parts", "tools"])
def test_the_responses_api(asked: dict[str, Any], content: Any, envelope: str | None) -> None:
    answered = {
        "id": "resp_1",
        "created_at": MADE_S,
        "output": [
            {"type": "reasoning", "summary": []},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "hello"}]},
        ],
    }
    log = {"model": "m7", **asked} if envelope is None else {envelope: {"model": "m7", **asked}}
    request = accepted({**log, "response": answered})
    text = (Message("user", content),) if isinstance(content, str) else content
    assert (request.id, request.content, request.response) == ("resp_1", text, "hello")
    assert request.requested_at == MADE_AT


def test_older_completions() -> None:
    answered = {"id": "cmpl-1", "choices": [{"text": " upon a time"}]}
    for prompt in ("once", ["once"]):
        request = accepted({"request": {"prompt": prompt}, "response": answered})
        assert (request.id, request.content, request.response) == ("cmpl-1", "once", " upon a time")
    for batch in (["once", "twice"], [17, 4], [[17, 4]]):
        assert decode({"request": {"prompt": batch}}) == Rejected(Reason.NO_PROMPT)


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ({"content": None, "refusal": "I will not."}, "I will not."),
        ({"content": None, "tool_calls": [{"id": "c"}]}, None),
        ({"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}, "a\nb"),
        ({"content": ""}, ""),
        ({"content": 7}, None),
    ],
)
def test_what_counts_as_the_answer(message: dict[str, Any], text: str | None) -> None:
    answered = {"choices": [{"message": {"role": "assistant", **message}}]}
    assert accepted({"request": ASKED, "response": answered}).response == text


def test_an_answer_in_json_stays_text() -> None:
    for said in ('{"answer": 5}', "[1, 2]", '{"cut'):
        assert accepted({**ASKED, "response": said}).response == said


def test_a_request_that_failed_has_no_answer() -> None:
    for nothing in (None, {}, {"error": {"message": "overloaded"}}, [], 5):
        assert accepted({"request": ASKED, "response": nothing}).response is None


def test_tools_are_spelled_as_templates_know_them() -> None:
    chat = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
    responses = {"type": "function", "name": "look", "parameters": {"type": "object"}, "strict": True}
    for asked in ({**ASKED, "tools": [chat]}, {"input": "hi", "tools": [responses]}):
        assert accepted({"request": asked}).tools == json.dumps([chat], separators=(",", ":"))
    litellm = {**GATEWAYS["LiteLLM StandardLoggingPayload"], "model_parameters": {"tools": [chat]}}
    assert accepted(litellm).tools == json.dumps([chat], separators=(",", ":"))
    assert accepted({"request": {**ASKED, "tools": None}}).tools is None


def test_a_path_that_is_configured_wins() -> None:
    log = {
        "session": "s-9",
        "request": json.dumps({**ASKED, "user": "u"}),
        "response": ANSWERED,
        "when": MADE_S - 60,
    }
    fields = FieldsConfig(id="session", timestamp="when")
    request = accepted(log, fields=fields, strata=("request.model", "request.user"))
    assert (request.id, request.content, request.response) == ("s-9", CHAT, "hello")
    assert request.requested_at.timestamp() == MADE_S - 60
    assert request.label_values == ("m7", "u")


def test_defaults_that_are_written_down_change_nothing() -> None:
    spelled_out = FieldsConfig.model_validate(FieldsConfig().model_dump())
    for log in GATEWAYS.values():
        assert accepted(log, fields=spelled_out) == accepted(log)


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        ({}, "no_prompt"),
        ({"request": {}}, "no_prompt"),
        ({"request": "GET /health"}, "no_prompt"),
        ({"request": {"messages": []}}, "no_prompt"),
        ({"request": {"input": {"odd": 1}}}, "no_prompt"),
        ({"request": {"messages": [1]}}, "bad_messages"),
        ({"request": {"input": [1]}}, "bad_messages"),
        ({"request": {"input": [{"type": "function_call_output", "output": 5}]}}, "bad_messages"),
        ({"request": ASKED, "timestamp": "soon"}, "bad_timestamp"),
        ({"request": ASKED, "id": 1.5}, "bad_id"),
        ({"request": ASKED, "timestamp": "2026-09-01T00:00:00Z"}, "too_old"),
        ({"request": ASKED, "timestamp": "2027-09-01T00:00:00Z"}, "too_new"),
    ],
)
def test_rejections(log: Any, reason: str) -> None:
    assert decode(log) == Rejected(Reason(reason))
