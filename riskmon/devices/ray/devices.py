"""`Devices` made of the actors of a Ray cluster."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime

from riskmon.config import Config
from riskmon.devices.base import Loss, WorkerInfo
from riskmon.devices.queue import Chunk, PromptQueue
from riskmon.devices.ray.agreement import agree
from riskmon.devices.ray.crew import Crew
from riskmon.devices.ray.member import Event, Member
from riskmon.devices.ray.refinement import Refinement
from riskmon.errors import WorkerLost
from riskmon.records import Hit, Plan, Prompt, PromptResult
from riskmon.records.observed import Observation

log = logging.getLogger(__name__)

Stop = Callable[[], bool]

# A first loss with a prompt alone may be the machine's fault. So the losses after which no prompt is to blame are
# twice those of a single device.
_ALONE_LIMIT = 2
_LOSS_LIMIT = 6
# Batches that `refine` takes before the first is done, for each actor: some prompts wait for one, some for another.
_AHEAD = 2


class RayDevices:
    """Asks actors, each with the model on a device of its own; see `Devices`.

    Args:
        on_loss: told of each actor that was lost without anybody asking for its end.
    """

    def __init__(self, config: Config, on_loss: Callable[[Loss], None] = lambda _: None) -> None:
        self._crew = Crew(config, on_loss)
        self._samples = config.estimate.samples_per_prompt
        self._homes: dict[
            str, int
        ] = {}  # stream key -> number of the actor that remembers the prompt's draws

    @property
    def device_seconds(self) -> float:
        """Time that actors have worked, all added up, lost work included."""
        return sum(tally.device_seconds for tally in self._crew.tallies.values())

    @property
    def paused_seconds(self) -> float:
        """Time that actors have waited for other users of their devices."""
        return sum(tally.paused_seconds for tally in self._crew.tallies.values())

    def configure(self, config: Config) -> None:
        """Nothing to take over: actors send every line they log, and what is written is decided here."""

    def start(self, stop: Stop) -> WorkerInfo:
        """Join the cluster and wait until the model is loaded everywhere.

        Raises:
            UserError: Ray is not installed; the cluster, the model, an expert or a judge cannot be used.
            WorkerLost: no actor came up, or the caller stopped waiting.
        """
        return self._crew.start(stop)

    def estimate(
        self, prompts: Iterable[Prompt | None], deadline: float, stop: Stop
    ) -> Iterator[PromptResult]:
        """Estimate prompts, as many at once on each actor as fill its device; see `Devices.estimate`.

        Raises:
            WorkerLost: actors were lost too often, none is left, out of time, or stopped.
            UserError: no actor is left, since the model cannot be loaded any more.
        """
        self._ready(stop)
        queue = PromptQueue(prompts, alone_limit=_ALONE_LIMIT, loss_limit=_LOSS_LIMIT)
        under_way: dict[Member, Chunk] = {}
        grown: dict[Member, int] = {}
        try:
            while True:
                self._hand_out(queue, under_way, grown)
                if queue.over:
                    return
                event = self._crew.next(deadline, stop)
                yield from self._note(event, queue, under_way)
        finally:
            self._crew.disregard(under_way)

    def refine(
        self, prompts: Iterable[tuple[Prompt, int]], deadline: float, stop: Stop
    ) -> Iterator[PromptResult | None]:
        """Add draws where a prompt's first draws are remembered; None where that actor was lost.

        Raises:
            WorkerLost: no actor is left, out of time, or stopped.
        """
        if not self._crew.joined:
            yield from (None for _ in prompts)
            return
        ahead = _AHEAD * max(1, sum(tally.at_once for tally in self._crew.tallies.values()))
        work: Refinement[Member] = Refinement(prompts, self._home, ahead)
        try:
            while True:
                self._hand_out_further(work)
                yield from work.results()
                if work.over:
                    return
                if work.pending or not self._crew.idle:
                    _note_further(self._crew.next(deadline, stop), work)
        finally:
            self._crew.disregard(work.busy)

    def observe(self, prompt: Prompt, deadline: float, stop: Stop) -> Observation:
        """Have the response that production gave to a prompt judged, by whichever actor is free.

        Raises:
            WorkerLost: that actor was lost, or none is left, out of time, or stopped.
            UserError: as `estimate`.
        """
        self._ready(stop)
        while not self._crew.idle:
            self._crew.next(deadline, stop)
        member = self._crew.idle[0]
        self._crew.ask(member, ("observe", prompt), 1)
        while (event := self._crew.next(deadline, stop)).member is not member:
            pass
        if event.answer is None:
            raise event.lost or WorkerLost("the actor did not answer")
        assert isinstance(event.answer.value, Observation)
        return event.answer.value

    def replan(self, hits: Sequence[Hit], now: datetime, deadline: float, stop: Stop) -> tuple[Plan, ...]:
        """Have every actor choose the plans of a cycle, from the same hits; one that comes up later chooses them too.

        Raises:
            WorkerLost: all were lost over it, out of time, or stopped.
            UserError: as `estimate`.
        """
        self._crew.basis = None  # one that comes up on the way here needs no plan: this call makes one
        self._homes.clear()
        self._ready(stop)
        basis = (tuple(hits), now)
        open_: set[Member] = set()
        chosen: list[tuple[Plan, ...]] = []
        lost: WorkerLost | None = None
        while True:
            for member in self._crew.idle:
                if member.basis is not basis:
                    member.basis = basis
                    self._crew.ask(member, ("replan", *basis), 1)
                    open_.add(member)
            if chosen and not open_:
                break
            if lost is not None and not open_:
                raise lost
            event = self._crew.next(deadline, stop)
            if event.member not in open_:
                continue
            open_.remove(event.member)
            lost = event.lost or lost
            if event.answer is not None:
                assert isinstance(event.answer.value, tuple)
                chosen.append(event.answer.value)
        self._crew.basis = basis
        if not agree(chosen):
            log.warning(
                "actors chose different plans from the same hits, perhaps since their devices differ; estimates stay "
                "unbiased, and the plan shown is one of them"
            )
        return chosen[0]

    def close(self) -> None:
        """End everything at once."""
        self._crew.close()

    # ---- parts

    def _ready(self, stop: Stop) -> None:
        if self._crew.joined:
            self._crew.fill_up()
        else:
            self._crew.start(stop)

    def _hand_out(self, queue: PromptQueue, under_way: dict[Member, Chunk], grown: dict[Member, int]) -> None:
        """Give every idle actor its next prompts: few at first, since a short stream is for all of them."""
        for member in self._crew.idle:
            chunk = queue.take(min(self._at_once(member), 2 * grown.get(member, 0)))
            if chunk is None:
                return
            grown[member] = len(chunk)
            under_way[member] = chunk
            self._crew.ask(member, ("estimate", chunk.prompts), len(chunk))

    def _note(
        self, event: Event, queue: PromptQueue, under_way: dict[Member, Chunk]
    ) -> Iterator[PromptResult]:
        chunk = under_way.get(event.member)
        if chunk is None:
            return
        if event.lost is not None:
            del under_way[event.member]
            yield from queue.lose(chunk, event.lost)
        elif event.answer is not None:
            result = event.answer.value
            assert isinstance(result, PromptResult)
            queue.answer(chunk, event.answer.place, result)
            self._homes[result.prompt.stream_key] = event.member.number
            if not chunk.open:
                del under_way[event.member]
            yield result

    def _hand_out_further(self, work: Refinement[Member]) -> None:
        work.draw(self._crew.idle)
        for member in self._crew.idle:
            pairs = work.take(member, self._at_once(member) * self._samples)
            if pairs:
                self._crew.ask(member, ("refine", pairs), len(pairs))

    def _at_once(self, member: Member) -> int:
        return self._crew.tallies[member.place].at_once

    def _home(self, prompt: Prompt) -> Member | None:
        return self._crew.member(self._homes.get(prompt.stream_key))


def _note_further(event: Event, work: Refinement[Member]) -> None:
    if event.lost is not None:
        work.lose(event.member)
    elif event.answer is not None:
        result = event.answer.value
        assert result is None or isinstance(result, PromptResult)
        work.answer(event.member, event.answer.place, result)
