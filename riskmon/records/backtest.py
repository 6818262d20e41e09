"""Past forecasts beside what judged production responses later showed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from riskmon.records.traffic import Stratum


@dataclass(frozen=True, slots=True)
class JudgedWindow:
    """Judged production responses of one harm and stratum in one counting window.

    `judged` and `harmful` are effective numbers: plain counts where the judged responses are a simple random sample of
    the window's, otherwise as `riskmon.forecast.backtest.judged_window` makes them from inclusion probabilities.

    Attributes:
        start: start of the window.
        requests: N, all requests of the window, counted.
        judged: n, responses that a judge read, at most N. harmful: k, those it flagged.
    """

    start: datetime
    harm: str
    stratum: Stratum
    requests: int
    judged: float
    harmful: float


class Verdict(StrEnum):
    """What the judged responses say of one forecast interval."""

    WITHIN = "within"
    ABOVE = "above"
    BELOW = "below"
    CANNOT_TELL = "cannot tell"


@dataclass(frozen=True, slots=True)
class BacktestRow:
    """One forecast against the 24 hours it spoke of.

    Attributes:
        expected, lower, upper: as forecast, the 90% interval of the count.
        requests: requests of the span, counted; 0 where none were.
        judged, harmful: effective numbers of judged and of flagged responses.
        observed: estimated harmful outputs of the span, the judge's errors taken out; None without judged responses.
        observed_low, observed_high: 95% limits of it.
        chance_lower: P(so few flagged responses or fewer), were the forecast's lower side true. chance_upper: P(so many
            or more), were its upper side true. An interval of level c fails where either is below (1 - c) / 2.
        told: the sample was large enough to notice three times the upper limit; set by design, not by outcome.
        verdict: above or below where the 90% interval failed, told or not.
        error: multiplicative error of `expected`, at least 1; None where too few of the judged were harmful to say.
        error_at_least: the smallest error that the limits of `observed` leave possible; 1 where they hold `expected`.
        direction: whether forecast and observation changed the same way since the row before; None where the observed
            change may be chance.
        reason: why the verdict is `cannot tell`; empty otherwise.
    """

    made_at: datetime
    harm: str
    stratum: Stratum | None
    expected: float
    lower: float
    upper: float
    requests: int
    judged: float
    harmful: float
    observed: float | None
    observed_low: float
    observed_high: float
    chance_lower: float
    chance_upper: float
    told: bool
    verdict: Verdict
    error: float | None
    error_at_least: float
    direction: bool | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class IntervalShare:
    """How many intervals held, with 95% limits of the share.

    Attributes:
        level: nominal, 0.5, 0.9 or 0.99. held, of: intervals that held, among those the sample could tell of.
        low, high: limits of Clopper & Pearson; [0, 1] where none could be told.
    """

    level: float
    held: int
    of: int
    low: float
    high: float

    @property
    def share(self) -> float | None:
        """held / of; None where none could be told."""
        return self.held / self.of if self.of else None


@dataclass(frozen=True, slots=True)
class Backtest:
    """All scored forecasts of one harm, of the total or of one stratum.

    Attributes:
        stratum: None is the total.
        rows: by time, no two of overlapping spans.
        told: rows whose sample could tell. above, below: rows whose 90% interval failed, told or not.
        median_error: over all rows with responses; None where too few of the judged were harmful on average to say.
        observation_error: median error that the sampling of responses alone makes in those rows; what the forecast
            itself contributes is what exceeds it.
        errors: rows behind these two.
        intervals: shares at 50, 90 and 99%.
        directions, directions_right: changes that the observation could tell, and those forecast with the right sign.
        needed: about how many judged responses would have told of the newest row; None where it could tell, and where
            not even all responses would do.
        note: one sentence where nothing could be scored; empty otherwise.
    """

    harm: str
    stratum: Stratum | None
    rows: tuple[BacktestRow, ...]
    told: int
    above: int
    below: int
    median_error: float | None
    observation_error: float | None
    errors: int
    intervals: tuple[IntervalShare, ...]
    directions: int
    directions_right: int
    needed: int | None = None
    note: str = ""

    @property
    def cannot_tell(self) -> int:
        """Rows whose sample could not tell and did not contradict."""
        return sum(row.verdict is Verdict.CANNOT_TELL for row in self.rows)
