"""A turn at work that one process at a time does: two estimates of one store would draw the same prompts twice, two
desks would send every report twice.

It is a lease in the store, renewed every few seconds by a thread of its own. A process that dies leaves one that is
renewed no more: whoever wants the turn then sees it run out, or stand still for as long where the clocks disagree. A
process that finds its lease taken, after it was suspended for longer, has lost the turn and should end that work. Until
then both work, which costs time and breaks nothing: the store takes every result once.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta

from riskmon.errors import StoreUnavailable
from riskmon.jobs import Clock, Stop
from riskmon.store import Store
from riskmon.store.leases import Lease

DEVICE, DESK = "device", "desk"
"""Names of the leases: of the cycles and the sensitivity job, and of what is done with their results."""

LENGTH = timedelta(seconds=20)
"""A lease that is not renewed runs out after it."""

_RENEW_S = 4.0
_LOOK_S = 0.5
# A write that waits for a locked store is left behind: the daemon must end in seconds.
_LET_GO_WITHIN_S = 1.0


class Turn:
    """The turn at one kind of work, as one process has it or waits for it.

    Args:
        name: of the lease.
    """

    def __init__(self, store: Store, name: str, clock: Clock) -> None:
        self._store = store
        self._name = name
        self._clock = clock
        self._holder = ""

    @property
    def ours(self) -> bool:
        """Whether this process had the turn when the store last answered."""
        return self._holder == self._store.process

    @property
    def holder(self) -> str:
        """Which process had the turn when the store last answered; empty before."""
        return self._holder

    def take(self) -> Lease:
        """Take or renew the turn unless another process has it; gives the lease in force.

        Raises:
            StoreUnavailable: the store cannot be written.
        """
        return self._take(None)

    @contextmanager
    def held(self, stop: Stop) -> Iterator[str | None]:
        """While inside, this process has the turn; yields None, or the name of the process that has it instead.

        Waits until it is clear whether the process that had it lives: seconds where it does, `LENGTH` where it died.

        Args:
            stop: asked while waiting; a True ends the wait.

        Raises:
            StoreUnavailable: the store cannot be written.
        """
        other = self._wait(stop)
        if other is not None:
            yield other
            return
        ended = threading.Event()
        renewer = threading.Thread(
            target=self.keep, args=(ended.is_set, ended.wait), name=f"riskmon-turn-{self._name}", daemon=True
        )
        renewer.start()
        try:
            yield None
        finally:
            ended.set()
            renewer.join(_LET_GO_WITHIN_S)
            self.give_back()

    def keep(self, stop: Stop, wait: Callable[[float], object]) -> None:
        """Renew the turn, or try to get it, until told to stop.

        Args:
            wait: waits so many seconds, less where `stop` becomes true.
        """
        while not stop():
            with suppress(StoreUnavailable):  # then nobody can take it either
                self.take()
            wait(_RENEW_S)

    def give_back(self) -> None:
        """Let others have the turn; where the store does not answer at once it is left to run out by itself."""
        self._holder = ""
        releaser = threading.Thread(target=self._release, name=f"riskmon-turn-{self._name}", daemon=True)
        releaser.start()
        releaser.join(_LET_GO_WITHIN_S)

    def _wait(self, stop: Stop) -> str | None:
        seen, since = self.take(), time.monotonic()
        while not self.ours and not stop():
            time.sleep(_LOOK_S)
            stood_still = time.monotonic() - since > LENGTH.total_seconds()
            found = self._take(seen if stood_still else None)
            if not self.ours and found != seen:
                return found.holder  # it was renewed, so that process lives
        return None if self.ours else seen.holder

    def _take(self, unchanged: Lease | None) -> Lease:
        found = self._store.leases.take(self._name, self._clock(), LENGTH, unchanged=unchanged)
        self._holder = found.holder
        return found

    def _release(self) -> None:
        with suppress(StoreUnavailable):
            self._store.leases.release(self._name)
