"""Counts are exact, the sample is the k smallest, and nothing is lost on the way."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from support.kafka import EmbeddedBroker

from riskmon.config import KafkaConfig, TrafficConfig
from riskmon.errors import TrafficUnavailable
from riskmon.records import IntakeBatch, Prompt, SampledPrompt, Stratum
from riskmon.traffic import intake as intake_module
from riskmon.traffic import thresholds as thresholds_module
from riskmon.traffic.intake import Intake
from riskmon.traffic.jsonl import JsonlSource
from riskmon.traffic.kafka import KafkaSource
from riskmon.traffic.sampling import priority

NOW = datetime(2026, 11, 3, 12, 0, 30, tzinfo=UTC)
NOON = datetime(2026, 11, 3, 12, 0, tzinfo=UTC)
K = 4

Cell = tuple[datetime, Stratum]


def stratum(route: str) -> Stratum:
    return Stratum((("route", route),))


def traffic(path: Path, **settings: Any) -> TrafficConfig:
    defaults: dict[str, Any] = {
        "jsonl": path,
        "strata": ("route",),
        "sample_per_window": K,
        "sample_key": SecretStr("key"),
        "flush_interval": timedelta(milliseconds=50),
    }
    return TrafficConfig(**defaults | settings)


def line(number: int) -> str:
    """One request: every third on `search`, every tenth an hour later, every fiftieth not JSON."""
    if number % 50 == 49:
        return "{"
    request = {
        "id": f"r{number}",
        "prompt": f"text {number}",
        "route": "search" if number % 3 == 0 else "chat",
        "timestamp": (NOON + timedelta(minutes=61 if number % 10 == 0 else 59)).isoformat(),
    }
    return json.dumps(request)


def write(path: Path, numbers: Iterable[int]) -> None:
    with path.open("a") as file:
        file.writelines(line(number) + "\n" for number in numbers)


def cell_of(number: int) -> Cell:
    return (NOON + timedelta(hours=number % 10 == 0), stratum("search" if number % 3 == 0 else "chat"))


def smallest(offered: Iterable[SampledPrompt], k: int = K) -> dict[Cell, list[str]]:
    """Ids of the k smallest priorities per cell: what the store keeps."""
    cells: dict[Cell, list[tuple[float, str]]] = defaultdict(list)
    for sampled in offered:
        cells[sampled.window_start, sampled.prompt.stratum].append((sampled.priority, sampled.prompt.id))
    return {cell: [id_ for _, id_ in sorted(members)[:k]] for cell, members in cells.items()}


def expected_sample(path: Path, key: bytes = b"key") -> dict[Cell, list[str]]:
    """The same, computed from the file by definition."""
    cells: dict[Cell, list[tuple[float, str]]] = defaultdict(list)
    offset = 0
    for number, text in enumerate(path.read_text().splitlines(keepends=True)):
        if number % 50 != 49:
            rank = priority(key, path.name, 0, offset)
            cells[cell_of(number)].append((rank, f"r{number}"))
        offset += len(text.encode())
    return {cell: [id_ for _, id_ in sorted(members)[:K]] for cell, members in cells.items()}


def started(path: Path, offset: int | None = None) -> JsonlSource:
    source = JsonlSource(path, 1000)
    source.start({} if offset is None else {0: offset})
    return source


@pytest.fixture
def stream(tmp_path: Path) -> Path:
    path = tmp_path / "stream.jsonl"
    write(path, range(600))
    return path


def test_counts_sample_rejections_and_offsets_of_one_batch(stream: Path) -> None:
    batch = Intake(started(stream), traffic(stream)).collect(NOW)

    requests = [number for number in range(600) if number % 50 != 49]
    assert batch.consumed == 600
    assert batch.rejected == {"not_json": 12}
    assert batch.requests == Counter(cell_of(number) for number in requests)
    assert len(batch.requests) == 4
    assert smallest(batch.sample) == expected_sample(stream)
    assert len(batch.sample) == 4 * (K + 1)
    assert batch.next_offsets == {("stream.jsonl", 0): stream.stat().st_size}
    assert batch.first_offsets == {("stream.jsonl", 0): 0}
    first = min(batch.sample, key=lambda sampled: sampled.priority).prompt
    assert first.content == f"text {first.id[1:]}"
    assert first.position is not None


def test_batches_merge_to_the_sample_of_the_whole(tmp_path: Path) -> None:
    path = tmp_path / "stream.jsonl"
    path.touch()
    intake = Intake(started(path), traffic(path))
    batches: list[IntakeBatch] = []
    for first, last in ((0, 37), (37, 41), (41, 300), (300, 600)):
        write(path, range(first, last))
        batches.append(intake.collect(NOW))

    assert sum(batch.consumed for batch in batches) == 600
    offered = [sampled for batch in batches for sampled in batch.sample]
    assert smallest(offered) == expected_sample(path)
    # Remembered thresholds keep later batches small: about k * ln(growth) candidates of a cell, not k again.
    assert len(batches[3].sample) < 4 * K


def test_a_replay_chooses_the_same_prompts(stream: Path) -> None:
    once = Intake(started(stream), traffic(stream)).collect(NOW)
    again = Intake(started(stream), traffic(stream)).collect(NOW)
    assert once == again
    other_key = Intake(started(stream), traffic(stream, sample_key=SecretStr("else"))).collect(NOW)
    assert smallest(other_key.sample) == expected_sample(stream, key=b"else")
    assert smallest(other_key.sample) != smallest(once.sample)


def test_a_restart_goes_on_with_the_stored_thresholds(tmp_path: Path) -> None:
    path = tmp_path / "stream.jsonl"
    write(path, range(300))
    before = Intake(started(path), traffic(path)).collect(NOW)
    thresholds: dict[Cell, float] = {}
    for sampled in before.sample:
        cell = (sampled.window_start, sampled.prompt.stratum)
        thresholds[cell] = max(sampled.priority, thresholds.get(cell, 0.0))

    write(path, range(300, 600))
    resumed = started(path, before.next_offsets["stream.jsonl", 0])
    after = Intake(resumed, traffic(path), thresholds=thresholds).collect(NOW)

    assert after.consumed == 300
    assert smallest([*before.sample, *after.sample]) == expected_sample(path)
    assert all(s.priority < thresholds[s.window_start, s.prompt.stratum] for s in after.sample)


def test_known_strata_draw_the_line_of_the_cap(stream: Path) -> None:
    config = traffic(stream, max_strata=1)
    batch = Intake(started(stream), config, known_strata=[stratum("search")]).collect(NOW)
    assert {stratum_ for _, stratum_ in batch.requests} == {stratum("search"), stratum("other")}
    assert {s.prompt.stratum for s in batch.sample} == {stratum("search"), stratum("other")}


def test_a_backlog_comes_in_steps(stream: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake_module, "MAX_MESSAGES", 250)
    monkeypatch.setattr(intake_module, "POLL_MESSAGES", 100)
    config = traffic(stream, flush_interval=timedelta(seconds=60))
    source = started(stream)
    source.mark_end()
    intake = Intake(source, config)
    sizes = []
    while not source.caught_up():
        sizes.append(intake.collect(NOW).consumed)
    # The first batch does not wait for more than one poll.
    assert sizes == [100, 250, 250]


def test_nothing_new_is_an_empty_batch(stream: Path) -> None:
    intake = Intake(started(stream), traffic(stream))
    intake.collect(NOW)
    assert intake.collect(NOW) == IntakeBatch(sample=[])


def test_forgetting_a_threshold_never_spoils_the_sample(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(thresholds_module, "MAX_CELLS", 1)
    path = tmp_path / "stream.jsonl"
    path.touch()
    intake = Intake(started(path), traffic(path))
    offered: list[SampledPrompt] = []
    for first in range(0, 600, 100):
        write(path, range(first, first + 100))
        offered += intake.collect(NOW).sample
    assert smallest(offered) == expected_sample(path)


def test_windows_have_the_configured_length(tmp_path: Path) -> None:
    path = tmp_path / "stream.jsonl"
    path.write_text('{"prompt": "x"}\n')
    [(start, _)] = Intake(started(path), traffic(path, window=timedelta(minutes=7))).collect(NOW).requests
    assert start <= NOW < start + timedelta(minutes=7)
    assert start.timestamp() % 420 == 0


def test_where_latest_begins_is_reported_before_any_message(unplugged_broker: EmbeddedBroker) -> None:
    unplugged_broker.start()
    topic = unplugged_broker.create_topic(partitions=2)
    unplugged_broker.produce(topic, [b"old"] * 3, partition=1)
    kafka = KafkaConfig(bootstrap_servers=(unplugged_broker.bootstrap,), topic=topic, start="latest")
    config = TrafficConfig(kafka=kafka, flush_interval=timedelta(hours=1))
    source = KafkaSource(kafka)
    source.start({})
    batch = Intake(source, config).collect(NOW)
    source.close()
    begins = {(topic, 0): 0, (topic, 1): 3}
    assert batch == IntakeBatch(sample=[], next_offsets=begins, first_offsets=begins)


def test_what_was_read_before_an_outage_is_not_lost(unplugged_broker: EmbeddedBroker) -> None:
    broker = unplugged_broker
    broker.start()
    topic = broker.create_topic()
    kafka = KafkaConfig(bootstrap_servers=(broker.bootstrap,), topic=topic, start="earliest")
    config = TrafficConfig(kafka=kafka, flush_interval=timedelta(hours=1))
    source = KafkaSource(kafka, request_timeout_s=0.5)
    source.start({})
    intake = Intake(source, config)
    assert intake.collect(NOW).consumed == 0
    broker.produce(topic, [b'{"prompt": "x"}'] * 5)

    def unplug_once_read() -> None:
        while source.next_offsets() != {0: 5}:
            time.sleep(0.01)
        broker.stop()

    unplug = threading.Thread(target=unplug_once_read)
    unplug.start()
    batch = intake.collect(NOW)
    unplug.join()

    assert batch.consumed == 5
    assert batch.next_offsets == {(topic, 0): 5}
    with pytest.raises(TrafficUnavailable):
        intake.collect(NOW)
    source.close()


class ByLength:
    """Scores a request by the length of its id: r0 to r9 a tenth, r10 to r99 a half, r100 on twice."""

    largest, active = 2.0, True

    def __init__(self) -> None:
        self.scored = 0

    def size(self, prompt: Prompt) -> float:
        self.scored += 1
        return {2: 0.1, 3: 0.5, 4: 2.0}[len(prompt.id)]

    def renew(self) -> None: ...

    def take_failures(self) -> dict[str, int]:
        return {}


def test_a_scorer_divides_the_priorities_and_sees_only_what_can_be_kept(stream: Path) -> None:
    scorer = ByLength()
    batch = Intake(started(stream), traffic(stream), scorer=scorer).collect(NOW)

    alike = Intake(started(stream), traffic(stream, sample_per_window=1000)).collect(NOW)
    cells: dict[Cell, list[tuple[float, str]]] = defaultdict(list)
    for kept in alike.sample:
        size = {2: 0.1, 3: 0.5, 4: 2.0}[len(kept.prompt.id)]
        cells[kept.window_start, kept.prompt.stratum].append((kept.priority / size, kept.prompt.id))
    assert len(alike.sample) == 588
    assert smallest(batch.sample) == {
        cell: [id_ for _, id_ in sorted(members)[:K]] for cell, members in cells.items()
    }
    assert {s.size for s in alike.sample} == {1.0}
    assert all(s.size == {2: 0.1, 3: 0.5, 4: 2.0}[len(s.prompt.id)] for s in batch.sample)
    assert batch.requests == alike.requests
    assert 4 * K <= scorer.scored < 200
