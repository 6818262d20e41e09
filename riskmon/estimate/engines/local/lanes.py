"""Lanes: the networks behind a batch of rows, each row at a step of its own.

A lane is one network with a strand for every row and expert that it serves: the target and the experts that share its
weights (system messages, begun answers) run in one forward pass, an adapter or another checkpoint in a pass of its
own. A strand is opened at the first step where a proposal of the row's job needs its expert (the tokens so far are run
behind the context in one pass) and dropped after the last one, so an expert costs nothing behind its window. The lanes
together give, at every step, the logits from which any voice is made. Experts that are derived from the target's
logits have no strands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from riskmon.estimate.engines.local.copies import Copies
from riskmon.estimate.engines.local.prefix import Prefix
from riskmon.estimate.engines.local.shareable import can_share
from riskmon.estimate.engines.local.strands import Strands
from riskmon.estimate.experts import Expert
from riskmon.estimate.proposals import Voice
from riskmon.estimate.sampler import widened
from riskmon.records import IntArray

Spans = dict[int, range]
"""Steps at which each expert's network is needed."""


@dataclass(eq=False)
class _Lane:
    """Strands of one network.

    Attributes:
        row, expert: [m] int64, of every strand. logits: [m, V], of the token to draw next.
    """

    strands: Strands | Copies
    row: IntArray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    expert: IntArray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    logits: Tensor | None = None


