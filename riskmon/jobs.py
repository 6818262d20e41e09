"""The flow on one page: traffic -> sample -> estimate -> forecast -> back-test, each meeting the next in the store.

Every job reads the store, calls its stage and writes the store. Nothing here knows of threads, schedules or HTTP.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from functools import partial

import numpy as np

from riskmon.config import Config, TrafficConfig, stratum_label
from riskmon.follower import Follower
from riskmon.forecast import (
    VANISHED_LOOKBACK,
    change_between,
    change_of_version,
    find_vanished,
    make_forecasts,
    serving_versions,
)
from riskmon.forecast import back_test as score_forecasts
from riskmon.records import Backtest, Forecast, Hit, Horizon, IntakeBatch, JudgeError
from riskmon.records.change import Change, VersionChange
from riskmon.records.scorer import ScorerModel
from riskmon.records.sensitivity import SampleKey
from riskmon.records.strata import OTHER, StrataNews, StratumChange, StratumEvent
from riskmon.scoring import Example, open_sizes, train
from riskmon.scoring.text import text_of
from riskmon.statistics import load_judge_error
from riskmon.store import Store
from riskmon.traffic import open_intake
from riskmon.traffic.left_out import LeftOut
from riskmon.traffic.seek.source import RangeSource
from riskmon.traffic.source import SharedSource, Source
from riskmon.traffic.strata import UNKNOWN
from riskmon.writer import BatchWriter

log = logging.getLogger(__name__)

Clock = Callable[[], datetime]
Stop = Callable[[], bool]

BACKTEST_SPAN = timedelta(days=30)
"""Forecasts made within it are held against what came."""

# Nearest to a day before, so that both forecasts speak of the same hours; a missed run or two leave one within this.
_DAY, _DAY_MAY_DIFFER_BY = timedelta(hours=24), timedelta(hours=4)
_MODEL_LABEL = "model"
# Estimated prompts that the scorer is trained on, the newest ones.
_SCORER_PROMPTS = 20_000
_TOLD = {
    StratumChange.APPEARED: "stratum %s appeared",
    StratumChange.CAPPED: "a limit of strata is reached, so traffic is counted in stratum %s; see traffic.max_strata "
    "and traffic.max_label_values",
    StratumChange.VANISHED: "stratum %s vanished",
    StratumChange.REAPPEARED: "stratum %s reappeared",
}


def follow_traffic(
    source: Source | RangeSource,
    store: Store,
    config: TrafficConfig,
    lookback_start: datetime,
    clock: Clock,
    stop: Stop,
    *,
    to_end: bool = False,
) -> None:
    """Count and sample traffic until told to stop; with `to_end`, until all that existed at the start is read.

    Counts, sample and offsets of a batch are written in one transaction, in a thread beside the one that reads. After
    any error the caller starts this again: reading then resumes from the stored offsets, so nothing is counted twice or
    lost.

    Raises:
        TrafficUnavailable: the source cannot be reached.
        StoreUnavailable: the store cannot be read, or refused a batch; with `to_end`, also where it cannot be written.
    """
    keep, topic = config.sample_per_window, source.topic
    ahead = LeftOut(store.counted_ahead(topic))
    sizes = open_sizes(config, store.scorer)
    if sizes is not None:
        sizes.look()
    intake = open_intake(
        source, config, store.kept_strata(), store.thresholds(keep, lookback_start), sizes, ahead
    )

    def write(batch: IntakeBatch) -> StrataNews:
        # Before the batch, so that a failure has written nothing; in the writer's thread, so that reading never waits.
        if sizes is not None:
            sizes.look()
        return store.write_intake(batch, keep=keep, now=clock(), limits=config.strata_limits)

    def learn(news: StrataNews) -> None:
        intake.learn(news.kept)
        _tell(news.events)

    with BatchWriter(write, store.write_traffic_status, retry=not to_end) as writer:
        follower = Follower(source, intake, writer, keep, clock, learn, to_end=to_end)
        if isinstance(source, SharedSource):
            source.share(partial(store.next_offsets, topic), follower.give_up)
        source.start(store.next_offsets(topic))
        if to_end:
            source.mark_end()
        follower.run(stop)


def _tell(events: Iterable[StratumEvent]) -> None:
    """Log strata that came or went; a limit that was reached asks for somebody's attention."""
    for event in events:
        level = logging.WARNING if event.change is StratumChange.CAPPED else logging.INFO
        log.log(
            level,
            _TOLD[event.change],
            event.stratum,
            extra={"stratum": event.stratum.as_dict(), "change": event.change.value},
        )


