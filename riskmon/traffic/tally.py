"""Counting one batch: requests per cell, candidates of each cell's sample, rejections per reason.

A cell is a counting window and a stratum. Most messages take the short way: a glance tells time and labels, the cell is
known, the priority is above what its sample still takes, so one is added to a count. The others are decoded in full:
what is not plain, the first of a cell, what may be sampled, and what may have come before.

**Scores.** A request's priority is u / size, u its keyed hash and size its score, 1 where there is no scorer. A scorer
says how large a size may be; u not below threshold x largest then rules a request out before anybody has scored it. The
product is rounded up, so that whatever it rules out would have been refused with its size known, to the last bit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from math import inf, nextafter
from typing import Protocol

from riskmon.config import TrafficConfig
from riskmon.records import Prompt, Stratum
from riskmon.traffic.decode import Decoded, Decoder, Rejected
from riskmon.traffic.glance import Glance, RawLabels, compile_glance
from riskmon.traffic.sampling import BottomK
from riskmon.traffic.source import DeadLetters, RawBatch, broker_time
from riskmon.traffic.strata import StrataCap

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

MAX_REMEMBERED_LABELS = 10_000
"""Label values of one window that are led to their cell at a glance; the cap of strata may make one cell of many."""

Cell = tuple[int, Stratum]
"""A window, counted from the epoch, and a stratum."""


class Scorer(Protocol):
    """How large prompts are, so how likely to be kept; it may change between two batches. See `riskmon.scoring`."""

    @property
    def largest(self) -> float:
        """No size exceeds it."""
        ...

    @property
    def active(self) -> bool:
        """Whether sizes tell of risk, and are not all 1."""
        ...

    def size(self, prompt: Prompt) -> float:
        """Above 0 and at most `largest`; never raises."""
        ...

    def renew(self) -> None:
        """Take over what is newest; asked before a batch, and quick."""
        ...

    def take_failures(self) -> Mapping[str, int]:
        """Prompts without a usable score since the last call, per reason."""
        ...


@dataclass(slots=True)
class CellTally:
    """One cell of the batch at hand.

    Attributes:
        requests: counted so far.
        limit: a request whose keyed hash is not below this cannot belong to the sample.
        sample: candidates and their sizes.
    """

    requests: int
    limit: float
    sample: BottomK[tuple[Prompt, float]]


@dataclass(slots=True)
class _Window:
    """A window of the batch at hand, as far as its times are accepted, and the cell of each label values met in it."""

    begin: datetime
    end: datetime
    cells: dict[RawLabels, CellTally] = field(default_factory=dict)


_NO_WINDOW = _Window(EPOCH, EPOCH)


class Rules:
    """How the messages of one intake are read, divided and sampled.

    Args:
        config: fields, strata, window and sample size.
        decoder: reads what a glance does not settle.
        strata: keeps the number of strata bounded.
        scorer: how large each prompt is; None keeps all requests alike.

    Attributes:
        k: candidates of a cell: one more than is kept, which tells the store the smallest priority left out.
    """

    def __init__(
        self, config: TrafficConfig, decoder: Decoder, strata: StrataCap, scorer: Scorer | None
    ) -> None:
        self.decoder = decoder
        self.strata = strata
        self.glance: Glance = compile_glance(config)
        self.window: timedelta = config.window
        self.k = config.sample_per_window + 1
        self.scorer = scorer

    def window_of(self, moment: datetime) -> int:
        """The window that a moment falls into, counted from the epoch."""
        return (moment - EPOCH) // self.window


class Tally:
    """Counts and candidates of one batch.

    Args:
        rules: what the batches of one intake have in common.
        now: time of requests that carry none and that the broker does not date.
        threshold_of: priority below which a cell's earlier batches still take candidates.
        dead_letters: where rejected messages go; None where they are only counted.

    Attributes:
        cells: the cells met.
        rejected: messages that are no requests, per reason.
        scored: whether sizes tell of risk.
    """

    def __init__(
        self,
        rules: Rules,
        now: datetime,
        threshold_of: Callable[[Cell], float],
        dead_letters: DeadLetters | None = None,
    ) -> None:
        self.cells: dict[Cell, CellTally] = {}
        self.rejected: Counter[str] = Counter()
        self._rules = rules
        self._now = now
        self._threshold_of = threshold_of
        self._dead_letters = dead_letters
        self._accepted = rules.decoder.accepted_times(now)
        self._windows: dict[int, _Window] = {}
        self._scorer = rules.scorer
        if self._scorer is not None:
            self._scorer.renew()
        self.scored = self._scorer is not None and self._scorer.active
        self._largest = 1.0 if self._scorer is None else self._scorer.largest

    def count(self, batch: RawBatch, hashes: Sequence[float]) -> None:
        """Count the messages of a batch; `hashes` are the keyed hashes of their positions."""
        glance, window = self._rules.glance, _NO_WINDOW
        begin, end, cells = window.begin, window.end, window.cells
        again = self._rules.decoder.duplicates.among(batch.values, batch.offsets)
        for index, value, keyed_hash in zip(range(len(batch)), batch.values, hashes, strict=True):
            glanced = glance(value) if index not in again else None
            if glanced is not None:
                moment, labels = glanced
                if moment is None:
                    moment = broker_time(batch.timestamps_ms[index]) or self._now
                try:
                    if begin <= moment < end:
                        cell = cells.get(labels)
                    else:
                        window = self._windows.get(self._rules.window_of(moment), _NO_WINDOW)
                        begin, end, cells = window.begin, window.end, window.cells
                        cell = cells.get(labels) if begin <= moment < end else None
                except TypeError:  # a time without an offset, or a label that is a list or an object
                    cell = None
                if cell is not None and keyed_hash >= cell.limit:
                    cell.requests += 1
                    continue
            self._decode(batch, index, keyed_hash, glanced)

    def _decode(
        self,
        batch: RawBatch,
        index: int,
        keyed_hash: float,
        glanced: tuple[datetime | None, RawLabels] | None,
    ) -> None:
        """The long way; what was seen at a glance leads the next message of these labels to the cell."""
        request = self._rules.decoder.decode(batch.message(index), self._now)
        if isinstance(request, Rejected):
            self.rejected[request.reason] += 1
            if self._dead_letters is not None:
                self._dead_letters.forward(batch, index, request.reason)
            return
        number = self._rules.window_of(request.requested_at)
        stratum = self._rules.strata.admit(request.label_values)
        cell = self._cell((number, stratum))
        cell.requests += 1
        self._sample(request, stratum, keyed_hash, cell)
        if glanced is not None:
            self._remember(number, glanced[1], cell)

    def _cell(self, key: Cell) -> CellTally:
        cell = self.cells.get(key)
        if cell is None:
            sample = BottomK[tuple[Prompt, float]](self._rules.k, self._threshold_of(key))
            cell = self.cells[key] = CellTally(0, self._limit(sample.threshold), sample)
        return cell

    def _sample(self, request: Decoded, stratum: Stratum, keyed_hash: float, cell: CellTally) -> None:
        if keyed_hash < cell.limit:
            prompt = request.prompt(stratum)
            size = 1.0 if self._scorer is None else self._scorer.size(prompt)
            cell.sample.offer(keyed_hash / size, (prompt, size))
            cell.limit = self._limit(cell.sample.threshold)

    def _limit(self, threshold: float) -> float:
        """The keyed hash from which on a request is refused, however large it is."""
        return nextafter(threshold * self._largest, inf)

    def _remember(self, number: int, labels: RawLabels, cell: CellTally) -> None:
        window = self._windows.get(number)
        if window is None:
            start = EPOCH + number * self._rules.window
            # What lies outside the times accepted is the decoder's to refuse.
            begin, end = max(start, self._accepted[0]), min(start + self._rules.window, self._accepted[1])
            window = self._windows[number] = _Window(begin, end)
        # Other values than text and null may equal one another though they are rendered differently: 1, 1.0, true.
        if len(window.cells) < MAX_REMEMBERED_LABELS and all(
            label is None or type(label) is str for label in labels
        ):
            window.cells[labels] = cell
