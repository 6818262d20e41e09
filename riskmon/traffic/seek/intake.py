"""From a few ranges to one batch for the store: estimated counts, a sample with known chances, and where to resume.

Every `traffic.seek.every` the offsets that came since the last step are cut into segments and a range of each is read
(`design`). What was read is counted and sampled as in stream mode, segment by segment. Kinds of offsets, that is
cells, reasons of rejection and gaps, are expanded to all offsets of the step (`totals`); the batch says how far each
count may be off. It covers the step's offsets as a whole, so the store takes it in one transaction as it takes any
other.

A message of segment h stands for S_h / L offsets. Its chance of being kept grows with that: size = score S_h / L, so
that cells whose messages were read at different rates, by steps with much traffic and with little, are sampled
fairly.

**After a pause** (a start, an outage) what came meanwhile is read in as many steps as there would have been, each
over its share of every partition's offsets, so that the windows of the pause are told apart as those of any other
time. How long it was, the first message that was not counted says. With a day of minutes that is some minutes of
work.

Where ranges lie is drawn from a stream that is keyed by `traffic.sample_key`, the topic and the step's offsets. Who
sends messages cannot know it, and who reads the same step again reads the same.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from hashlib import blake2b

import numpy as np

from riskmon.config import TrafficConfig
from riskmon.errors import TrafficUnavailable
from riskmon.records import IntakeBatch, SampledPrompt, Stratum
from riskmon.records.arrays import IntArray
from riskmon.traffic.decode import Decoder
from riskmon.traffic.sampling import hash_key, priorities
from riskmon.traffic.seek.design import Design, Span, place_ranges
from riskmon.traffic.seek.source import RangeSource, SpansMoved
from riskmon.traffic.seek.totals import estimate_totals, round_fairly
from riskmon.traffic.source import RawBatch
from riskmon.traffic.strata import StrataCap
from riskmon.traffic.tally import EPOCH, Cell, Rules, Scorer, Tally
from riskmon.traffic.thresholds import Thresholds

ATTEMPTS = 3
"""At a step whose offsets vanish while they are read."""

MOST_STEPS = 1440
"""Over one pause, however long: those of a day at the default."""

Kind = Cell | str
"""A cell, or why a message was rejected."""


class SeekIntake:
    """Turns a source of ranges into batches.

    Args:
        source: where messages come from; already started.
        config: fields, strata, window, sample size, and how much is read.
        known_strata, thresholds, scorer: as in `Intake`.
    """

    def __init__(
        self,
        source: RangeSource,
        config: TrafficConfig,
        known_strata: Iterable[Stratum] = (),
        thresholds: Mapping[tuple[datetime, Stratum], float] | None = None,
        scorer: Scorer | None = None,
    ) -> None:
        self._source = source
        self._seek = config.seek
        decoder = Decoder(config)
        self._rules = Rules(
            config, decoder, StrataCap(decoder.labels, config.strata_limits, known_strata), scorer
        )
        self._key = hash_key(config.sample_key.get_secret_value())
        self._wait_s = config.flush_interval.total_seconds()
        self._next_step = -math.inf
        self._steps_left: int | None = None
        self._reported: dict[int, int] = {}
        self._begun: dict[int, int] | None = None
        self._thresholds = Thresholds(self._rules, thresholds)

    def collect(self, now: datetime) -> IntakeBatch:
        """The batch of a step, where one is due; otherwise waits a little and gives an empty one.

        The first step is made at once, and so are those over a pause.

        Args:
            now: time of requests that carry none and that the broker does not date.

        Raises:
            TrafficUnavailable: the source cannot be reached; the step is made anew at the next call.
        """
        if self._begun is None:
            self._begun = self._source.next_offsets()
        wait_s = self._next_step - time.monotonic()
        if wait_s > 0:
            time.sleep(min(wait_s, self._wait_s))
            return IntakeBatch()
        begun = time.monotonic()
        batch = self._step(now)
        if self._steps_left == 1:
            self._next_step = begun + self._seek.every.total_seconds()
        else:
            self._steps_left = (self._steps_left or 1) - 1
        return batch

    def cut(self) -> IntakeBatch:
        """See `Intake.cut`; a step is a batch, so nothing waits in between."""
        return IntakeBatch()

    def learn(self, kept: Iterable[Stratum]) -> None:
        """See `Intake.learn`."""
        self._rules.strata.learn(kept)

    def _step(self, now: datetime) -> IntakeBatch:
        spans, design, read, rng = self._read(now)
        tallies = self._count(design, read, now)
        self._source.pass_over(spans)
        return self._batch(spans, design, tallies, rng)

    def _read(self, now: datetime) -> tuple[list[Span], Design, list[list[RawBatch]], np.random.Generator]:
        for _ in range(ATTEMPTS):
            spans = self._source.spans()
            with suppress(SpansMoved):
                if self._steps_left is None:
                    self._steps_left = self._steps_behind(spans, now)
                spans = [span.first_part(self._steps_left) for span in spans]
                rng = self._chance(spans)
                design = place_ranges(spans, self._seek.ranges, self._seek.range_messages, rng)
                return spans, design, self._source.read([piece.span for piece in design.pieces]), rng
        raise TrafficUnavailable(
            f"topic {self._source.topic!r} drops its messages before they can be read; raise its retention"
        )

    def _steps_behind(self, spans: Sequence[Span], now: datetime) -> int:
        """Steps that would have been made since the first message that is new, at least 1."""
        of_a_step = self._seek.ranges * self._seek.range_messages
        most = math.ceil(sum(map(len, spans)) / of_a_step)
        if most <= 1:
            return 1
        firsts = [span.first_part(len(span)) for span in spans if len(span)]
        times = [
            milliseconds
            for batches in self._source.read(firsts)
            for batch in batches
            for milliseconds in batch.timestamps_ms
            if milliseconds >= 0
        ]
        pause_s = now.timestamp() - min(times, default=math.inf) / 1000
        return max(1, min(math.ceil(max(0.0, pause_s) / self._seek.every.total_seconds()), most, MOST_STEPS))

    def _chance(self, spans: Sequence[Span]) -> np.random.Generator:
        """The step's own stream of chance."""
        name = f"{self._source.topic}\0{sorted(spans)}".encode()
        seed = blake2b(name, digest_size=32, key=self._key, person=b"seek").digest()
        return np.random.default_rng(int.from_bytes(seed, "big"))

    def _count(self, design: Design, read: Sequence[Sequence[RawBatch]], now: datetime) -> list[Tally]:
        """One tally per segment."""
        tallies = [Tally(self._rules, now, self._thresholds.of) for _ in design.lengths]
        stands_for = design.stands_for
        for piece, batches in zip(design.pieces, read, strict=True):
            for batch in batches:
                hashes = priorities(self._key, self._source.topic, batch.partition, batch.offsets)
                # Divided here by what a message stands for, and by its score in the tally: by its size in all.
                tallies[piece.segment].count(batch, (hashes / stands_for[piece.segment]).tolist())
        return tallies

    def _batch(
        self, spans: Sequence[Span], design: Design, tallies: Sequence[Tally], rng: np.random.Generator
    ) -> IntakeBatch:
        kinds, counts = _count_kinds(design, tallies)
        totals, variances = estimate_totals(counts, design)
        whole, added = round_fairly(totals, rng)
        requests, rejected, uncertain = {}, {}, {}
        for kind, number, variance in zip(kinds, whole.tolist(), (variances + added).tolist(), strict=False):
            if isinstance(kind, str):
                rejected[kind] = number
                continue
            cell = (EPOCH + kind[0] * self._rules.window, kind[1])
            requests[cell] = number
            if variance > 0:
                uncertain[cell] = variance
        moved, first = self._offsets_to_report(spans)
        return IntakeBatch(
            consumed=sum(requests.values()) + sum(rejected.values()),
            requests=requests,
            sample=self._settle(tallies, design.stands_for.tolist()),
            rejected=rejected,
            next_offsets=moved,
            first_offsets=first,
            variances=uncertain,
            scored=any(tally.scored for tally in tallies),
            scorer_failures={} if self._rules.scorer is None else self._rules.scorer.take_failures(),
        )

    def _settle(self, tallies: Sequence[Tally], stands_for: Sequence[float]) -> list[SampledPrompt]:
        """The step's candidates; later ones need only smaller priorities than these leave open."""
        candidates: list[tuple[Cell, SampledPrompt]] = []
        for tally, each in zip(tallies, stands_for, strict=True):
            for key, cell in tally.cells.items():
                start = EPOCH + key[0] * self._rules.window
                self._thresholds.take(key, [rank for rank, _ in cell.sample])
                for rank, (prompt, score) in cell.sample:
                    candidates.append((key, SampledPrompt(prompt, start, rank, score * each, each)))
        sample = [one for key, one in candidates if one.priority <= self._thresholds.of(key)]
        self._thresholds.forget()
        return sample

    def _offsets_to_report(
        self, spans: Sequence[Span]
    ) -> tuple[dict[tuple[str, int], int], dict[tuple[str, int], int]]:
        """Offsets that moved since the last batch, and from where; what was lost in between is passed over too."""
        topic, offsets = self._source.topic, self._source.next_offsets()
        moved = {p: offset for p, offset in offsets.items() if self._reported.get(p) != offset}
        begun = {span.partition: span.begin for span in spans} | (self._begun or {})
        first = {(topic, p): begun[p] for p in moved}
        self._reported = self._begun = offsets
        return {(topic, p): offset for p, offset in moved.items()}, first


def _count_kinds(design: Design, tallies: Sequence[Tally]) -> tuple[list[Kind], IntArray]:
    """The kinds met, and [C + 1, H] offsets of each read in each segment; the last row holds the gaps."""
    met: dict[Kind, int] = {}
    entries: list[tuple[int, int, int]] = []
    for segment, tally in enumerate(tallies):
        of_kinds: dict[Kind, int] = {key: cell.requests for key, cell in tally.cells.items()}
        for kind, number in (of_kinds | tally.rejected).items():
            entries.append((met.setdefault(kind, len(met)), segment, number))
    counts = np.zeros((len(met) + 1, len(tallies)), dtype=np.int64)
    for row, segment, number in entries:
        counts[row, segment] = number
    counts[-1] = design.taken - counts.sum(axis=0)
    return list(met), counts