def watch_strata(store: Store, config: Config, command: str, now: datetime) -> list[StratumEvent]:
    """Note strata that have vanished, and let go of the places of those that the forecast no longer counts.

    A place is free again once the store holds no request of the stratum within `forecast.volume.history`.
    """
    traffic = config.require_traffic(command)
    gone = find_vanished(
        store.volume(now - VANISHED_LOOKBACK), window=traffic.window, after=traffic.vanished_after, now=now
    )
    # Strata of other labels ended with the configuration that named them.
    labels = [stratum_label(path) for path in traffic.strata]
    events = store.note_vanished([event for event in gone if list(event.stratum.as_dict()) == labels])
    _tell(events)
    freed = store.retire_strata(now - config.forecast.volume.history, now)
    if freed:
        log.info("%d strata without recent traffic gave up their places", freed, extra={"strata": freed})
    return events


def forecast(store: Store, config: Config, command: str, now: datetime) -> list[Forecast]:
    """Forecast from what the store holds, and store it; empty before there are estimates."""
    made = preview_forecast(store, config, command, now)
    if made:
        store.write_forecasts(made, change(store, config, made), version_change(store, config, made))
    for total in (one for one in made if one.stratum is None and one.horizon is Horizon.DAY):
        log.debug(
            "forecast of %s: %.4g harmful outputs in 24 hours, 90%% interval %.4g to %.4g",
            *(total.harm, total.expected, total.lower, total.upper),
            extra={
                "harm": total.harm,
                "expected": total.expected,
                "lower": total.lower,
                "upper": total.upper,
            },
        )
    return made


def preview_forecast(store: Store, config: Config, command: str, now: datetime) -> list[Forecast]:
    """Forecast the next 24 hours from what the store holds, and leave the store as it is."""
    traffic = config.require_traffic(command)
    # Estimates of the day before tell whether p moved on the last one.
    since = now - max(config.forecast.lookback, 2 * _DAY) - traffic.window
    return make_forecasts(
        config.forecast,
        window=traffic.window,
        windows=store.volume(now - config.forecast.volume.history - traffic.window),
        volume_config=config.forecast.volume,
        estimates=store.weighted_estimates(since),
        coverage=[
            count.pooled(responses=config.responses_from_target)
            for count in store.coverage(now - config.store.retention)
        ],
        judge_errors=_judge_errors(config),
        budgets={h.name: h.budget_daily for h in config.all_harms if h.budget_daily is not None},
        harms=[harm.name for harm in config.all_harms],
        now=now,
        # One stream per moment: two processes that forecast at the same time say the same.
        rng=np.random.default_rng([config.estimate.seed, int(now.timestamp())]),
    )


def change(store: Store, config: Config, made: Sequence[Forecast]) -> dict[str, Change]:
    """Why forecasts differ from those made a day before, per harm; empty where none were made 20 to 28 hours before.

    Args:
        made: all forecasts of one moment.
    """
    before = store.history.forecasts_nearest(made[0].made_at - _DAY, _DAY_MAY_DIFFER_BY)
    return change_between(before, made, draws=config.forecast.draws, rng=_chance(config, made))


def version_change(store: Store, config: Config, made: Sequence[Forecast]) -> list[VersionChange]:
    """What the two versions of the model with the most requests differ by; empty where strata tell of no two.

    Args:
        made: all forecasts of one moment.
    """
    versions = serving_versions(made, _MODEL_LABEL, store.strata(), ignored=(UNKNOWN, OTHER))
    if versions is None:
        return []
    found = change_of_version(
        made, _MODEL_LABEL, *versions, draws=config.forecast.draws, rng=_chance(config, made)
    )
    return [VersionChange(harm, _MODEL_LABEL, *versions, one) for harm, one in found.items()]


def _chance(config: Config, made: Sequence[Forecast]) -> np.random.Generator:
    """A stream of its own, so that comparing a forecast leaves the forecast as it is."""
    return np.random.default_rng([config.estimate.seed, int(made[0].made_at.timestamp()), 1])