class Lanes:
    """The networks behind the rows of some jobs.

    Attributes:
        shared: whether all networks read contexts once for all rows; otherwise all rows must be of one job and in step.
        work: [jobs] int64, tokens pushed through any network for each.
    """

    def __init__(
        self,
        experts: Sequence[Expert],
        spans: Sequence[Spans],
        job_of: IntArray,
        context: Callable[[int, int], Prefix],
        tokens: Tensor,
    ) -> None:
        """Begin without rows.

        Args:
            experts: all experts, the target first.
            spans: per job.
            job_of: [rows] int64, the job of every row there will be.
            context: gives a job's context as an expert reads it.
            tokens: [rows, T] int64, the answers so far; read at every step.
        """
        self._experts = experts
        self._spans = spans
        self._job_of = job_of
        self._context = context
        self._tokens = tokens
        self._lanes: dict[str, _Lane] = {}
        self._slots: dict[int, IntArray] = {}
        self._names = {expert: self._name(expert) for own in spans for expert in own}
        self.shared = all(name == experts[expert].network for expert, name in self._names.items())
        self._starts = np.zeros((len(spans), len(experts)), dtype=np.int64)
        self._stops = np.zeros((len(spans), len(experts)), dtype=np.int64)
        for job, own in enumerate(spans):
            for expert, span in own.items():
                self._starts[job, expert], self._stops[job, expert] = span.start, span.stop
        self.work = np.zeros(len(spans), dtype=np.int64)

    def advance(self, rows: IntArray, steps: IntArray) -> None:
        """Bring every lane to where the rows are; strands of rows that are not named are dropped.

        Args:
            rows: [m] int64, those in the batch. steps: [m] int64, tokens that each has said: one more than at the last
                call, or 0 for a row that is new.
        """
        step_of = np.full(len(self._job_of), -1, dtype=np.int64)
        step_of[rows] = steps
        for name, members in self._networks():
            self._drop(name, step_of)
            opening = [
                (expert, job, mine) for expert in members for job, mine in self._opening(expert, rows, steps)
            ]
            if name in self._lanes or opening:
                with self._experts[members[0]].active() as module:
                    self._run(name, module, opening, step_of)
        self._slots = {}

    def logits(self, voice: Voice, rows: IntArray, steps: IntArray) -> Tensor:
        """Logits of the next token under a voice, for some of the rows: [r, V].

        Args:
            voice: its expert must be needed at each row's step. rows, steps: [r] int64, as in `advance`.
        """
        expert = self._experts[voice.expert]
        target = voice.expert == 0 or expert.derived
        own = {0: self._network_logits(0, rows)} if target or voice.strength != 1 else {}
        if not target:
            own[voice.expert] = self._network_logits(voice.expert, rows)
        if not expert.derived:
            return voice_logits(self._experts, voice, own)
        device = self._tokens.device
        said = self._tokens[torch.from_numpy(rows).to(device), : int(steps.max())]
        return voice_logits(self._experts, voice, own, said, torch.from_numpy(steps).to(device))

    # ---- strands

    def _name(self, expert: int) -> str:
        """Of an expert's lane. Copies must be of one context, so that each expert then has a lane of its own."""
        own = self._experts[expert]
        with own.active() as module:
            return own.network if can_share(module, self._tokens.device) else f"copies of {expert}"

    def _networks(self) -> Iterator[tuple[str, list[int]]]:
        """Lanes by name, with the experts that each serves."""
        members: dict[str, list[int]] = {}
        for expert in sorted(self._names):
            members.setdefault(self._names[expert], []).append(expert)
        yield from members.items()

    def _opening(self, expert: int, rows: IntArray, steps: IntArray) -> Iterator[tuple[int, IntArray]]:
        """Rows whose strand of an expert opens now, by job."""
        jobs = self._job_of[rows]
        begins = (steps == self._starts[jobs, expert]) & (steps < self._stops[jobs, expert])
        for job in np.unique(jobs[begins]):
            yield int(job), rows[begins & (jobs == job)]

    def _drop(self, name: str, step_of: IntArray) -> None:
        lane = self._lanes.get(name)
        if lane is None:
            return
        steps = step_of[lane.row]
        stays = (steps >= 0) & (steps < self._stops[self._job_of[lane.row], lane.expert])
        if not stays.any():
            del self._lanes[name]
        elif not stays.all():
            order = lane.strands.keep(stays)
            lane.row, lane.expert = lane.row[order], lane.expert[order]

    def _run(
        self, name: str, module: nn.Module, opening: Sequence[tuple[int, int, IntArray]], step_of: IntArray
    ) -> None:
        lane = self._lanes.get(name)
        device = self._tokens.device
        blocks = []
        if lane is not None:
            rows = torch.from_numpy(lane.row).to(device)
            last = torch.from_numpy(step_of[lane.row] - 1).to(device)
            lane.logits = None  # not held while the next ones are made
            blocks.append(lane.strands.step(module, self._tokens[rows, last]))
            np.add.at(self.work, self._job_of[lane.row], 1)
        else:
            room = int(max(self._stops[job, expert] for expert, job, _ in opening))
            shared = can_share(module, device)
            lane = self._lanes[name] = _Lane(Strands(room) if shared else Copies(room))
        for expert, job, rows_here in opening:
            said = self._tokens[torch.from_numpy(rows_here).to(device), : self._starts[job, expert]]
            blocks.append(lane.strands.add(module, self._context(job, expert), said))
            self.work[job] += said.numel()
            lane.row = np.append(lane.row, rows_here)
            lane.expert = np.append(lane.expert, np.full(len(rows_here), expert))
        lane.logits = blocks[0] if len(blocks) == 1 else torch.cat(blocks)

    def _network_logits(self, expert: int, rows: IntArray) -> Tensor:
        """[r, V]; a view where the strands lie side by side."""
        lane = self._lanes[self._names[expert]]
        if expert not in self._slots:
            slots = np.full(len(self._job_of), -1, dtype=np.int64)
            mine = np.flatnonzero(lane.expert == expert)
            slots[lane.row[mine]] = mine
            self._slots[expert] = slots
        chosen = self._slots[expert][rows]
        assert lane.logits is not None
        if len(chosen) and (np.diff(chosen) == 1).all():
            return lane.logits[chosen[0] : chosen[-1] + 1]
        return lane.logits[torch.from_numpy(chosen).to(lane.logits.device)]


def voice_logits(
    experts: Sequence[Expert],
    voice: Voice,
    network_logits: dict[int, Tensor],
    tokens: Tensor | None = None,
    lengths: Tensor | None = None,
) -> Tensor:
    """Logits of the next token under a voice, [n, V].

    Args:
        network_logits: [n, V] per expert index: of the voice's expert unless it is derived, and of the target unless
            the voice is another network at strength 1.
        tokens: [n, s] int64, the answers so far; None before the first token.
        lengths: [n] int64, tokens of each; None where all have s.
    """
    if voice.expert == 0:
        return network_logits[0]
    expert = experts[voice.expert]
    base = network_logits[0 if expert.derived else voice.expert]
    if tokens is None:
        tokens = torch.empty((len(base), 0), dtype=torch.int64, device=base.device)
    own = expert.adjust(base, tokens, lengths)
    if voice.strength == 1:
        return own
    return torch.lerp(widened(network_logits[0]), widened(own), voice.strength)
