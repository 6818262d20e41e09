"""What goes into a cycle's stream, and what comes out of it: both in an order of which any prefix is a fair sample.

Devices take several prompts at once, so when one more is asked for, others are under way that have cost nothing yet.
They are reckoned at the mean of those that are done, in device time against the budget and in wall time against the
deadline. Where they leave no room the stream says to wait, for they may cost less; where nothing is under way it ends.

Everything that is given out is finished, but in any order, and devices may be lost for good before that. A result is
handed on when those of all earlier prompts are there, so that what is stored is a prefix whenever a cycle ends.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator

from riskmon.records import Prompt, PromptResult

log = logging.getLogger(__name__)


class Feed:
    """Gives out the prompts of a cycle, and puts their results in order.

    Args:
        prompts: in order, each at a position of its own.
        spent: device seconds that the cycle has taken so far.
        budget_s: device seconds beyond which no prompt is given out, apart from the first: where something else has
            spent it all, a cycle still makes an estimate.
        deadline: on the clock `now`; no prompt is given out that might overrun it.
        stop: asked before each prompt; a True ends the stream.
    """

    def __init__(
        self,
        prompts: Iterable[Prompt],
        spent: Callable[[], float],
        budget_s: float,
        deadline: float,
        stop: Callable[[], bool],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._prompts = prompts
        self._spent = spent
        self._budget_s = budget_s
        self._deadline = deadline
        self._stop = stop
        self._now = now
        self._begun_at = self._answered_at = now()
        self._spent_before = spent()
        self._answered = 0
        self._longest_s = 0.0
        self._given_at: dict[str, float] = {}  # under way, by stream key
        self._order: deque[str] = deque()
        self._early: dict[str, PromptResult] = {}

    def stream(self) -> Iterator[Prompt | None]:
        """The prompts, while there is room for one; None to wait for results of those under way."""
        if self._spent() >= self._budget_s:
            log.warning(
                "plans and responses have spent the device budget of the estimates; one is made all the same"
            )
        for prompt in self._prompts:
            while not self._room():
                if self._stop() or not self._given_at:
                    return
                yield None
            if self._stop():
                return
            self._given_at[prompt.stream_key] = self._now()
            self._order.append(prompt.stream_key)
            yield prompt

    def take(self, result: PromptResult) -> list[PromptResult]:
        """Take a result; returns what can be handed on now."""
        key = result.prompt.stream_key
        self._answered_at = self._now()
        self._longest_s = max(self._longest_s, self._answered_at - self._given_at.pop(key))
        self._answered += 1
        self._early[key] = result
        ready = []
        while self._order and self._order[0] in self._early:
            ready.append(self._early.pop(self._order.popleft()))
        return ready

    def late(self, prompts: float = 1.0) -> bool:
        """Whether so many prompts more might overrun the deadline, as slow as the mean or as the slowest one so far.

        The device budget does not count the time of a judge behind an endpoint. A slow one must not cost the device.
        """
        mean_s = (self._answered_at - self._begun_at) / self._answered if self._answered else 0.0
        return self._now() + max(self._longest_s, mean_s * prompts) > self._deadline

    def _room(self) -> bool:
        under_way = len(self._given_at)
        if self.late(under_way + 1):
            return False
        if not self._answered:
            return self._spent() < self._budget_s or not under_way
        mean = (self._spent() - self._spent_before) / self._answered
        return self._spent() + under_way * mean < self._budget_s
