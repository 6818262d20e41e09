"""Estimates under way side by side: each asks for draws when it needs them, and all that wait are drawn together.

A prompt's estimate takes stages one after the other, since a later one is planned from an earlier. Written as a
generator it yields a job and is sent the job's draws; nothing in it knows of other prompts.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import TypeVar

from riskmon.errors import PromptFailed
from riskmon.estimate.engines.jobs import Job
from riskmon.records import Draws

T = TypeVar("T")
Course = Generator[Job, Draws, T]
"""Asks for draws, and returns what it makes of them."""


def drive(
    courses: Sequence[Course[T]], draw: Callable[[Sequence[Job]], Sequence[Draws | PromptFailed]]
) -> Iterator[tuple[int, T | PromptFailed | FloatingPointError]]:
    """Run courses to their ends, all that wait drawn at once.

    Yields:
        Each course's place, and what it returned or the fault of its prompt, as soon as it has ended.
    """
    turns: deque[tuple[int, Draws | PromptFailed | None]] = deque(
        (place, None) for place in range(len(courses))
    )
    while turns:
        waiting: dict[int, Job] = {}
        while turns:
            place, answer = turns.popleft()
            try:
                waiting[place] = _go_on(courses[place], answer)
            except StopIteration as end:
                yield place, end.value
            except (PromptFailed, FloatingPointError) as fault:
                yield place, fault
        if waiting:
            turns.extend(zip(waiting, draw(list(waiting.values())), strict=True))


def _go_on(course: Course[T], answer: Draws | PromptFailed | None) -> Job:
    """Take a course to the next draws that it needs; None begins it."""
    if answer is None:
        return next(course)
    return course.throw(answer) if isinstance(answer, PromptFailed) else course.send(answer)
