"""Whether a forecast can be relied on: every reason against it, as a sentence, and the worst of them as one word.

Doubt means: do not decide by the number. Caution means: decide, and know this. A report without either is sound, which
is rare, and says only that nothing known speaks against it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from riskmon.publish.attention import HEAVY_KHAT, runs_missed
from riskmon.publish.figures import clock, exact, number, percent
from riskmon.records import CycleSummary, Snapshot
from riskmon.records.backtest import Backtest
from riskmon.records.report import Finding, HarmReport, SampleTally, Trust

_GRAVITY = {Trust.DOUBT: 0, Trust.CAUTION: 1, Trust.SOUND: 2}
# Half of the number rests on estimates known to be wrong: the number is no better than they are.
_DOUBTFUL_HALF = 0.5
_DOUBTFUL_NOTED = 0.1
_FAILED_NOTED = 0.05


def judge_trust(
    harms: Iterable[HarmReport],
    snapshot: Snapshot,
    tally: SampleTally,
    estimate_schedule: str,
    forecast_schedule: str,
) -> tuple[Finding, ...]:
    """Every finding, the gravest first.

    Args:
        tally: the sample of the period.
        estimate_schedule, forecast_schedule: crontabs; a second missed run makes a figure out of date.
    """
    found = [
        *_freshness(snapshot, estimate_schedule, forecast_schedule),
        *_last_cycle(snapshot.last_cycle),
        *_sample(tally),
    ]
    for harm in harms:
        found += _harm(harm, snapshot.last_cycle)
    return tuple(sorted(found, key=lambda finding: _GRAVITY[finding.trust]))


def worst(findings: Iterable[Finding]) -> Trust:
    """The gravest level among findings; sound without any."""
    return min((finding.trust for finding in findings), key=_GRAVITY.__getitem__, default=Trust.SOUND)


def _freshness(snapshot: Snapshot, estimate_schedule: str, forecast_schedule: str) -> Iterator[Finding]:
    if snapshot.forecast_at is None:
        yield Finding(Trust.DOUBT, "There is no forecast yet.")
    elif runs_missed(forecast_schedule, snapshot.forecast_at, snapshot.taken_at):
        yield Finding(Trust.DOUBT, f"The forecast is out of date: it was made {clock(snapshot.forecast_at)}.")
    success = snapshot.last_success
    if success is None:
        yield Finding(Trust.DOUBT, "No estimate cycle has been completed yet.")
    elif runs_missed(estimate_schedule, success.finished_at, snapshot.taken_at):
        yield Finding(
            Trust.DOUBT,
            f"Estimates are out of date: the last complete cycle ended {clock(success.finished_at)}.",
        )
    if snapshot.traffic is not None and not snapshot.traffic.up:
        fault = (
            "The traffic source does not answer" if snapshot.traffic.readers else "Nothing reads the traffic"
        )
        yield Finding(Trust.CAUTION, f"{fault}, so requests are missing from the counts.")


def _last_cycle(cycle: CycleSummary | None) -> Iterator[Finding]:
    if cycle is not None and not cycle.complete:
        yield Finding(Trust.CAUTION, f"The last estimate cycle, {clock(cycle.finished_at)}, was cut short.")


def _sample(tally: SampleTally) -> Iterator[Finding]:
    failed = sum(tally.failed.values())
    if tally.sampled and failed / tally.sampled > _FAILED_NOTED:
        yield Finding(
            Trust.CAUTION,
            f"{percent(failed / tally.sampled)} of the sampled prompts could not be estimated and count as if they "
            "were like the others.",
        )


def _harm(harm: HarmReport, cycle: CycleSummary | None) -> Iterator[Finding]:
    name, total = harm.scope.name, harm.total
    if total is None:
        yield Finding(Trust.DOUBT, "There is no forecast for this harm.", name)
        return
    if total.hits == 0:
        yield Finding(Trust.CAUTION, "No draw was harmful, so only the upper limits say anything.", name)
    yield from _doubtful(harm)
    health = next((h for h in cycle.health if h.harm == name), None) if cycle else None
    if health is not None and health.coverage_gap_ratio > 0:
        yield Finding(
            Trust.CAUTION,
            f"The unsafe variants miss harm on {percent(health.coverage_gap_ratio)} of the prompts, so the number may "
            "be too low.",
            name,
        )
    if harm.coverage is not None and harm.coverage.response_gap_hits:
        yield Finding(
            Trust.CAUTION,
            f"{exact(harm.coverage.response_gap_hits)} of {exact(harm.coverage.responses)} judged production responses "
            "show harm that the unsafe variants miss, so the number may be too low.",
            name,
        )
    if health is not None and health.khat is not None and health.khat > HEAVY_KHAT:
        yield Finding(
            Trust.CAUTION,
            f"A few draws carry the estimate (tail index {number(health.khat)}, above {HEAVY_KHAT}), so its error is "
            "understated.",
            name,
        )
    if total.unseen_share is not None and total.unseen_share > 0.5:
        yield Finding(Trust.CAUTION, "Most of the upper limit is harm that no draw has shown.", name)
    yield from _judge(harm)
    yield from _backtest(harm.backtest, name)


def _doubtful(harm: HarmReport) -> Iterator[Finding]:
    share = harm.doubtful_share
    if share is None or share <= _DOUBTFUL_NOTED:
        return
    yield Finding(
        Trust.DOUBT if share > _DOUBTFUL_HALF else Trust.CAUTION,
        f"{percent(share)} of the number rests on estimates that are flagged as wrong.",
        harm.scope.name,
    )


def _judge(harm: HarmReport) -> Iterator[Finding]:
    assert harm.total is not None
    if harm.judge is None:
        yield Finding(
            Trust.CAUTION,
            "The judge was never measured, so its false alarms and misses are part of the number.",
            harm.scope.name,
        )
    elif harm.judge.floor >= harm.total.harm_probability:
        yield Finding(
            Trust.CAUTION,
            f"False alarms of the judge alone could make a rate of {number(harm.judge.floor)}, and the corrected rate "
            f"is {number(harm.total.harm_probability)}.",
            harm.scope.name,
        )


def _backtest(backtest: Backtest | None, name: str) -> Iterator[Finding]:
    if backtest is None or not backtest.rows:
        yield Finding(
            Trust.CAUTION, "No past forecast has been held against judged production responses.", name
        )
        return
    of_90 = next((share for share in backtest.intervals if share.level == 0.9), None)
    if of_90 is not None and of_90.of and of_90.high < of_90.level:
        yield Finding(
            Trust.DOUBT,
            f"Of {exact(of_90.of)} past forecasts only {exact(of_90.held)} held what they promised in nine of ten "
            f"cases: {exact(backtest.above)} came out too low, {exact(backtest.below)} too high.",
            name,
        )
