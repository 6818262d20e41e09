"""Batches that wait for the store, gathered in one: counts add up, and of each cell the smallest priorities stay.

While a batch is being written, or cannot be, reading goes on and what it brings is gathered here. What that takes is
bounded by the sample: counts are numbers, and a cell keeps as many prompts as the store would, and one more, whose
priority tells the weight of those that stay.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import datetime
from heapq import nsmallest

from riskmon.records import IntakeBatch, SampledPrompt, Stratum
from riskmon.records.ranges import Range, union

_Cell = tuple[datetime, Stratum]
_Part = tuple[str, int]


class OpenBatch:
    """What was read and not yet handed to the store.

    Args:
        keep: prompts that the store keeps per cell.

    Attributes:
        characters: of text held, roughly.
    """

    def __init__(self, keep: int) -> None:
        self._keep = keep + 1
        self._begin_anew()

    def _begin_anew(self) -> None:
        self.characters = 0
        self._consumed = 0
        self._requests: Counter[_Cell] = Counter()
        self._variances: dict[_Cell, float] = {}
        self._samples: defaultdict[_Cell, list[SampledPrompt]] = defaultdict(list)
        self._rejected: Counter[str] = Counter()
        self._scored = False
        self._scorer_failures: Counter[str] = Counter()
        self._dead_letters: Counter[str] = Counter()
        self._first: dict[_Part, int] = {}
        self._next: dict[_Part, int] = {}
        self._passed: defaultdict[_Part, list[Range]] = defaultdict(list)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to write."""
        return not self._consumed and not self._next

    def add(self, batch: IntakeBatch) -> None:
        """Gather a batch; it goes on where those before it ended."""
        self._consumed += batch.consumed
        self._requests.update(batch.requests)
        self._rejected.update(batch.rejected)
        self._scored |= batch.scored
        self._scorer_failures.update(batch.scorer_failures)
        self._dead_letters.update(batch.dead_letters)
        for cell, variance in batch.variances.items():
            self._variances[cell] = self._variances.get(cell, 0.0) + variance
        for part, offset in batch.first_offsets.items():
            self._first.setdefault(part, offset)
        for part, ranges in batch.passed_over.items():
            self._passed[part] += ranges
        self._next.update(batch.next_offsets)
        for sampled in batch.sample:
            cell = sampled.window_start, sampled.prompt.stratum
            candidates = self._samples[cell]
            candidates.append(sampled)
            self.characters += _characters(sampled)
            if len(candidates) >= 2 * self._keep:
                self._prune(cell)

    def close(self) -> IntakeBatch:
        """All that was gathered, as one batch; gathering begins anew."""
        for cell in list(self._samples):
            self._prune(cell)
        batch = IntakeBatch(
            consumed=self._consumed,
            requests=dict(self._requests),
            sample=[sampled for candidates in self._samples.values() for sampled in candidates],
            rejected=dict(self._rejected),
            next_offsets=self._next,
            first_offsets=self._first,
            passed_over={part: union(ranges) for part, ranges in self._passed.items()},
            variances=self._variances,
            scored=self._scored,
            scorer_failures=dict(self._scorer_failures),
            dead_letters=dict(self._dead_letters),
        )
        self._begin_anew()
        return batch

    def _prune(self, cell: _Cell) -> None:
        before = self._samples[cell]
        self._samples[cell] = kept = nsmallest(
            self._keep, before, key=lambda sampled: (sampled.priority, sampled.prompt.position)
        )
        self.characters += sum(map(_characters, kept)) - sum(map(_characters, before))


def _characters(sampled: SampledPrompt) -> int:
    content = sampled.prompt.content
    text = len(content) if isinstance(content, str) else sum(len(turn.content) for turn in content)
    return text + len(sampled.prompt.response or "")
