"""Requests that arrive twice, and requests of long ago or of tomorrow."""

from __future__ import annotations

import tracemalloc
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest

from riskmon.config import DuplicatesConfig, TrafficConfig
from riskmon.records import Position
from riskmon.traffic.decode import Decoded, Decoder, Reason, Rejected
from riskmon.traffic.duplicates import Duplicates
from riskmon.traffic.intake import Intake
from riskmon.traffic.jsonl import JsonlSource
from riskmon.traffic.source import RawMessage

NOW = datetime(2026, 11, 3, 12, 0, tzinfo=UTC)


def traffic(**settings: Any) -> TrafficConfig:
    return TrafficConfig(jsonl=Path("prompts.jsonl"), **settings)


def outcomes(decoder: Decoder, *values: Any, first_offset: int = 0, now: datetime = NOW) -> list[str]:
    """`ok` or the reason, of each."""
    found = [
        decoder.decode(RawMessage(Position("t", 0, first_offset + offset), NOW, orjson.dumps(value)), now)
        for offset, value in enumerate(values)
    ]
    return ["ok" if isinstance(one, Decoded) else str(one.reason) for one in found]


A, B = {"id": "1", "prompt": "a"}, {"id": "1", "prompt": "b"}


def test_the_same_bytes_with_an_id_count_once() -> None:
    assert outcomes(Decoder(traffic()), A, A, B, A, B) == ["ok", "duplicate", "ok", "duplicate", "duplicate"]


def test_a_repeated_id_with_other_content_counts() -> None:
    session = [{"id": "session", "prompt": text} for text in "abc"]
    assert outcomes(Decoder(traffic()), *session) == ["ok", "ok", "ok"]


def test_without_an_id_the_same_words_are_asked_twice() -> None:
    for value in ({"prompt": "hi"}, {"prompt": "hi", "id": None}, {"prompt": "hi", "id": ""}):
        assert outcomes(Decoder(traffic()), value, value) == ["ok", "ok"]


def test_a_message_that_is_read_again_is_itself() -> None:
    decoder = Decoder(traffic())
    assert outcomes(decoder, A, B) == ["ok", "ok"]
    assert outcomes(decoder, A, B, A) == ["ok", "ok", "duplicate"]


def test_it_can_be_turned_off() -> None:
    decoder = Decoder(traffic(duplicates=DuplicatesConfig(remember=0)))
    assert outcomes(decoder, A, A) == ["ok", "ok"]


def test_a_broken_message_is_named_for_what_is_broken() -> None:
    assert outcomes(Decoder(traffic()), {"id": "1"}, {"id": "1"}) == ["no_prompt", "no_prompt"]


@pytest.mark.parametrize("remember", [1, 2, 7, 100])
def test_the_last_ones_are_always_known_and_at_most_twice_as_many(remember: int) -> None:
    for between in range(2 * remember + 3):
        known = Duplicates(remember)
        values = [b"%d" % n for n in range(between + 1)]
        assert not any(known.repeats(value, offset) for offset, value in enumerate(values))
        again = known.repeats(values[0], 10**6)
        if between < remember:
            assert again
        if between >= 2 * remember:
            assert not again


def test_memory_stops_growing() -> None:
    known = Duplicates(5_000)
    sizes = []
    tracemalloc.start()
    for offset in range(10_000_000, 10_060_000):
        known.repeats(b"%d" % offset, offset)
        if offset % 5_000 == 4_999:
            sizes.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert max(sizes[2:]) < 1.2 * min(sizes[2:])


def test_a_producer_that_tried_again_is_counted_once_by_the_intake(tmp_path: Path) -> None:
    path = tmp_path / "prompts.jsonl"
    lines = [orjson.dumps({"id": n, "prompt": "x", "timestamp": NOW.isoformat()}) for n in range(50)]
    path.write_bytes(b"\n".join([*lines, *lines[10:20]]) + b"\n")
    source = JsonlSource(path, 10**6)
    source.start({})
    batch = Intake(source, TrafficConfig(jsonl=path)).collect(NOW)
    assert (batch.consumed, sum(batch.requests.values())) == (60, 50)
    assert batch.rejected == {Reason.DUPLICATE: 10}
    assert batch.next_offsets == {(path.name, 0): path.stat().st_size}


# ---- of another time


def dated(moment: datetime) -> dict[str, Any]:
    return {"prompt": "x", "timestamp": moment.isoformat()}


SECOND = timedelta(seconds=1)


def test_far_past_and_far_future_are_told_apart() -> None:
    oldest, newest = NOW - timedelta(days=30), NOW + timedelta(days=1)
    values = [dated(t) for t in (oldest - SECOND, oldest, NOW, newest, newest + SECOND)]
    assert outcomes(Decoder(traffic()), *values) == ["too_old", "ok", "ok", "ok", "too_new"]


def test_the_clock_that_counts_is_of_the_moment() -> None:
    decoder = Decoder(traffic())
    made = dated(NOW + timedelta(days=2))
    assert outcomes(decoder, made) == ["too_new"]
    assert outcomes(decoder, made, now=NOW + timedelta(days=1)) == ["ok"]
    assert outcomes(decoder, made, now=NOW + timedelta(days=33)) == ["too_old"]


def test_the_brokers_time_counts_where_the_message_has_none() -> None:
    long_ago = NOW - timedelta(days=31)
    message = RawMessage(Position("t", 0, 0), long_ago, b'{"prompt": "x"}')
    assert Decoder(traffic()).decode(message, NOW) == Rejected(Reason.TOO_OLD)


def test_limits_can_be_moved_and_lifted() -> None:
    values = [dated(datetime(2000, 1, 1, tzinfo=UTC)), dated(datetime(2099, 12, 31, tzinfo=UTC))]
    hour = timedelta(hours=1)
    near = [dated(NOW - 2 * hour), dated(NOW + 2 * hour)]
    assert outcomes(Decoder(traffic(max_age="1h", max_ahead="1h")), *near) == ["too_old", "too_new"]
    assert outcomes(Decoder(traffic(max_age=None, max_ahead=None)), *values) == ["ok", "ok"]
    assert outcomes(Decoder(traffic(max_age="99999999d", max_ahead="99999999d")), *values) == ["ok", "ok"]
    assert outcomes(Decoder(traffic(), any_age=True), *values) == ["ok", "ok"]
