"""A configuration with a secret in every place that takes one, and a store with a week behind it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support.store_records import CHAT, CODE, HOUR, counted, forecast, plan, sampled, success, summary

from riskmon.config import Config
from riskmon.config_file import parse_config
from riskmon.records import Horizon, TrafficStatus
from riskmon.store import Store, open_store

NOW = datetime(2026, 3, 14, 12, 30, tzinfo=UTC)
SECRET = "s3cr3t-never-shown"


def settings(**sections: Any) -> dict[str, Any]:
    """A whole configuration; sections replace those given here."""
    return {
        "model": {"target": "example/model", "revision": "abc123"},
        "experts": [{"name": "persona", "kind": "system_prompt", "text": "You are rude."}],
        "harms": [{"name": "misuse", "judge": {"kind": "regex", "pattern": "badword"}, "budget_daily": 10}],
        "traffic": {
            "kafka": {
                "bootstrap_servers": ["broker:9092"],
                "topic": "prompts",
                "security": {
                    "protocol": "SASL_SSL",
                    "mechanism": "PLAIN",
                    "username": "u",
                    "password": SECRET,
                },
            },
            "strata": ["attributes.route"],
            "sample_key": SECRET,
        },
        "store": {"url": "sqlite:///riskmon.db"},
        **sections,
    }


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return parse_config(settings(), base=tmp_path)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(f"sqlite:///{tmp_path}/riskmon.db") as opened:
        yield opened


@pytest.fixture(scope="session")
def week_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The database of `week`, made once."""
    file = tmp_path_factory.mktemp("week") / "riskmon.db"
    with open_store(f"sqlite:///{file}") as store:
        _write_week(store)
    return file


@pytest.fixture
def week(week_file: Path, tmp_path: Path) -> Iterator[Store]:
    """Counts of eight days with a gap, estimates, cycles, plans and hourly forecasts up to five minutes ago."""
    shutil.copy(week_file, tmp_path / "riskmon.db")
    shutil.copy(f"{week_file}.key", tmp_path / "riskmon.db.key")
    with open_store(f"sqlite:///{tmp_path}/riskmon.db") as opened:
        yield opened


def _write_week(store: Store) -> None:
    hour = NOW.replace(minute=0)
    offset = 0
    for hours in range(8 * 24, -1, -1):
        start = hour - hours * HOUR
        if 60 <= hours < 65:
            continue  # nothing was counted
        for stratum, requests in ((CHAT, 100), (CODE, 10)):
            item = sampled(
                offset, 0.5, window=start, stratum=stratum, text=f"call 0151 23456 or a{offset}@example.org"
            )
            store.write_intake(
                counted(requests, end=offset + 1, sample=[item], window=start, stratum=stratum),
                keep=9,
                now=start,
            )
            offset += 1
    cycle = store.begin_cycle(hour - 3 * HOUR)
    for place, item in enumerate(store.pending_prompts(hour - 24 * HOUR)):
        result = success(item.prompt)
        p = 0.02 if item.prompt.stratum == CODE else 0.001 + 1e-5 * place
        estimate = replace(result.estimates[0], p=p, ci_low=p / 2, ci_high=2 * p, flags=())
        store.write_result(cycle, replace(result, estimates=(estimate,)), hour - 2 * HOUR)
    store.finish_cycle(cycle, summary(hour - 2 * HOUR))
    store.finish_cycle(store.begin_cycle(hour - 6 * HOUR), summary(hour - 5 * HOUR, complete=False))
    store.begin_cycle(hour - 30 * HOUR)  # and never ended
    store.write_plans([plan(hour - 3 * HOUR, None)])
    for hours in range(8 * 24, -1, -1):
        made = NOW - timedelta(minutes=5) - hours * HOUR
        total = forecast(made, None, 4.0 + (8 if hours < 24 else 0))
        strata = [forecast(made, stratum, 1.0) for stratum in (CHAT, CODE)]
        more = [forecast(made, None, 50.0, Horizon.WEEK)]
        store.write_forecasts([*strata, total, *(more if hours == 0 else [])])
    store.write_traffic_status(TrafficStatus(up=True, lag_messages=0, at=NOW))
