"""What a check found, and the guard that turns a check's error into a finding."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from rich.table import Table

from riskmon.errors import RiskmonError

T = TypeVar("T")


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the checklist.

    Attributes:
        level: how bad it is. subject: what was looked at. text: one sentence; what to do unless all is well.
        table: shown below the line.
    """

    level: Level
    subject: str
    text: str
    table: Table | None = None


Check = Generator[Finding, None, T]
"""Yields findings, and returns what later checks build on."""


def guarded(subject: str, check: Check[T]) -> Check[T | None]:
    """The findings of a check, its error among them; None where it ended with one."""
    try:
        return (yield from check)
    except RiskmonError as exc:
        yield Finding(Level.FAILED, subject, str(exc))
    except Exception as exc:  # noqa: BLE001 - the next check may still be worth its while
        # The message is left out: libraries put the values they stumble over into it, and those may be prompts.
        yield Finding(
            Level.FAILED,
            subject,
            f"unexpected {type(exc).__module__}.{type(exc).__qualname__}; please report it",
        )
    return None
