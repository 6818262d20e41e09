"""Estimates under way side by side: each asks for draws when it needs them, and all that wait are drawn together.

A prompt's estimate takes stages one after the other, since a later one is planned from an earlier. Written as a
generator it yields a job and is sent the job's draws; nothing in it knows of other prompts.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import TypeVar

from riskmon.errors import PromptFailed
from riskmon.estimate.engines.jobs import Job
from riskmon.records import Draws

T = TypeVar("T")
Course = Generator[Job, Draws, T]
"""Asks for draws, and returns what it makes of them."""


def drive(
    courses: Sequence[Course[T]], draw: Callable[[Sequence[Job]], Sequence[Draws | PromptFailed]]
) -> list[T | PromptFailed | FloatingPointError]:
    """Run courses to their ends, all that wait drawn at once.

    Returns:
        Per course what it returned, or the fault of its prompt.
    """
    outcomes: dict[int, T | PromptFailed | FloatingPointError] = {}
    waiting: dict[int, Job] = {}

    def go_on(index: int, answer: Draws | PromptFailed | None) -> None:
        course = courses[index]
        try:
            if isinstance(answer, PromptFailed):
                waiting[index] = course.throw(answer)
            else:
                waiting[index] = next(course) if answer is None else course.send(answer)
        except StopIteration as end:
            outcomes[index] = end.value
        except (PromptFailed, FloatingPointError) as fault:
            outcomes[index] = fault

    for index in range(len(courses)):
        go_on(index, None)
    while waiting:
        asked = dict(waiting)
        waiting.clear()
        for index, answer in zip(asked, draw(list(asked.values())), strict=True):
            go_on(index, answer)
    return [outcomes[index] for index in range(len(courses))]
