"""What a device answers, wherever it is: questions put to a session, and with every answer what the work has taken.

estimate  prompts                      a PromptResult for each, as it is made
refine    pairs of prompt and draws    a PromptResult or None for each, in order
observe   a prompt                     an Observation
replan    hits, the moment             the plans
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from riskmon.estimate.session import Session


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer.

    Attributes:
        place: of the prompt in the question that it belongs to; 0 where there is one answer.
        value: the answer.
        device_seconds, paused_seconds: what the device has worked, and waited for others, since it was loaded.
        at_once: prompts that it is worth asking it at once, as far as it knows by now.
    """

    place: int
    value: object
    device_seconds: float
    paused_seconds: float
    at_once: int


@dataclass(frozen=True, slots=True)
class Pulse:
    """A word while a device rests for others, so that its rest is not taken for work if it is lost meanwhile.

    Attributes:
        device_seconds, paused_seconds: see `Answer`.
    """

    device_seconds: float
    paused_seconds: float


def answers(session: Session, verb: str, *arguments: Any) -> Iterator[Answer]:
    """Answer a question; one answer for each of its prompts."""
    for place, value in _values(session, verb, *arguments):
        yield Answer(place, value, session.meter.seconds, session.meter.paused, session.at_once)


def _values(session: Session, verb: str, *arguments: Any) -> Iterator[tuple[int, object]]:
    if verb == "estimate":
        return session.estimates(*arguments, keep=True)
    if verb == "refine":
        return enumerate(session.refine_many(*arguments))
    if verb == "observe":
        return enumerate([session.observe(*arguments)])
    return enumerate([session.replan(*arguments)])
