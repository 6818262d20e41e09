"""One actor of the crew, and what happens to it."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime

from riskmon.devices.answering import Answer
from riskmon.errors import WorkerLost
from riskmon.records import Hit

Basis = tuple[tuple[Hit, ...], datetime]
"""What plans are chosen from."""


class Task(enum.Enum):
    """What a member is at."""

    LOADING = enum.auto()
    PLANNING = enum.auto()  # chooses plans that others have chosen before
    IDLE = enum.auto()
    ASKED = enum.auto()
    STALE = enum.auto()  # at a question that nobody waits for any more


@dataclass(eq=False, slots=True)
class Member:
    """One actor.

    Attributes:
        number: its own, never used again. place: in the crew.
        node: name of the machine it is on. pid: of its process there; 0 until it is up.
        basis: of the plans it draws from; None for the first plan.
    """

    number: int
    place: int
    begun: float
    task: Task = Task.LOADING
    expected: int = 0
    node: str = ""
    pid: int = 0
    basis: Basis | None = None

    @property
    def at_work(self) -> bool:
        """Whether it is at a question, wanted or not."""
        return self.task in (Task.PLANNING, Task.ASKED, Task.STALE)

    def __str__(self) -> str:
        return f"an actor on {self.node}" if self.node else "an actor"


@dataclass(frozen=True, slots=True)
class Event:
    """What happened to a member: an answer, a loss, or without either that it waits for a question."""

    member: Member
    answer: Answer | None = None
    lost: WorkerLost | None = None
