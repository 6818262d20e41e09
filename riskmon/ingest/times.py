"""From when until when a backfill counts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from riskmon.errors import InputError


@dataclass(frozen=True, slots=True)
class Span:
    """A span of time, [since, until); None where it is open."""

    since: datetime | None = None
    until: datetime | None = None

    def holds(self, moment: datetime) -> bool:
        """Whether a moment lies within."""
        return (self.since is None or self.since <= moment) and (self.until is None or moment < self.until)

    @property
    def bounded(self) -> bool:
        """Whether it leaves anything out."""
        return self.since is not None or self.until is not None


def parse_span(since: str | None, until: str | None) -> Span:
    """A span from the text of its ends: dates, or times of RFC 3339; UTC where they say nothing else.

    Raises:
        InputError: one cannot be read, or the end is not after the beginning.
    """
    span = Span(_parse("--from", since), _parse("--to", until))
    if span.since is not None and span.until is not None and span.since >= span.until:
        raise InputError(
            f"--to {until} is not after --from {since}: the first moment counts, the last one does not"
        )
    return span


def _parse(option: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as exc:
        raise InputError(
            f"{option} is {text!r}; give a date such as 2026-11-01, or a time such as 2026-11-01T06:00:00Z"
        ) from exc
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