def back_test(store: Store, config: Config, command: str, now: datetime) -> list[Backtest]:
    """Hold past forecasts against judged production responses, and store the result in place of the last one.

    Of every day the first forecast counts. Responses are judged with their prompts, so only spans that had ended when
    the last complete cycle began are scored. A judge's measured errors stand behind forecasts made since then; earlier
    ones spoke of what it flags, and are left out.

    Returns:
        Per harm that was forecast, the total, then its strata.
    """
    window = config.require_traffic(command).window
    since = (now - BACKTEST_SPAN).replace(hour=0, minute=0, second=0, microsecond=0)
    errors = _judge_errors(config)
    harms = [harm.name for harm in config.all_harms]
    forecasts = [
        made
        for made in store.history.daily_forecasts(since, now)
        if made.harm in harms and (made.harm not in errors or made.made_at >= errors[made.harm].made_at)
    ]
    cycle = store.last_complete_cycle()
    results = score_forecasts(
        forecasts,
        store.history.judged_windows(since - window, harms),
        window=window,
        until=cycle.started_at if cycle is not None else since,
        rng=np.random.default_rng([config.estimate.seed, int(now.timestamp())]),
        judge_errors=errors,
    )
    store.write_backtests(results, now)
    return results


def _judge_errors(config: Config) -> dict[str, JudgeError]:
    """Measured errors of the judges, by harm; a harm without a calibration file is absent."""
    return {
        harm.name: load_judge_error(harm.calibration, None, harm.cut, harm.name)
        for harm in config.all_harms
        if harm.calibration is not None
    }


def stored_hits(store: Store, config: Config, most: int, now: datetime) -> list[Hit]:
    """Kept hits within the retention, of every stratum and harm equally many where there are too many.

    Args:
        most: bounds them all together, as far as one per stratum and harm allows.
    """
    cells = max(1, len(store.strata()) * len(config.all_harms))
    limit = min(config.estimate.hits_kept, max(1, most // cells))
    return store.hits(now - config.store.retention, limit)


def train_scorer(store: Store, config: Config, command: str, now: datetime) -> ScorerModel:
    """Train the text scorer on what the store holds, and store it; the intake takes it over within half a minute.

    Only windows that have ended count: a size must not depend on which prompts of its own cell are in the sample.
    """
    traffic = config.require_traffic(command)
    found: dict[SampleKey, dict[str, float]] = {}
    weights: dict[SampleKey, float] = {}
    for item in store.weighted_estimates(now - config.store.retention):
        if item.cell[0] + traffic.window <= now:
            key = SampleKey(*item.cell, item.estimate.prompt_id)
            found.setdefault(key, {})[item.estimate.harm] = item.estimate.p
            weights[key] = item.weight
    keys = list(found)[-_SCORER_PROMPTS:]
    prompts = {(prompt.stratum, prompt.id): text_of(prompt) for prompt in store.find_prompts(keys)}
    examples = [
        Example(prompts[key.stratum, key.prompt_id], key.stratum, weights[key], found[key])
        for key in keys
        if (key.stratum, key.prompt_id) in prompts
    ]
    model = train(examples, traffic.sampling.floor, now, np.random.default_rng(config.estimate.seed))
    store.write_scorer(model)
    if model.variance_ratio is None:
        log.info(
            "scorer: %d estimated prompts are too few to train on; prompts are sampled alike", len(examples)
        )
    else:
        log.info(
            "scorer: on prompts it had not seen the variance is %.2f of that of uniform sampling, at most %.2f: %s",
            *(model.variance_ratio, model.variance_ratio_upper),
            "it is used" if model.helps else "it does not help surely, so prompts are sampled alike",
            extra={"prompts": model.prompts, "variance_ratio": model.variance_ratio, "helps": model.helps},
        )
    return model


def purge(store: Store, config: Config, now: datetime) -> int:
    """Forget prompts, counts and estimates beyond the retention; returns how many prompts were forgotten."""
    retention, counts = config.store.retention, config.store.count_retention
    forgotten = store.purge(now - retention, now - max(retention, counts))
    if forgotten:
        log.info(
            "purged %d prompts older than %s", forgotten, config.store.retention, extra={"prompts": forgotten}
        )
    return forgotten
