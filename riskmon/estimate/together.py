"""Many prompts through one session, for commands that hold the model themselves: chunk by chunk, in order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING

from riskmon.records import Prompt, PromptResult

if TYPE_CHECKING:
    from riskmon.estimate.session import Session


def estimate_each(
    session: Session, prompts: Iterable[Prompt], *, keep: bool = False
) -> Iterator[PromptResult]:
    """Estimate prompts, as many at once as fill the engine's batch; the first one alone, to learn how many these are.

    Args:
        prompts: read chunk by chunk, so that whoever feeds them can stop.
        keep: see `Session.estimate`.

    Yields:
        Results in the order of the prompts, each as soon as it and all before it are there.
    """
    waiting = iter(prompts)
    while chunk := list(islice(waiting, session.at_once)):
        early: dict[int, PromptResult] = {}
        handed_on = 0
        for place, result in session.estimates(chunk, keep=keep):
            early[place] = result
            while handed_on in early:
                yield early.pop(handed_on)
                handed_on += 1
