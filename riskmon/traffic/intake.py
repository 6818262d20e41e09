"""From messages to one batch for the store: exact counts, a sample, rejections and where to resume.

`collect` reads for at most one flush interval or `MAX_MESSAGES`, counts every request per (window, stratum) and keeps
the candidates of each cell's sample; all other text is dropped at once, so memory is bounded by the sample and not by
the topic. A window is the request's own time, floored to the configured length since the epoch.

**Losing nothing.** What a batch holds is in no other batch and will not be read again. The store writes a batch and its
offsets in one transaction; when that fails, the caller tries the same `IntakeBatch` again, and an `OpenBatch` gathers
those that come meanwhile. After a crash, reading resumes at the stored offsets and the same prompts are chosen again.
The first batch is made without waiting, so that the offsets where reading begins reach the store at once: a crash
before the first message then cannot turn "from the latest" into a gap.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import chain
from time import monotonic

import numpy as np

from riskmon.config import TrafficConfig
from riskmon.errors import TrafficUnavailable
from riskmon.records import IntakeBatch, SampledPrompt, Stratum
from riskmon.records.ranges import Range
from riskmon.traffic.decode import Decoder
from riskmon.traffic.left_out import LeftOut
from riskmon.traffic.sampling import hash_key, priorities
from riskmon.traffic.source import RawBatch, Source
from riskmon.traffic.strata import StrataCap
from riskmon.traffic.tally import EPOCH, Rules, Scorer, Tally
from riskmon.traffic.thresholds import Thresholds

MAX_MESSAGES = 50_000
"""Messages of one batch, so that a backlog reaches the store in steps."""

POLL_MESSAGES = 5_000
"""Messages taken from the source at once."""


class Intake:
    """Turns a source into batches.

    Args:
        source: where messages come from; already started.
        config: fields, strata, window and sample size.
        known_strata: strata the store knows, the most deserving first.
        thresholds: per (window start, stratum) of which something was left out, the smallest priority that was.
        scorer: how large each prompt is, where they are sampled by risk; without one all are kept alike.
        left_out: messages that are not counted here; without it every message is.
        decoder: reads messages, where it is not the configured one.

    A batch that never reaches the store takes candidates with it that this object believes are kept: whoever drops one
    makes a new `Intake`.
    """

    def __init__(
        self,
        source: Source,
        config: TrafficConfig,
        known_strata: Iterable[Stratum] = (),
        thresholds: Mapping[tuple[datetime, Stratum], float] | None = None,
        scorer: Scorer | None = None,
        left_out: LeftOut | None = None,
        decoder: Decoder | None = None,
    ) -> None:
        self._left_out = left_out
        self._source = source
        decoder = decoder or Decoder(config)
        self._rules = Rules(
            config, decoder, StrataCap(decoder.labels, config.strata_limits, known_strata), scorer
        )
        self._scorer = scorer
        self._key = hash_key(config.sample_key.get_secret_value())
        self._flush_s = config.flush_interval.total_seconds()
        self._reported: dict[int, Range] = {}
        self._thresholds = Thresholds(self._rules, thresholds)
        self._tally: Tally | None = None
        self._consumed = 0

    def collect(self, now: datetime) -> IntakeBatch:
        """The next batch; empty, without offsets, when nothing happened.

        Returns early once the source has caught up with its marked end.

        Args:
            now: time of requests that carry none and that the broker does not date.

        Raises:
            TrafficUnavailable: the source cannot be reached and nothing was read. What was read before an outage is
                returned first; the outage then shows at the next call.
        """
        self._tally = self._new_tally(now)
        deadline = monotonic() + (self._flush_s if self._reported else 0.0)
        while self._consumed < MAX_MESSAGES:
            try:
                batches = self._source.poll(
                    min(POLL_MESSAGES, MAX_MESSAGES - self._consumed), max(0.0, deadline - monotonic())
                )
            except TrafficUnavailable:
                if not self._consumed:
                    raise
                break
            if self._left_out is not None:
                batches = [kept for batch in batches if (kept := self._left_out.keep(batch))]
            self._tally = self._tally or self._new_tally(now)
            self._consumed += self._count(batches, self._tally)
            if monotonic() >= deadline or self._source.caught_up():
                break
        return self.cut()

    def cut(self) -> IntakeBatch:
        """What was read since the last batch, as a batch of its own.

        For a source that must give up partitions while it polls; `collect` then goes on with the next batch.
        """
        tally, consumed = self._tally, self._consumed
        self._tally, self._consumed = None, 0
        first, following = self._offsets_to_report()
        letters = self._source.dead_letters
        return IntakeBatch(
            consumed=consumed,
            requests={
                (self._start(window), stratum): cell.requests
                for (window, stratum), cell in (tally.cells if tally else {}).items()
            },
            sample=self._settle(tally) if tally else [],
            rejected=dict(tally.rejected) if tally else {},
            scored=tally is not None and tally.scored,
            scorer_failures={} if self._scorer is None else self._scorer.take_failures(),
            next_offsets=following,
            first_offsets=first,
            passed_over={} if self._left_out is None else self._left_out.take(first, following),
            # Before the offsets are written, so that a crash forwards a message twice rather than never.
            dead_letters=letters.settle() if tally and tally.rejected and letters is not None else {},
        )

    def _new_tally(self, now: datetime) -> Tally:
        return Tally(self._rules, now, self._thresholds.of, self._source.dead_letters)

    def learn(self, kept: Iterable[Stratum]) -> None:
        """Keep these strata apart from here on, as the store does; between two batches.

        What was counted under another line is moved by the store.
        """
        self._rules.strata.learn(kept)

    def _count(self, batches: Sequence[RawBatch], tally: Tally) -> int:
        """Count what was polled; returns the number of messages."""
        sizes = [len(batch) for batch in batches]
        # All are hashed at once: a topic of many partitions comes in many small batches.
        partitions = np.repeat(np.array([batch.partition for batch in batches], np.int64), sizes)
        offsets = np.fromiter(chain.from_iterable(batch.offsets for batch in batches), np.int64, sum(sizes))
        hashes = priorities(self._key, self._source.topic, partitions, offsets).tolist()
        begin = 0
        for batch, size in zip(batches, sizes, strict=True):
            tally.count(batch, hashes[begin : begin + size])
            begin += size
        return begin

    def _settle(self, tally: Tally) -> list[SampledPrompt]:
        """The batch's candidates; later batches need only smaller priorities than these leave open."""
        candidates = []
        for key, cell in tally.cells.items():
            self._thresholds.take(key, [rank for rank, _ in cell.sample])
            for rank, (prompt, size) in cell.sample:
                candidates.append(SampledPrompt(prompt, self._start(key[0]), rank, size))
        self._thresholds.forget()
        return candidates

    def _start(self, window: int) -> datetime:
        return EPOCH + window * self._rules.window

    def _offsets_to_report(self) -> tuple[dict[tuple[str, int], int], dict[tuple[str, int], int]]:
        """Offsets that moved since the last batch: from where, and to where."""
        begun, offsets = self._source.begun_offsets(), self._source.next_offsets()
        first, following = {}, {}
        for partition, offset in offsets.items():
            reported = self._reported.get(partition)
            # A partition that was given up and taken up again begins anew, wherever it was left.
            begin = reported[1] if reported and reported[0] == begun[partition] else begun[partition]
            if reported is None or reported != (begun[partition], offset):
                first[self._source.topic, partition], following[self._source.topic, partition] = begin, offset
        self._reported = {partition: (begun[partition], offset) for partition, offset in offsets.items()}
        return first, following
