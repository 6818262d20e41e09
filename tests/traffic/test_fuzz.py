"""A hundred thousand damaged messages through decoder, intake and store: each is counted once, under a known reason."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import orjson
import pytest
from support.mutations import mutated
from support.store_keys import TEST_KEY

from riskmon.config import StoreConfig, TrafficConfig
from riskmon.records import Prompt, TrafficStatus
from riskmon.store import open_store
from riskmon.traffic.decode import Reason
from riskmon.traffic.intake import Intake
from riskmon.traffic.source import RawBatch

NOW = datetime(2026, 11, 3, 12, 0, tzinfo=UTC)
MESSAGES = 100_000

CALL = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"at": "Rome"}'}}
CHAT: dict[str, Any] = {
    "model": "m7",
    "messages": [
        {"role": "system", "content": "be kind"},
        {"role": "user", "content": [{"type": "text", "text": "weather?"}], "name": "ann"},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "content": "sunny", "tool_call_id": "c1"},
    ],
    "tools": [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}],
}
ANSWER = {
    "id": "chatcmpl-1",
    "created": 1793706000,
    "choices": [{"message": {"role": "assistant", "content": "It is."}}],
}
RESPONSES = {
    "instructions": "be kind",
    "input": [
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "weather?"}]},
        {"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "sunny"},
    ],
}
DOCUMENTS: tuple[dict[str, Any], ...] = (
    {
        "id": "a",
        "prompt": "hi",
        "timestamp": "2026-11-03T11:00:00Z",
        "attributes": {"route": "chat"},
        "response": "yo",
    },
    {"id": 7, "timestamp": 1793706000.5, "model": "m7", "attributes": {"route": "search"}, **CHAT},
    {
        "id": "c",
        "timestamp": 1793706000000,
        "messages": [*CHAT["messages"], {"role": "assistant", "content": "x"}],
    },
    {"request": CHAT, "response": ANSWER, "start_time": 1793706000000},
    {"request": {"body": json.dumps(CHAT)}, "response": {"body": json.dumps(ANSWER)}, "id": "e"},
    {"id": "f", "request_body": RESPONSES, "response": {"output_text": "fine"}},
    {"id": "g", "startTime": 1793706000.0, "input": CHAT["messages"], "output": "fine"},
    {"http_buffered_trace": {"request": {"body": {"as_string": json.dumps(CHAT)}}}},
)
OWN = 3
"""Of the documents, those that stand as `fields` says by default."""

SEEDS = tuple(orjson.dumps({**document, "serial": 0}) for document in DOCUMENTS)

# Plain paths, and JMESPath with functions that stumble over odd operands.
TIMES = (-1, 1793706000000, 1793706000000, 1793706000000, 0, 10**17)
STRATA = ("attributes.route", "length(messages)", "last_user.name", "join('-', sort(keys(@)))")
FORMATS: dict[str, dict[str, Any]] = {
    "riskmon": {"strata": STRATA},
    "openai": {"format": "openai", "strata": ("request.model", "max_by(messages, &content).role")},
}


class Given:
    """A `Source` over values at hand, in batches of many sizes."""

    topic = "prompts"
    dead_letters = None

    def __init__(self, values: Iterator[bytes | None], seed: int) -> None:
        self._values = values
        self._random = Random(seed)
        self._offset = 0
        self._ended = False

    def start(self, next_offsets: Mapping[int, int]) -> None:
        self._offset = next_offsets.get(0, 0)

    def poll(self, max_messages: int, timeout_s: float) -> list[RawBatch]:
        values = list(islice(self._values, self._random.randint(1, min(max_messages, 3000))))
        if not values:
            self._ended = True
            return []
        offsets = range(self._offset, self._offset + len(values))
        self._offset += len(values)
        times = [self._random.choice(TIMES) for _ in values]
        return [RawBatch(self.topic, 0, offsets, times, values)]

    def next_offsets(self) -> dict[int, int]:
        return {0: self._offset}

    def begun_offsets(self) -> dict[int, int]:
        return {0: 0}

    def status(self, now: datetime) -> TrafficStatus:
        return TrafficStatus(up=True, lag_messages=None, at=now)

    def mark_end(self) -> None:
        raise NotImplementedError

    def caught_up(self) -> bool:
        return self._ended

    def committed(self, next_offsets: Mapping[int, int]) -> None:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError


@pytest.mark.parametrize("layout", FORMATS)
def test_every_damaged_message_is_counted_once(layout: str, tmp_path: Path) -> None:
    count, seed = MESSAGES // len(FORMATS), 20261103
    config = TrafficConfig(jsonl=Path("unused"), max_message_bytes=20_000, max_strata=40, **FORMATS[layout])
    seeds = SEEDS if layout == "openai" else SEEDS[:OWN]
    source = Given(mutated(seeds, count, seed), seed)
    with open_store(StoreConfig(url=f"sqlite:///{tmp_path}/fuzz.db", key=TEST_KEY)) as store:
        source.start({})
        intake = Intake(source, config)
        while not source.caught_up():
            store.write_intake(intake.collect(NOW), keep=config.sample_per_window, now=NOW)
        counters = store.counters()
        requests = sum(window.requests for window in store.volume(datetime(1990, 1, 1, tzinfo=UTC)))
        sampled = [found.prompt for found in store.pending_prompts(datetime(1990, 1, 1, tzinfo=UTC))]

    assert counters.consumed == count
    assert requests + sum(counters.rejected.values()) == count
    assert set(counters.rejected) <= set(Reason)
    # The mutator reaches what it should.
    assert requests > count / 10
    assert set(Reason) - set(counters.rejected) <= {Reason.CORRUPT}
    assert len(sampled) > 100
    for prompt in sampled:
        assert_whole(prompt)


def assert_whole(prompt: Prompt) -> None:
    """What came back from the store can be written anywhere and rendered."""
    turns = [] if isinstance(prompt.content, str) else prompt.content
    texts = [prompt.id, prompt.response, *(value for _, value in prompt.stratum.labels)]
    texts += [prompt.content] if isinstance(prompt.content, str) else []
    texts += [text for turn in turns for text in (turn.role, turn.content, turn.name, turn.tool_call_id)]
    for text in texts:
        assert text is None or "\0" not in text
        (text or "").encode()
    for calls in [prompt.tools, *(turn.tool_calls for turn in turns)]:
        assert calls is None or isinstance(orjson.loads(calls), list)
