"""The intake asks a scorer for few prompts, and samples as if it had asked for all."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from riskmon.config import TrafficConfig
from riskmon.records import Prompt, SampledPrompt
from riskmon.scoring import Sizes
from riskmon.traffic.intake import Intake
from riskmon.traffic.jsonl import JsonlSource
from riskmon.traffic.sampling import priority

NOW = datetime(2026, 11, 3, 12, 0, 30, tzinfo=UTC)
K = 5
FLOOR = 0.1


def score(prompt: Prompt) -> float:
    return float(prompt.id)


def sizes_of(number: int) -> list[float]:
    """Heavy-tailed, some beyond the bounds."""
    return [float(size) for size in np.exp(np.random.default_rng(3).normal(-0.5, 1.5, number))]


def write(path: Path, scores: list[float]) -> None:
    with path.open("a") as file:
        for one in scores:
            request = {"id": repr(one), "prompt": "text", "timestamp": NOW.isoformat()}
            file.write(json.dumps(request) + "\n")


def by_definition(path: Path, topic: str) -> list[tuple[float, str]]:
    """All priorities, every prompt scored."""
    found, offset = [], 0
    for text in path.read_text().splitlines(keepends=True):
        id_ = json.loads(text)["id"]
        size = min(max(float(id_), FLOOR), 1 / FLOOR)
        found.append((priority(b"key", topic, 0, offset) / size, id_))
        offset += len(text.encode())
    return sorted(found)


def intake_of(path: Path, sizes: Sizes | None, **rest: object) -> Intake:
    config = TrafficConfig(
        jsonl=path,
        sample_per_window=K,
        sample_key=SecretStr("key"),
        flush_interval=timedelta(milliseconds=50),
    )
    source = JsonlSource(path, 1000)
    source.start({})
    return Intake(source, config, scorer=sizes, **rest)  # type: ignore[arg-type]


def smallest(offered: list[SampledPrompt]) -> list[tuple[float, str]]:
    return sorted((one.priority, one.prompt.id) for one in offered)[: K + 1]


def test_few_prompts_are_scored_and_the_sample_is_that_of_all(tmp_path: Path) -> None:
    path = tmp_path / "stream.jsonl"
    path.touch()
    asked = 0

    def counted(prompt: Prompt) -> float:
        nonlocal asked
        asked += 1
        return score(prompt)

    intake = intake_of(path, Sizes(FLOOR, counted))
    scores, scored = sizes_of(20_000), set()
    offered: list[SampledPrompt] = []
    for first, last in ((0, 50), (50, 3_000), (3_000, 20_000)):
        write(path, scores[first:last])
        batch = intake.collect(NOW)
        while batch.consumed:
            offered += batch.sample
            scored.add(batch.scored)
            batch = intake.collect(NOW)
    assert smallest(offered) == by_definition(path, path.name)[: K + 1]
    assert all(one.size == min(max(float(one.prompt.id), FLOOR), 1 / FLOOR) for one in offered)
    assert scored == {True}
    mean = float(np.clip(scores, FLOOR, 1 / FLOOR).mean())
    expected = (K + 1) / FLOOR / mean * (1 + np.log(20_000 * FLOOR * mean / (K + 1)))
    assert asked < 2 * expected < 20_000 / 10


@settings(max_examples=200, deadline=None)
@given(
    members=st.lists(
        st.tuples(st.floats(1e-9, 1, exclude_max=True), st.floats(FLOOR, 1 / FLOOR)), min_size=1, max_size=60
    ),
    k=st.integers(1, 6),
)
def test_the_test_before_the_score_is_exact(members: list[tuple[float, float]], k: int) -> None:
    """As `Intake._sample` asks it, to the last bit, with sizes at their bound among them."""
    from riskmon.traffic.sampling import BottomK

    members = [(u, 1 / FLOOR if i % 3 == 0 else size) for i, (u, size) in enumerate(members)]
    all_scored: BottomK[int] = BottomK(k)
    few_scored: BottomK[int] = BottomK(k)
    for place, (u, size) in enumerate(members):
        all_scored.offer(u / size, place)
        if u / (1 / FLOOR) < few_scored.threshold:
            few_scored.offer(u / size, place)
    assert list(few_scored) == list(all_scored)


def test_a_scorer_that_fails_is_reported_with_the_batch(tmp_path: Path) -> None:
    path = tmp_path / "stream.jsonl"
    write(path, [-1.0, float("nan"), 1.0])
    batch = intake_of(path, Sizes(FLOOR, score)).collect(NOW)
    assert batch.scorer_failures == {"negative": 1, "not_a_number": 1}
    assert sorted(one.size for one in batch.sample) == [FLOOR, FLOOR, 1.0]


def test_without_a_scorer_all_have_one_size(tmp_path: Path) -> None:
    path = tmp_path / "stream.jsonl"
    write(path, sizes_of(40))
    for sizing in (None, Sizes(FLOOR)):
        batch = intake_of(path, sizing).collect(NOW)
        sizes: Mapping[float, int] = defaultdict(int, {one.size: 1 for one in batch.sample})
        assert (set(sizes), batch.scored, batch.scorer_failures) == ({1.0}, False, {})
