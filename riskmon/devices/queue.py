"""Which prompts a free device gets next, and what becomes of those whose device was lost.

In comes a stream of prompts, read only when there is a device for them; out go chunks. A chunk that is lost goes
again, each of its prompts alone and before any new one, since one of them may have cost the device its life; what was
answered before the loss stays answered. A prompt that was lost alone is left out. After a loss, chunks are at most half
as large as the lost one: perhaps it took more memory than there is. Nothing here knows of processes or machines.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from riskmon.errors import WorkerLost
from riskmon.records import Prompt, PromptResult

log = logging.getLogger(__name__)


@dataclass(eq=False, slots=True)
class _Asked:
    """A prompt that was taken from the stream; `lost` counts the devices that it was alone on when they were lost."""

    prompt: Prompt
    lost: int = 0


class Chunk:
    """Prompts that one device was given together.

    Attributes:
        prompts: all of them, answered or not, in the order of the stream.
    """

    def __init__(self, asked: Sequence[_Asked]) -> None:
        self.prompts = tuple(item.prompt for item in asked)
        self._open = dict(enumerate(asked))

    @property
    def open(self) -> tuple[Prompt, ...]:
        """Those without an answer."""
        return tuple(item.prompt for item in self._open.values())

    def __len__(self) -> int:
        return len(self.prompts)

    def close(self, place: int) -> None:
        """Note that the prompt at a place has its answer."""
        del self._open[place]

    def give_up(self) -> list[_Asked]:
        """Those without an answer, which are no longer waited for here."""
        left = list(self._open.values())
        self._open.clear()
        return left


class PromptQueue:
    """Prompts that wait for devices, and those that are under way.

    Hand every answer on to whoever feeds the stream before taking the next chunk: the feed counts what is under way.
    """

    def __init__(
        self, prompts: Iterable[Prompt | None], *, alone_limit: int = 1, loss_limit: int = 3
    ) -> None:
        """Begin with nothing under way.

        Args:
            prompts: the stream. None says that no prompt can be had until another answer is back; said while nothing is
                under way it is the end.
            alone_limit: devices lost with a prompt alone after which it is left out. Where there is one device it is
                1; among several the first may have been the machine's own fault.
            loss_limit: devices lost with a prompt alone, in all, after which no single prompt can be to blame.
        """
        self._stream: Iterator[Prompt | None] = iter(prompts)
        self._alone_limit = alone_limit
        self._loss_limit = loss_limit
        self._again: deque[_Asked] = deque()
        self._under_way: set[Chunk] = set()
        self._largest: int | None = None
        self._costs_known = False
        self._ended = False
        self._losses = 0

    @property
    def over(self) -> bool:
        """Whether every prompt of the stream has been answered or left out."""
        return self._ended and not self._again and not self._under_way

    def take(self, at_once: int) -> Chunk | None:
        """What a free device does next; None where there is nothing for it, at present or ever.

        Args:
            at_once: prompts it is worth asking at once. Until one prompt has an estimate it gets a single one: what
                many of them cost is not known before.
        """
        size = max(1, at_once) if self._costs_known else 1
        if self._largest is not None:
            size = min(size, self._largest)
        asked = [self._again.popleft()] if self._again else self._draw(size)
        if not asked:
            self._ended = self._ended or not self._under_way
            return None
        chunk = Chunk(asked)
        self._under_way.add(chunk)
        return chunk

    def answer(self, chunk: Chunk, place: int, result: PromptResult) -> None:
        """Note the result of a chunk's prompt."""
        chunk.close(place)
        self._costs_known = self._costs_known or result.failure is None
        if not chunk.open:
            self._under_way.discard(chunk)

    def lose(self, chunk: Chunk, why: WorkerLost) -> list[PromptResult]:
        """Take back the unanswered prompts of a device that was lost.

        Returns:
            Failures of prompts that are left out.

        Raises:
            WorkerLost: devices were lost too often for single prompts to be to blame; it is `why`.
        """
        self._under_way.discard(chunk)
        left = chunk.give_up()
        if len(chunk) > 1:
            half = len(chunk) // 2
            self._largest = half if self._largest is None else min(self._largest, half)
            self._again.extend(left)
            if left:
                log.warning(
                    "%d prompts go again, one by one: %s", len(left), why, extra={"prompts": len(left)}
                )
            return []
        for item in left:
            self._losses += 1
            item.lost += 1
            if self._losses >= self._loss_limit:
                raise why
        self._again.extend(item for item in left if item.lost < self._alone_limit)
        return [_left_out(item.prompt, why) for item in left if item.lost >= self._alone_limit]

    def _draw(self, size: int) -> list[_Asked]:
        drawn: list[_Asked] = []
        while len(drawn) < size and not self._ended:
            try:
                prompt = next(self._stream)
            except StopIteration:
                self._ended = True
                break
            if prompt is None:
                break
            drawn.append(_Asked(prompt))
        return drawn


def _left_out(prompt: Prompt, why: WorkerLost) -> PromptResult:
    log.error(
        "prompt %r left out: %s",
        *(prompt.id, why),
        extra={"prompt_id": prompt.id, "reason": WorkerLost.reason},
    )
    return PromptResult(prompt, failure=WorkerLost.reason, message=str(why))
