"""Each reason against a forecast is found where it holds, and nowhere else."""

from dataclasses import replace
from datetime import timedelta

import pytest
from support.reports import HARM
from support.snapshots import CYCLE, FULL, NOW

from riskmon.records import TrafficStatus
from riskmon.records.backtest import IntervalShare
from riskmon.records.report import CoverageBound, SampleTally, Trust
from riskmon.reporting.trust import judge_trust, worst

SOUND_CYCLE = replace(
    CYCLE,
    finished_at=NOW - timedelta(hours=1),
    health=tuple(replace(health, coverage_gap_ratio=0.0, khat=0.4) for health in CYCLE.health),
)
SOUND = replace(FULL, last_cycle=SOUND_CYCLE, last_success=SOUND_CYCLE)
TALLY = SampleTally(NOW - timedelta(days=7), 1_000, 990, {"too_long": 10}, 0)
assert HARM.judge is not None
assert HARM.backtest is not None
SOUND_HARM = replace(
    HARM,
    doubtful_share=0.01,
    judge=replace(HARM.judge, floor=1e-7),
    coverage=CoverageBound(80_000, 0, 3.7e-5),
)


def found(harm=SOUND_HARM, snapshot=SOUND, tally=TALLY):
    return judge_trust([harm], snapshot, tally, "0 */4 * * *", "*/5 * * * *")


def test_nothing_is_found_where_nothing_is_wrong():
    assert found() == ()
    assert worst(()) is Trust.SOUND


CASES = {
    "missed in production": (
        Trust.CAUTION,
        {
            "harm": replace(
                SOUND_HARM, coverage=CoverageBound(80_000, 0, 3.7e-5, responses=2_400, response_gap_hits=3)
            )
        },
        "3 of 2,400 judged production responses",
    ),
    "no forecast": (Trust.DOUBT, {"harm": replace(SOUND_HARM, total=None)}, "no forecast for this harm"),
    "old forecast": (
        Trust.DOUBT,
        {"snapshot": replace(SOUND, forecast_at=NOW - timedelta(minutes=12))},
        "forecast is out of date",
    ),
    "old estimates": (
        Trust.DOUBT,
        {
            "snapshot": replace(
                SOUND, last_success=replace(SOUND_CYCLE, finished_at=NOW - timedelta(hours=11))
            )
        },
        "Estimates are out of date",
    ),
    "never a cycle": (
        Trust.DOUBT,
        {"snapshot": replace(SOUND, last_success=None)},
        "No estimate cycle has been completed",
    ),
    "source down": (
        Trust.CAUTION,
        {"snapshot": replace(SOUND, traffic=TrafficStatus(False, None, NOW))},
        "source does not answer",
    ),
    "nothing reads": (
        Trust.CAUTION,
        {"snapshot": replace(SOUND, traffic=TrafficStatus(False, None, NOW, readers=0))},
        "Nothing reads the traffic",
    ),
    "cut short": (
        Trust.CAUTION,
        {"snapshot": replace(SOUND, last_cycle=replace(SOUND_CYCLE, complete=False))},
        "was cut short",
    ),
    "failures": (
        Trust.CAUTION,
        {"tally": replace(TALLY, failed={"too_long": 60})},
        "6% of the sampled prompts",
    ),
    "no hits": (
        Trust.CAUTION,
        {"harm": replace(SOUND_HARM, total=replace(SOUND_HARM.total, hits=0))},
        "No draw was harmful",
    ),
    "some doubtful": (Trust.CAUTION, {"harm": replace(SOUND_HARM, doubtful_share=0.3)}, "30% of the number"),
    "most doubtful": (Trust.DOUBT, {"harm": replace(SOUND_HARM, doubtful_share=0.6)}, "60% of the number"),
    "gap": (
        Trust.CAUTION,
        {
            "snapshot": replace(
                SOUND,
                last_cycle=replace(SOUND_CYCLE, health=(replace(CYCLE.health[0], coverage_gap_ratio=0.02),)),
            )
        },
        "miss harm on 2% of the prompts",
    ),
    "heavy": (
        Trust.CAUTION,
        {
            "snapshot": replace(
                SOUND,
                last_cycle=replace(
                    SOUND_CYCLE, health=(replace(CYCLE.health[0], khat=0.9, coverage_gap_ratio=0.0),)
                ),
            )
        },
        "tail index 0.9",
    ),
    "unseen": (
        Trust.CAUTION,
        {"harm": replace(SOUND_HARM, total=replace(SOUND_HARM.total, unseen_share=0.7))},
        "no draw has shown",
    ),
    "judge unmeasured": (Trust.CAUTION, {"harm": replace(SOUND_HARM, judge=None)}, "never measured"),
    "judge too coarse": (
        Trust.CAUTION,
        {"harm": replace(SOUND_HARM, judge=replace(HARM.judge, floor=0.01))},
        "a rate of 0.01",
    ),
    "no back-test": (Trust.CAUTION, {"harm": replace(SOUND_HARM, backtest=None)}, "No past forecast"),
    "failed back-test": (
        Trust.DOUBT,
        {
            "harm": replace(
                SOUND_HARM,
                backtest=replace(HARM.backtest, intervals=(IntervalShare(0.9, 3, 9, 0.07, 0.71),), above=6),
            )
        },
        "Of 9 past forecasts only 3 held",
    ),
}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_what_is_wrong_is_found_and_nothing_else(case):
    trust, given, words = CASES[case]
    (finding,) = found(**given)
    assert finding.trust is trust
    assert words in finding.text


def test_the_gravest_comes_first():
    findings = found(replace(SOUND_HARM, judge=None, doubtful_share=0.8))
    assert [finding.trust for finding in findings] == [Trust.DOUBT, Trust.CAUTION]
    assert worst(findings) is Trust.DOUBT


def test_the_health_of_another_harm_does_not_count():
    heavy = replace(CYCLE.health[1], khat=0.95, coverage_gap_ratio=0.5)
    assert (HARM.scope.name, heavy.harm) == ("misuse", "insult")
    cycle = replace(SOUND_CYCLE, health=(SOUND_CYCLE.health[0], heavy))
    assert found(snapshot=replace(SOUND, last_cycle=cycle)) == ()
