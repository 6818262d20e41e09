"""What was counted in the period, and what became of the sample."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from riskmon.records.snapshot import Counters
from riskmon.records.traffic import TrafficStatus


@dataclass(frozen=True, slots=True)
class SampleTally:
    """Sampled prompts of windows that start at `since` or later.

    Attributes:
        sampled: still in the sample. estimated: those with an estimate. failed: those without, per reason.
        waiting: those not worked on yet.
    """

    since: datetime
    sampled: int
    estimated: int
    failed: Mapping[str, int]
    waiting: int


@dataclass(frozen=True, slots=True)
class TrafficReport:
    """What was counted and what was left out.

    Attributes:
        requests: counted in the period. previous_requests: in the period before; None where the counts do not reach
            back so far.
        first_window: start of the first counting window in the store; None before there is one.
        tally: the sample of the period, as far as prompts are still stored.
        counters: totals since the store was made.
        status: of the source as last seen.
    """

    requests: int
    previous_requests: int | None
    first_window: datetime | None
    tally: SampleTally
    counters: Counters
    status: TrafficStatus | None
