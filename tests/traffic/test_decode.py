"""The decoder's table: what counts, what is rejected and why; and that no bytes can break it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from riskmon.config import FieldsConfig, TrafficConfig
from riskmon.records import Message, Position, Stratum
from riskmon.traffic.decode import Decoded, Decoder, Reason, Rejected
from riskmon.traffic.source import RawMessage

NOW = datetime(2026, 11, 3, 12, 0, tzinfo=UTC)
BROKER_TIME = datetime(2026, 11, 3, 11, 59, 58, tzinfo=UTC)
AT = Position("prompts", 2, 41)


def traffic(**settings: Any) -> TrafficConfig:
    return TrafficConfig(jsonl=Path("prompts.jsonl"), **settings)


def decode(value: Any, timestamp: datetime | None = BROKER_TIME, **settings: Any) -> Decoded | Rejected:
    raw = value if isinstance(value, bytes) or value is None else orjson.dumps(value)
    return Decoder(traffic(**settings)).decode(RawMessage(AT, timestamp, raw), NOW)


def accepted(value: Any, **settings: Any) -> Decoded:
    request = decode(value, **settings)
    assert isinstance(request, Decoded), request
    return request


def test_a_plain_prompt_with_everything() -> None:
    request = accepted(
        {
            "id": "a-1",
            "prompt": "tell me",
            "timestamp": "2026-11-03T13:30:00+02:00",
            "model": "m7",
            "attributes": {"route": "chat"},
            "response": "no",
        },
        strata=("attributes.route", "model"),
    )
    assert request.id == "a-1"
    assert request.content == "tell me"
    assert request.requested_at == datetime(2026, 11, 3, 11, 30, tzinfo=UTC)
    assert request.label_values == ("chat", "m7")
    stratum = Stratum((("route", "chat"), ("model", "m7")))
    prompt = request.prompt(stratum)
    assert (prompt.stratum, prompt.position, prompt.response) == (stratum, AT, "no")


def test_defaults_for_what_is_missing() -> None:
    request = accepted({"prompt": "x"}, strata=("model",))
    assert request.id == "prompts/2/41"
    assert request.requested_at == BROKER_TIME
    assert request.label_values == ("unknown",)
    assert request.response is None


def test_without_any_time_now_counts() -> None:
    request = decode({"prompt": "x"}, timestamp=None)
    assert isinstance(request, Decoded)
    assert request.requested_at == NOW


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("hello", "hello"),
        ([{"type": "text", "text": "look:"}, {"type": "image_url", "image_url": {}}], "look:"),
        ([{"type": "text", "text": "one"}, {"type": "input_text", "text": "two"}], "one\ntwo"),
        (["plain", "strings"], "plain\nstrings"),
        ("", ""),
        ("a\0b", "a\ufffdb"),
    ],
)
def test_message_contents(content: Any, text: str) -> None:
    request = accepted(
        {"messages": [{"role": "system", "content": "be"}, {"role": "user", "content": content}]}
    )
    assert request.content == (Message("system", "be"), Message("user", text))


def test_a_tool_call_may_have_no_content() -> None:
    request = accepted({"messages": [{"role": "assistant", "content": None, "tool_calls": [{}]}]})
    assert request.content == (Message("assistant", "", tool_calls="[{}]"),)


def test_messages_win_over_their_rendering() -> None:
    request = accepted({"prompt": "<|user|>hi", "messages": [{"role": "user", "content": "hi"}]})
    assert request.content == (Message("user", "hi"),)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "empty"),
        (b"", "empty"),
        (b"{" + b" " * 200 + b"}", "oversized"),
        (b'{"prompt": "cut', "not_json"),
        (b'{"prompt": "\xff"}', "not_json"),
        (b'{"prompt": "\\ud800"}', "not_json"),
        (b'{"prompt": NaN}', "not_json"),
        (b"[" * 150, "not_json"),
        (["prompt"], "not_object"),
        ("prompt", "not_object"),
        ({}, "no_prompt"),
        ({"prompt": ""}, "no_prompt"),
        ({"prompt": 7}, "no_prompt"),
        ({"messages": []}, "no_prompt"),
        ({"messages": "hi"}, "bad_messages"),
        ({"messages": {"role": "user", "content": "hi"}}, "bad_messages"),
        ({"messages": ["hi"]}, "bad_messages"),
        ({"messages": [{"content": "hi"}]}, "bad_messages"),
        ({"messages": [{"role": 1, "content": "hi"}]}, "bad_messages"),
        ({"messages": [{"role": "user"}]}, "bad_messages"),
        ({"messages": [{"role": "user", "content": 5}]}, "bad_messages"),
        ({"messages": [{"role": "user", "content": [5]}]}, "bad_messages"),
        ({"messages": [{"role": "user", "content": [{"text": 5}]}]}, "bad_messages"),
        ({"prompt": "x", "timestamp": "yesterday"}, "bad_timestamp"),
        ({"prompt": "x", "timestamp": True}, "bad_timestamp"),
        ({"prompt": "x", "timestamp": [1]}, "bad_timestamp"),
        ({"prompt": "x", "id": 1.5}, "bad_id"),
        ({"prompt": "x", "id": False}, "bad_id"),
        ({"prompt": "x", "id": ["a"]}, "bad_id"),
    ],
)
def test_rejections(value: Any, reason: str) -> None:
    assert decode(value, max_message_bytes=160) == Rejected(Reason(reason))


def test_an_endless_id_is_bad() -> None:
    assert decode({"prompt": "x", "id": "i" * 257}) == Rejected(Reason.BAD_ID)
    assert accepted({"prompt": "x", "id": "i" * 256}).id == "i" * 256


def test_the_size_limit_is_inclusive() -> None:
    value = b'{"prompt": "x"}'
    assert isinstance(decode(value, max_message_bytes=15), Decoded)
    assert decode(value, max_message_bytes=14) == Rejected(Reason.OVERSIZED)


def test_a_corrupt_message_has_its_own_reason() -> None:
    message = RawMessage(AT, None, None, corrupt=True)
    assert Decoder(traffic()).decode(message, NOW) == Rejected(Reason.CORRUPT)


def test_numeric_ids_are_text() -> None:
    assert accepted({"prompt": "x", "id": 9007199254740993}).id == "9007199254740993"


def test_fields_may_be_any_jmespath() -> None:
    gateway = {
        "request": {"body": {"messages": [{"role": "user", "content": "hi"}]}, "headers": {"x-id": "q"}},
        "ts": int(NOW.timestamp()),
    }
    fields = FieldsConfig(
        id='request.headers."x-id"',
        messages="request.body.messages[?role=='user']",
        timestamp="ts",
        response="choices[0].message.content",
    )
    request = accepted(gateway, fields=fields, strata=("length(request.body.messages)",))
    assert (request.id, request.content) == ("q", (Message("user", "hi"),))
    assert request.label_values == ("1",)


def test_text_stays_out_of_reprs() -> None:
    raw = RawMessage(AT, None, b'{"prompt": "SECRET", "response": "HIDDEN"}')
    request = Decoder(traffic()).decode(raw, NOW)
    assert "SECRET" not in repr(raw) + repr(request)
    assert "HIDDEN" not in repr(raw) + repr(request)


def assert_storable(request: Decoded | Rejected) -> None:
    """Whatever comes out can be written to any database and file."""
    if isinstance(request, Rejected):
        return
    turns = () if isinstance(request.content, str) else request.content
    contents = [request.content] if isinstance(request.content, str) else [m.content for m in turns]
    contents += [text for m in turns for text in (m.name, m.tool_call_id, m.tool_calls) if text is not None]
    for text in [request.id, *request.label_values, *contents, request.response or "", request.tools or ""]:
        assert "\0" not in text
        text.encode()
    assert all(0 < len(value) <= 64 for value in request.label_values)
    assert request.requested_at.tzinfo is UTC


FUZZED = tuple(
    Decoder(traffic(format=layout, strata=("attributes.route", "length(id)", "last_user.name")))
    for layout in ("riskmon", "openai")
)


@settings(max_examples=400, deadline=None)
@given(st.binary(max_size=300))
def test_no_bytes_raise(value: bytes) -> None:
    for decoder in FUZZED:
        assert_storable(decoder.decode(RawMessage(AT, None, value), NOW))


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=80)
    | st.sampled_from(["2026-11-03T00:00:00Z", "1e400", "2026-13-01", "\0", "\u2028"])
)
KEYS = st.sampled_from(
    [
        *(
            "id",
            "prompt",
            "messages",
            "timestamp",
            "attributes",
            "route",
            "role",
            "content",
            "text",
            "type",
            "name",
        ),
        *("tool_calls", "tools", "request", "body", "response", "input", "output", "choices", "message"),
    ]
)
DOCUMENTS = st.dictionaries(
    KEYS,
    st.recursive(
        SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4)
    ),
)


@settings(max_examples=300, deadline=None)
@given(DOCUMENTS)
def test_no_document_raises(document: dict[str, Any]) -> None:
    for decoder in FUZZED:
        assert_storable(decoder.decode(RawMessage(AT, None, orjson.dumps(document)), NOW))
