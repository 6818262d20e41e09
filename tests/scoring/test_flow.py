"""From the store's estimates to a scorer in the store, and from there into the intake: the whole way round."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from support.store_records import estimate

from riskmon import jobs
from riskmon.config import Config
from riskmon.records import PromptResult
from riskmon.store import Store, open_store
from riskmon.traffic import open_source

NOON = datetime(2026, 11, 3, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(f"sqlite:///{tmp_path}/risk.db") as opened:
        yield opened


def config_of(path: Path, by: str = "risk") -> Config:
    return Config.model_validate(
        {
            "model": {"target": "unused"},
            "judge": {"kind": "regex", "pattern": "x"},
            "traffic": {"jsonl": str(path), "sample_per_window": 200, "sampling": {"by": by}},
        }
    )


def is_risky(prompt: str) -> bool:
    return "explosive" in prompt


def write(path: Path, hour: int, rng: np.random.Generator, number: int) -> None:
    with path.open("a") as file:
        for i in range(number):
            words = [f"word{n}" for n in rng.integers(200, size=12)]
            if rng.random() < 0.05:
                words[3] = "explosive"
            request = {
                "id": f"{hour}-{i}",
                "prompt": " ".join(words),
                "timestamp": (NOON + hour * HOUR + timedelta(minutes=20)).isoformat(),
            }
            file.write(json.dumps(request) + "\n")


def read(store: Store, config: Config, now: datetime) -> None:
    assert config.traffic is not None
    source = open_source(config.traffic)
    try:
        jobs.follow_traffic(
            source, store, config.traffic, NOON - HOUR, lambda: now, lambda: False, to_end=True
        )
    finally:
        source.close()


def estimate_all(store: Store, rng: np.random.Generator) -> None:
    cycle = store.begin_cycle(NOON)
    for waiting in store.pending_prompts(NOON - HOUR):
        p = float(np.exp(rng.normal(0, 0.7))) * (0.02 if is_risky(str(waiting.prompt.content)) else 1e-4)
        result = PromptResult(waiting.prompt, (replace(estimate(waiting.prompt), p=p, stderr=p / 3),))
        store.write_result(cycle, result, NOON)


def test_a_scorer_is_learnt_taken_over_and_makes_the_sample_richer(store: Store, tmp_path: Path) -> None:
    rng, path = np.random.default_rng(1), tmp_path / "traffic.jsonl"
    config = config_of(path)
    for hour in range(4):
        write(path, hour, rng, 2_000)
    read(store, config, NOON + 4 * HOUR)
    estimate_all(store, rng)
    assert all(item.calibrated for item in store.weighted_estimates(NOON))

    model = jobs.train_scorer(store, config, "run", NOON + 4 * HOUR)
    assert model.prompts == 800
    assert model.helps
    stored = store.scorer()
    assert stored is not None
    assert stored.made_at == model.made_at

    write(path, 5, rng, 3_000)
    read(store, config, NOON + 5 * HOUR)
    new = store.sampled_prompts(NOON + 5 * HOUR)
    assert len(new) == 200
    risky = [one for one in new if is_risky(str(one.prompt.content))]
    assert len(risky) > 50  # 150 of all 3,000 are, and 10 of 200 would be
    estimate_all(store, rng)
    weights = {item.estimate.prompt_id: item.weight for item in store.weighted_estimates(NOON + 5 * HOUR)}
    # What the risky ones stand for is still a twentieth of the traffic, and all of them the whole of it, on average:
    # over keys the standard deviation of that sum is 370.
    assert sum(weights[one.prompt.id] for one in risky) == pytest.approx(150, rel=0.3)
    assert sum(weights.values()) == pytest.approx(3_000, abs=5 * 370)


def test_windows_that_are_open_teach_nothing(store: Store, tmp_path: Path) -> None:
    rng, path = np.random.default_rng(2), tmp_path / "traffic.jsonl"
    config = config_of(path)
    write(path, 0, rng, 500)
    read(store, config, NOON + HOUR)
    estimate_all(store, rng)
    assert jobs.train_scorer(store, config, "run", NOON + timedelta(minutes=59)).prompts == 0
    assert jobs.train_scorer(store, config, "run", NOON + HOUR).prompts == 200


def test_prompts_are_sampled_alike_by_default(store: Store, tmp_path: Path) -> None:
    rng, path = np.random.default_rng(3), tmp_path / "traffic.jsonl"
    write(path, 0, rng, 1_000)
    read(store, config_of(path, "uniform"), NOON + HOUR)
    assert {one.size for one in store.sampled_prompts(NOON)} == {1.0}
