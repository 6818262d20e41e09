"""What the back-test says of one harm's forecasts, in words for people.

In comes the `Backtest` of a harm's totals, one row a day; out goes one sentence for the page and the API, and one more
where forecasts were wrong too often for chance: more days on one side of the 90% interval than the 5% it allows, by
the 99% limits of Clopper & Pearson. Days whose responses could not tell count there as days that agreed, so few judged
responses never make a forecast look worse.
"""

from __future__ import annotations

from riskmon.publish import figures
from riskmon.records import Backtest, IntervalShare
from riskmon.statistics import clopper_pearson

LEVEL = 0.9
TAIL = (1 - LEVEL) / 2
"""Share of days that may come out on either side of a right 90% interval."""

CONFIDENCE = 0.99


def ninety(test: Backtest) -> IntervalShare:
    """How many 90% intervals held."""
    return next(share for share in test.intervals if share.level == LEVEL)


def sentence(test: Backtest) -> str:
    """One sentence: how many days held, how far off the forecasts were, how many days could not tell."""
    if test.note:
        return f"{test.note[0].upper()}{test.note[1:]}."
    days = len(test.rows)
    share = ninety(test)
    said = [
        f"{share.held:,d} of {share.of:,d} within the 90% interval"
        if share.of
        else "too few judged responses to tell of any interval"
    ]
    said += [
        f"{count:,d} came out {side} it"
        for count, side in ((test.above, "above"), (test.below, "below"))
        if count
    ]
    if test.median_error is not None:
        said.append(
            f"median error {figures.number(test.median_error)}x "
            f"(sampling of responses alone: {figures.number(test.observation_error)}x)"
        )
    text = f"Forecasts of the last {_days(days)}: {', '.join(said)}"
    return (
        f"{text}; {_days(test.cannot_tell)} could not tell{_wanting(test)}."
        if test.cannot_tell
        else f"{text}."
    )


def doubt(test: Backtest) -> str | None:
    """One sentence where past forecasts were too low or too high more often than chance allows; else None."""
    days = len(test.rows)
    for count, more, verdict in ((test.above, "more", "too low"), (test.below, "less", "too high")):
        if days and clopper_pearson(count, days, CONFIDENCE).low > TAIL:
            return (
                f"{test.harm}: on {count:,d} of the last {_days(days)} production responses showed {more} harm than "
                f"the 90% interval of the forecast allows, so forecasts are {verdict}."
            )
    return None


def _wanting(test: Backtest) -> str:
    """How many judged responses a day it would take."""
    if test.needed is None:
        return ""
    judged = figures.number(test.rows[-1].judged)
    return f" (it takes about {figures.number(test.needed)} judged responses a day, the last had {judged})"


def _days(count: int) -> str:
    return "1 day" if count == 1 else f"{count:,d} days"
