from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from support.snapshots import CYCLE, EMPTY, FACTS, FORECASTS, FULL, NOW, stratum

from riskmon.publish import ConfigState
from riskmon.publish.attention import concerns, runs_missed
from riskmon.records import CoverageCount, TrafficStatus
from riskmon.records.strata import StrataCensus, StratumChange, StratumEvent

WELL = replace(
    FULL,
    forecasts=FORECASTS[5:],
    last_cycle=replace(CYCLE, health=CYCLE.health[1:]),
)


def at(hour: int, minute: int) -> datetime:
    return datetime(2026, 3, 9, hour, minute, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("last", "now", "missed"),
    [
        (at(12, 26), at(14, 7), False),
        (at(12, 26), at(19, 59), False),  # the run of 16:00 may still be under way
        (at(12, 26), at(20, 0), True),
        (at(15, 59), at(20, 0), True),
        (at(16, 1), at(20, 0), False),
    ],
)
def test_a_job_is_late_when_its_second_run_has_come_due(last, now, missed):
    assert runs_missed("0 */4 * * *", last, now) is missed


def test_all_is_well():
    assert concerns(WELL, FACTS, {"publish": True}, []) == []
    assert concerns(EMPTY, FACTS, {"publish": True}, []) == []


def test_a_harm_over_its_budget_and_one_with_a_gap_are_named():
    assert concerns(FULL, FACTS, {}, []) == [
        "misuse: 27.4 harmful outputs are expected, the budget is 10 a day.",
        "misuse: the proposals miss harm on 1.22% of the prompts, so the estimate may be too low.",
    ]


def test_late_jobs_a_silent_source_and_heavy_tails_are_named():
    snapshot = replace(
        WELL,
        forecast_at=NOW - timedelta(minutes=40),
        last_success=replace(CYCLE, finished_at=at(4, 30)),
        last_cycle=replace(CYCLE, health=(replace(CYCLE.health[1], khat=0.93),)),
        traffic=TrafficStatus(up=False, lag_messages=None, at=NOW, detail="No broker at kafka:9092."),
    )
    assert concerns(snapshot, FACTS, {}, []) == [
        "The forecast is late: the last one is of 2026-03-09 13:27 UTC.",
        "The estimate cycle is late: the last one is of 2026-03-09 04:30 UTC.",
        "The traffic source does not answer. No broker at kafka:9092.",
        "insult: a tail index of 0.93 (above 0.7) says that the error bars are too small.",
    ]


def test_where_nothing_reads_the_source_is_not_blamed():
    told = "Nothing reads the traffic: node-7 ended in order."
    gone = TrafficStatus(up=False, lag_messages=None, at=NOW, detail=told, readers=0)
    assert concerns(replace(WELL, traffic=gone), FACTS, {}, []) == [told]


def test_the_process_itself_is_named_and_so_is_the_store():
    found = concerns(None, FACTS, {"intake": False, "publish": True}, ["the broker is not reachable"])
    assert found == [
        "The store cannot be read, so there is no forecast to show.",
        "The loop 'intake' of this process has stopped.",
        "Not ready: the broker is not reachable",
    ]


def test_a_configuration_that_was_refused_or_waits_for_a_restart_is_named():
    def named(state):
        return [
            text for text in concerns(FULL, replace(FACTS, state=state), {}, []) if "configuration" in text
        ]

    assert named(ConfigState(NOW)) == []
    assert named(ConfigState(NOW, refused=True)) == [
        "The configuration file was refused at the last reload, and the settings from before hold: see the log."
    ]
    assert named(ConfigState(NOW, pending=("store.url", "harms[bad].threshold"))) == [
        "The configuration file has changes that need a restart: store.url, harms[bad].threshold."
    ]
    # Also while the store is down.
    refused = replace(FACTS, state=ConfigState(NOW, refused=True))
    assert any("refused" in text for text in concerns(None, refused, {}, []))


def test_large_strata_that_are_gone_and_a_limit_that_was_reached_are_named():
    def gone(place, share):
        return StratumEvent(
            NOW, StratumChange.VANISHED, stratum(f"r{place}"), NOW - timedelta(hours=40), share
        )

    capped = StratumEvent(at(11, 30), StratumChange.CAPPED, stratum("other", "other"))
    census = StrataCensus(vanished=(gone(1, 0.12), gone(2, 0.004)), events=(capped,))
    assert concerns(replace(WELL, strata=census), FACTS, {}, []) == [
        "Stratum route=r1, model=chat-v3 has no traffic since 2026-03-07 22:07 UTC; it had 12% of the requests.",
        "A limit of strata was reached 2026-03-09 11:30 UTC: traffic beyond it is counted in `other` "
        "(traffic.max_strata, traffic.max_label_values).",
    ]
    many = StrataCensus(vanished=tuple(gone(place, 0.1) for place in range(8)))
    assert concerns(replace(WELL, strata=many), FACTS, {}, [])[-1] == "3 more strata have no traffic."


def test_harm_in_production_that_the_proposals_miss_is_named():
    missed = CoverageCount("misuse", None, 9_000, 0, responses=2_400, response_gap_hits=3)
    clean = CoverageCount("insult", None, 9_000, 4, responses=2_400)
    assert concerns(replace(WELL, coverage=(missed, clean)), FACTS, {}, []) == [
        "misuse: 3 of 2,400 judged production responses show harm that the proposals miss."
    ]
