"""Which turn is the answer, which decides the stratum, and what is kept of tools."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from riskmon.config import TrafficConfig
from riskmon.records import Message, Position
from riskmon.traffic.content import UNWRITABLE
from riskmon.traffic.decode import Decoded, Decoder, Rejected
from riskmon.traffic.source import RawMessage

NOW = datetime(2026, 11, 3, 12, 0, tzinfo=UTC)
USER, REPLY, AGAIN = (
    {"role": r, "content": t} for r, t in (("user", "a"), ("assistant", "b"), ("user", "c"))
)
CALL = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"z": 1, "a": 2}'}}


def decode(document: Any, **settings: Any) -> Decoded | Rejected:
    config = TrafficConfig(jsonl=Path("prompts.jsonl"), **settings)
    return Decoder(config).decode(RawMessage(Position("t", 0, 0), NOW, orjson.dumps(document)), NOW)


def accepted(messages: list[Any], **members: Any) -> Decoded:
    request = decode({"messages": messages, **members})
    assert isinstance(request, Decoded), request
    return request


@pytest.mark.parametrize(
    ("messages", "response", "prompt", "answer"),
    [
        ([USER], None, "a", None),
        ([USER], "said", "a", "said"),
        ([USER, REPLY], None, "a", "b"),
        ([USER, REPLY], "b", "a", "b"),
        ([USER, REPLY], "other", "ab", "other"),
        ([USER, REPLY, AGAIN], None, "abc", None),
        ([USER, REPLY, AGAIN, REPLY], None, "abc", "b"),
        ([REPLY], None, "b", None),
        ([{"role": "system", "content": "s"}], None, "s", None),
        ([USER, {"role": "assistant", "content": ""}], None, "a", ""),
        ([USER, {"role": "assistant", "content": None, "tool_calls": [CALL]}], None, "a", None),
        ([USER, {"role": "assistant", "content": "wait", "tool_calls": [CALL]}], None, "a", "wait"),
    ],
)
def test_the_last_turn_of_a_finished_conversation_is_its_answer(
    messages: list[Any], response: str | None, prompt: str, answer: str | None
) -> None:
    request = accepted(messages, **({} if response is None else {"response": response}))
    assert "".join(message.content for message in request.content) == prompt  # type: ignore[union-attr]
    assert request.response == answer


def test_tool_turns_are_kept_as_context() -> None:
    tools = [{"type": "function", "function": {"name": "look"}}]
    request = accepted(
        [
            {"role": "user", "content": "weather?", "name": "ann"},
            {"role": "assistant", "content": None, "tool_calls": [CALL], "audio": {"id": 1}},
            {
                "role": "tool",
                "content": [{"type": "text", "text": "sunny"}],
                "tool_call_id": "c1",
                "name": "look",
            },
            {"role": "assistant", "content": None, "function_call": {"name": "old", "arguments": "{}"}},
            {"role": "function", "content": "7", "name": "old"},
        ],
        tools=tools,
    )
    calls = [{"type": "function", "function": {"name": "old", "arguments": "{}"}}]
    assert request.content == (
        Message("user", "weather?", name="ann"),
        Message("assistant", "", tool_calls=orjson.dumps([CALL]).decode()),
        Message("tool", "sunny", name="look", tool_call_id="c1"),
        Message("assistant", "", tool_calls=orjson.dumps(calls).decode()),
        Message("function", "7", name="old"),
    )
    assert request.tools == orjson.dumps(tools).decode()


def test_what_no_template_looks_at_is_dropped() -> None:
    odd = {"role": "user", "content": "a", "name": 7, "tool_call_id": "", "tool_calls": "none", "cache": {}}
    assert accepted([odd], tools={"not": "a list"}).content == (Message("user", "a"),)
    assert accepted([odd], tools=[]).tools is None


def test_a_call_nested_deeper_than_json_can_be_written_counts_and_cannot_be_rendered() -> None:
    deep = b"[" * 600 + b"]" * 600
    for member in (
        b'"tools": [%s]' % deep,
        b'"x": 1, "messages": [{"role": "u", "content": "", "tool_calls": [%s]}]' % deep,
    ):
        value = b'{"prompt": "a", %s}' % member
        message = RawMessage(Position("t", 0, 0), NOW, value)
        request = Decoder(TrafficConfig(jsonl=Path("p"))).decode(message, NOW)
        assert isinstance(request, Decoded)
        calls = "" if isinstance(request.content, str) else request.content[0].tool_calls
        assert UNWRITABLE in {request.tools, calls}


def test_texts_of_tools_stay_out_of_reprs() -> None:
    message = Message("tool", "SECRET", name="SECRET", tool_call_id="SECRET", tool_calls="SECRET")
    request = accepted([USER], tools=["SECRET"])
    assert "SECRET" not in repr(message) + repr(request)


@pytest.mark.parametrize("messages", [[USER, REPLY, AGAIN], [AGAIN, REPLY, USER, REPLY]])
def test_labels_may_stand_in_the_last_user_turn(messages: list[Any]) -> None:
    last = max(index for index, message in enumerate(messages) if message["role"] == "user")
    marked = [
        {**message, "metadata": {"route": f"r{index}"}, "name": f"n{index}"}
        for index, message in enumerate(messages)
    ]
    request = decode({"messages": marked}, strata=("last_user.metadata.route", "last_user.name"))
    assert isinstance(request, Decoded)
    assert request.label_values == (f"r{last}", f"n{last}")


def test_without_a_user_turn_labels_of_it_are_unknown() -> None:
    for document in (
        {"prompt": "x"},
        {"messages": [REPLY]},
        {"prompt": "x", "last_user": {"name": "forged"}},
    ):
        request = decode(document, strata=("last_user.name",))
        assert isinstance(request, Decoded)
        assert request.label_values == ("unknown",)
