"""Writing batches in a thread of their own, so that a slow store never stalls reading.

One batch is under way at a time. A store that cannot be written is tried again with the same batch until it takes it:
the store knows a batch that it has already, so a write whose outcome got lost is safe to repeat. The reader is told
when a batch was refused, since then what it read after that is of no use.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Generic, Self, TypeVar

from riskmon.errors import BatchRefused, StoreUnavailable
from riskmon.records import IntakeBatch, TrafficStatus

log = logging.getLogger(__name__)

RETRY_S = (1.0, 2.0, 4.0, 8.0, 15.0)
"""Pauses between attempts; the last one is repeated."""


Result = TypeVar("Result")


class BatchWriter(Generic[Result]):
    """A thread that writes; made and asked by one other thread.

    Args:
        write: adds a batch to the store.
        write_status: replaces the source's health in the store.
        retry: try again when the store cannot be written; without it the first failure is the caller's.
    """

    def __init__(
        self,
        write: Callable[[IntakeBatch], Result],
        write_status: Callable[[TrafficStatus], None],
        *,
        retry: bool = True,
    ) -> None:
        self._write = write
        self._write_status = write_status
        self._retry = retry
        self._changed = threading.Condition()
        self._closed = threading.Event()
        self._batch: IntakeBatch | None = None
        self._status: TrafficStatus | None = None
        self._written: list[tuple[IntakeBatch, Result]] = []
        self._fault: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="riskmon-intake-writer", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends the thread after the attempt under way; a batch that is not written by then is left to be read again."""
        self._closed.set()
        with self._changed:
            self._changed.notify_all()

    @property
    def idle(self) -> bool:
        """Whether the next batch may be handed over."""
        return self._batch is None

    def hand_over(self, batch: IntakeBatch) -> None:
        """Have a batch written; only while idle."""
        with self._changed:
            assert self._batch is None
            self._batch = batch
            self._changed.notify_all()

    def note(self, status: TrafficStatus) -> None:
        """Have the source's health written, instead of one that waits."""
        with self._changed:
            self._status = status
            self._changed.notify_all()

    def wait(self, timeout_s: float | None) -> bool:
        """Wait until all is written, or there is a fault or an end; returns whether that came in time."""
        with self._changed:
            return self._changed.wait_for(
                lambda: (
                    (self._batch is None and self._status is None)
                    or self._fault is not None
                    or self._closed.is_set()
                ),
                timeout_s,
            )

    def take_written(self) -> list[tuple[IntakeBatch, Result]]:
        """Batches that were written since the last call, each with what the store answered.

        Raises:
            BatchRefused: the store has other offsets than the batch went on from.
            StoreUnavailable: the store cannot be written, and nothing is tried again.
            Exception: a fault of ours.
        """
        with self._changed:
            if self._fault is not None:
                raise self._fault
            written, self._written = self._written, []
        return written

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(
                    lambda: self._batch is not None or self._status is not None or self._closed.is_set()
                )
                if self._closed.is_set():
                    return
                batch, status = self._batch, self._status
            try:
                answers = self._write_or_retry(batch) if batch is not None else []
            except Exception as exc:  # noqa: BLE001 - handed to the thread that reads, which knows what to do
                with self._changed:
                    self._fault = exc
                    self._changed.notify_all()
                return
            if status is not None:
                with suppress(
                    StoreUnavailable
                ):  # the next one follows; a batch says it if the store stays away
                    self._write_status(status)
            with self._changed:
                if batch is not None and answers:
                    self._batch = None
                    self._written += [(batch, answer) for answer in answers]
                if self._status is status:
                    self._status = None
                self._changed.notify_all()

    def _write_or_retry(self, batch: IntakeBatch) -> list[Result]:
        """What the store answered; nothing where the end came first."""
        failures = 0
        while not self._closed.is_set():
            try:
                answer = self._write(batch)
            except BatchRefused:
                raise
            except StoreUnavailable as exc:
                if not self._retry:
                    raise
                pause_s = RETRY_S[min(failures, len(RETRY_S) - 1)]
                failures += 1
                log.warning(
                    "%s; reading goes on, and the batch is tried again in %.0f s",
                    exc,
                    pause_s,
                    extra={"job": "intake", "retry_seconds": pause_s},
                )
                self._closed.wait(pause_s)
            else:
                if failures:
                    log.info("the store takes batches again: %d messages written", batch.consumed)
                return [answer]
        return []
