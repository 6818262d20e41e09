"""A world whose target answers harmfully now and then, and a store that has seen it."""

from __future__ import annotations

import pytest
from support.calibration import NOW, PROMPTS, settings_of
from support.store_records import batch, sampled
from support.worlds import UNSAFE, World, make_world

from riskmon.estimate.opening import open_session
from riskmon.store import open_store


@pytest.fixture(scope="session")
def frequent(tmp_path_factory: pytest.TempPathFactory) -> World:
    """P["bad worse"] is 5e-3 under the target; `unsafe` says it more often."""
    return make_world(tmp_path_factory.mktemp("frequent"), "frequent", 3, {"unsafe": UNSAFE})


@pytest.fixture(scope="session")
def store_url(frequent: World, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A SQLite store with the estimates and hits of twelve prompts; to be read only."""
    estimate = {"samples_per_prompt": 1500, "windows": [[0, None]]}
    config = settings_of(frequent, tmp_path_factory.mktemp("store"), estimate=estimate)
    session = open_session(config)
    items = [sampled(i, (i + 1) / 99, text=text) for i, text in enumerate(PROMPTS)]
    with open_store(config.store) as store:
        store.write_intake(batch(items), keep=99, now=NOW)
        cycle = store.begin_cycle(NOW)
        for item in items:
            store.write_result(cycle, session.estimate(item.prompt, keep=True), NOW)
    return config.store.url
