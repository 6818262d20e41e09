"""What came of a backfill, in a few lines for people."""

from __future__ import annotations

from collections.abc import Iterator

from riskmon.ingest.counting import Outcome


def describe(outcome: Outcome, known_unit: str) -> Iterator[str]:
    """One line per fact; those that there is nothing to say of are left out, but for what was counted.

    Args:
        known_unit: what `Outcome.known` is a number of.
    """
    rejected = outcome.rejected.total()
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in sorted(outcome.rejected.items()))
    yield (
        f"counted {outcome.counted:,} messages: {outcome.counted - rejected:,} requests, {rejected:,} rejected"
        + (f" ({reasons})" if reasons else "")
    )
    if outcome.known:
        yield f"{outcome.known:,} {known_unit} were counted before"
    if outcome.outside:
        yield f"{outcome.outside:,} messages are of another time, and were left out"
    if outcome.left_to_live:
        yield f"{outcome.left_to_live:,} offsets lie where the daemon reads on, and are left to it"
    if outcome.gone:
        yield (
            f"up to {outcome.gone:,} messages of that time are gone: the topic no longer keeps the offsets before its "
            "earliest"
        )
    for name in outcome.cut_off:
        yield f"the last line of {name} is not complete, and was left for when it is"
