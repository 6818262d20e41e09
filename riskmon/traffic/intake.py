"""From messages to one batch for the store: exact counts, a sample, rejections and where to resume.

`collect` reads for at most one flush interval or `MAX_MESSAGES`, counts every request per (window, stratum) and keeps
the candidates of each cell's sample; all other text is dropped at once, so memory is bounded by the sample and not by
the topic. A window is the request's own time, floored to the configured length since the epoch.

**Losing nothing.** What a batch holds is in no other batch and will not be read again. The store writes a batch and its
`next_offsets` in one transaction; when that fails, the caller keeps the same `IntakeBatch` and tries again before it
collects the next. After a crash, reading resumes at the stored offsets and the same prompts are chosen again.
The first batch is made without waiting, so that the offsets where reading begins reach the store at once: a crash
before the first message then cannot turn "from the latest" into a gap.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic

from riskmon.config import TrafficConfig
from riskmon.errors import TrafficUnavailable
from riskmon.records import IntakeBatch, Prompt, SampledPrompt, Stratum
from riskmon.traffic.decode import Decoded, Decoder, Reason, Rejected
from riskmon.traffic.sampling import BottomK, hash_key, priority
from riskmon.traffic.source import RawMessage, Source
from riskmon.traffic.strata import StrataCap

MAX_MESSAGES = 50_000
"""Messages of one batch, so that a backlog reaches the store in steps."""

POLL_MESSAGES = 5_000
"""Messages taken from the source at once."""

MAX_CELLS = 2_000
"""Cells whose threshold is remembered. Forgetting one costs needless candidates, never a wrong sample."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_Cell = tuple[int, Stratum]


@dataclass(slots=True)
class _Tally:
    """One cell of the batch at hand."""

    requests: int
    sample: BottomK[Prompt]


class Intake:
    """Turns a source into batches.

    Args:
        source: where messages come from; already started.
        config: fields, strata, window and sample size.
        known_strata: strata the store knows, the most deserving first.
        thresholds: per (window start, stratum) whose stored sample holds `sample_per_window` prompts or more,
            the largest priority among its smallest `sample_per_window`.
        any_age: let requests of any time through, for reading what is past on purpose.
    """

    def __init__(
        self,
        source: Source,
        config: TrafficConfig,
        known_strata: Iterable[Stratum] = (),
        thresholds: Mapping[tuple[datetime, Stratum], float] | None = None,
        *,
        any_age: bool = False,
    ) -> None:
        self._source = source
        self._decoder = Decoder(config, any_age=any_age)
        self._strata = StrataCap(self._decoder.labels, config.max_strata, known_strata)
        self._window = config.window
        self._k = config.sample_per_window
        self._key = hash_key(config.sample_key.get_secret_value())
        self._flush_s = config.flush_interval.total_seconds()
        self._reported: dict[int, int] = {}
        self._kept: OrderedDict[_Cell, BottomK[None]] = OrderedDict()
        for (start, stratum), threshold in (thresholds or {}).items():
            self._kept[(start - _EPOCH) // self._window, stratum] = BottomK(self._k, below=threshold)

    def collect(self, now: datetime) -> IntakeBatch:
        """The next batch; empty, without offsets, when nothing happened.

        Returns early once the source has caught up with its marked end.

        Args:
            now: time of requests that carry none and that the broker does not date.

        Raises:
            TrafficUnavailable: the source cannot be reached and nothing was read. What was read before an outage is
                returned first; the outage then shows at the next call.
        """
        tallies: dict[_Cell, _Tally] = {}
        rejected: Counter[str] = Counter()
        consumed = 0
        dead_letters = self._source.dead_letters
        deadline = monotonic() + (self._flush_s if self._reported else 0.0)
        while consumed < MAX_MESSAGES:
            try:
                batches = self._source.poll(
                    min(POLL_MESSAGES, MAX_MESSAGES - consumed), max(0.0, deadline - monotonic())
                )
            except TrafficUnavailable:
                if not consumed:
                    raise
                break
            for batch in batches:
                for index, message in enumerate(batch):
                    reason = self._take(message, now, tallies)
                    if reason is not None:
                        rejected[reason] += 1
                        if dead_letters is not None:
                            dead_letters.forward(batch, index, reason)
                consumed += len(batch)
            if monotonic() >= deadline or self._source.caught_up():
                break
        return IntakeBatch(
            consumed=consumed,
            requests={
                (self._start(window), stratum): tally.requests for (window, stratum), tally in tallies.items()
            },
            sample=self._settle(tallies),
            rejected=dict(rejected),
            next_offsets=self._offsets_to_report(),
            # Before the offsets are written, so that a crash forwards a message twice rather than never.
            dead_letters=dead_letters.settle() if rejected and dead_letters is not None else {},
        )

    def _take(self, message: RawMessage, now: datetime, tallies: dict[_Cell, _Tally]) -> Reason | None:
        """Count a message, and sample it; or the reason why not."""
        request = self._decoder.decode(message, now)
        if isinstance(request, Rejected):
            return request.reason
        stratum = self._strata.admit(request.label_values)
        cell = ((request.requested_at - _EPOCH) // self._window, stratum)
        tally = tallies.get(cell)
        if tally is None:
            kept = self._kept.get(cell)
            below = 1.0 if kept is None else kept.threshold
            tally = tallies[cell] = _Tally(0, BottomK(self._k, below))
        tally.requests += 1
        self._sample(request, stratum, tally.sample)
        return None

    def _sample(self, request: Decoded, stratum: Stratum, sample: BottomK[Prompt]) -> None:
        position = request.position
        rank = priority(self._key, position.topic, position.partition, position.offset)
        # Asked here although `offer` asks too: most requests end at this line, before a Prompt is made of them.
        if rank < sample.threshold:
            sample.offer(rank, request.prompt(stratum))

    def _settle(self, tallies: dict[_Cell, _Tally]) -> list[SampledPrompt]:
        """The batch's candidates; later batches need only smaller priorities than these leave open."""
        candidates = []
        for cell, tally in tallies.items():
            kept = self._kept.setdefault(cell, BottomK(self._k))
            self._kept.move_to_end(cell)
            for rank, prompt in tally.sample:
                kept.offer(rank, None)
                candidates.append(SampledPrompt(prompt, self._start(cell[0]), rank))
        while len(self._kept) > MAX_CELLS:
            self._kept.popitem(last=False)
        return candidates

    def _start(self, window: int) -> datetime:
        return _EPOCH + window * self._window

    def _offsets_to_report(self) -> dict[tuple[str, int], int]:
        """Offsets that moved since the last batch."""
        offsets = self._source.next_offsets()
        moved = {
            (self._source.topic, partition): offset
            for partition, offset in offsets.items()
            if self._reported.get(partition) != offset
        }
        self._reported = offsets
        return moved
