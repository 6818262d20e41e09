"""Runs of the sensitivity job: the newest complete one is shown whole and in its order; its prompts are found again."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy import create_engine, func, select
from support.store_records import CHAT, CODE, HOUR, NOON, batch, sampled

from riskmon.records import Stratum
from riskmon.records.sensitivity import (
    PromptSensitivity,
    SampleKey,
    SensitivitySummary,
    StratumSensitivity,
)
from riskmon.store import Store
from riskmon.store.tables import sensitivity_prompts, sensitivity_runs, sensitivity_strata

SEEN = PromptSensitivity(
    prompt_id="prompts-0-1\x00",  # a producer may send anything
    harm="misuse",
    stratum=CODE,
    base_p=1e-7 / 3,
    base_upper=0.031,
    variants=25,
    with_hits=24,
    doubtful=3,
    failed=1,
    dropped=2,
    mean=0.1 + 0.2,
    mean_stderr=1 / 7,
    mean_upper=0.35,
    geometric_mean=1e-5 / 3,
    quantiles=((0.1, 0.0), (0.5, 1e-6 / 3), (0.9, 0.25)),
    log10_sd=1.25,
    log10_sd_low=0.0,
    log10_sd_high=3.5,
    worst=17.5,
    worst_low=2.25,
    worst_high=130.5,
    worst_observed=21.0,
    worst_variant="prompts-0-1\x00~typos-2",
    base_to_mean=0.125,
    worst_share=0.5,
)
UNKNOWN = {
    "base_p": None,
    "mean_stderr": None,
    "geometric_mean": None,
    "log10_sd": None,
    "log10_sd_low": None,
    "log10_sd_high": None,
    "worst": None,
    "worst_high": None,
    "worst_observed": None,
    "worst_variant": None,
    "base_to_mean": None,
    "worst_share": None,
}
UNSEEN = replace(SEEN, prompt_id="prompts-0-2", harm="insult", stratum=CHAT, worst_low=0.0, **UNKNOWN)


def run(finished_at: datetime, *, complete: bool = True) -> SensitivitySummary:
    return SensitivitySummary(
        started_at=finished_at - timedelta(minutes=9, microseconds=7),
        finished_at=finished_at,
        prompts=(SEEN, UNSEEN),
        strata=(
            StratumSensitivity("misuse", CODE, 3, 17.5, 2.25, 130.5, 1.25),
            StratumSensitivity("insult", CHAT, 1, None, 0.0, None, None),
        ),
        failures={"no_variants": 1, "worker_lost": 2},
        left_out=4,
        tokens=2**40,
        device_seconds=601.125,
        complete=complete,
    )


def rows(url: str) -> tuple[int, ...]:
    """Numbers of runs, of their prompts and of their strata."""
    engine = create_engine(url)
    with engine.connect() as connection:
        found = tuple(
            connection.execute(select(func.count()).select_from(table)).scalar_one()
            for table in (sensitivity_runs, sensitivity_prompts, sensitivity_strata)
        )
    engine.dispose()
    return found


def test_the_complete_run_that_finished_last_is_the_one_shown(store: Store) -> None:
    assert store.last_sensitivity() is None
    assert store.snapshot(NOON).sensitivity is None
    newest = run(NOON + HOUR)
    store.write_sensitivity(newest)
    store.write_sensitivity(run(NOON))
    store.write_sensitivity(run(NOON + 2 * HOUR, complete=False))
    assert store.last_sensitivity() == newest
    assert store.snapshot(NOON).sensitivity == newest
    assert store.strata() == [CODE, CHAT]


def test_a_run_without_a_result_is_a_run(store: Store) -> None:
    bare = replace(run(NOON), prompts=(), strata=(), failures={})
    store.write_sensitivity(bare)
    assert store.last_sensitivity() == bare


def test_writing_again_replaces_what_was_written(store: Store, store_url: str) -> None:
    first = run(NOON)
    store.write_sensitivity(first)
    assert rows(store_url) == (1, 2, 2)
    again = replace(first, prompts=first.prompts[:1], failures={})
    for _ in range(2):
        store.write_sensitivity(again)
        assert store.last_sensitivity() == again
        assert rows(store_url) == (1, 1, 2)


def test_a_purge_keeps_the_newest_complete_run_at_any_age(store: Store, store_url: str) -> None:
    for hours in range(3):
        store.write_sensitivity(run(NOON + hours * HOUR))
    store.write_sensitivity(run(NOON + 3 * HOUR, complete=False))
    newest = store.last_sensitivity()
    assert newest is not None
    store.purge(NOON + HOUR)
    assert rows(store_url) == (3, 6, 6)
    store.purge(NOON + 1_000 * HOUR)
    assert rows(store_url) == (1, 2, 2)
    assert store.last_sensitivity() == newest


def test_prompts_are_found_by_cell_and_id_in_the_order_asked_for(store: Store) -> None:
    chat, code, later = sampled(0, 0.5), sampled(1, 0.4, stratum=CODE), sampled(2, 0.3, window=NOON + HOUR)
    twin = replace(sampled(3, 0.9), prompt=replace(sampled(3, 0.9).prompt, id=chat.prompt.id))
    store.write_intake(batch([chat, twin, code, later]), keep=9, now=NOON)

    def key(item, **changes):
        own = SampleKey(item.window_start, item.prompt.stratum, item.prompt.id)
        return replace(own, **changes)

    assert store.find_prompts([]) == []
    assert store.find_prompts([key(later), key(chat), key(code)]) == [
        later.prompt,
        chat.prompt,  # and not its twin, which a producer gave the same id
        code.prompt,
    ]
    elsewhere = [
        key(chat, window_start=NOON + HOUR),
        key(chat, stratum=CODE),
        key(chat, stratum=Stratum()),
        key(chat, prompt_id="gone"),
    ]
    assert store.find_prompts([*elsewhere, key(code)]) == [code.prompt]
    store.purge(NOON + HOUR)
    assert store.find_prompts([key(chat), key(later)]) == [later.prompt]
