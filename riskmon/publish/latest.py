"""The latest snapshot, read from the store at most once a second however often it is asked for.

A store that is down yields None, so that a scrape still answers with what the process itself knows. The change from
up to down, and back, is logged once.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from riskmon.errors import StoreUnavailable
from riskmon.records import Snapshot

MAX_AGE_S = 1.0

log = logging.getLogger(__name__)


class LatestSnapshot:
    """A caching reader of snapshots, safe to call from several threads.

    Args:
        read: reads a snapshot from the store; raises `StoreUnavailable` when it cannot.
        clock: seconds that only grow.
    """

    def __init__(self, read: Callable[[], Snapshot], clock: Callable[[], float] = time.monotonic) -> None:
        self._read = read
        self._clock = clock
        # One lock around the read: scrapes that arrive together wait for one query instead of making several.
        self._lock = threading.Lock()
        self._expires_at: float | None = None
        self._snapshot: Snapshot | None = None
        self._up = True

    def __call__(self) -> Snapshot | None:
        """The snapshot, at most `MAX_AGE_S` old; None while the store cannot be read."""
        with self._lock:
            if self._expires_at is None or self._clock() >= self._expires_at:
                self._snapshot = self._refresh()
                self._expires_at = self._clock() + MAX_AGE_S
            return self._snapshot

    def _refresh(self) -> Snapshot | None:
        try:
            snapshot = self._read()
        except StoreUnavailable as exc:
            if self._up:
                log.error("the store cannot be read, so forecasts are not published until it can: %s", exc)
            self._up = False
            return None
        if not self._up:
            log.info("the store can be read again")
        self._up = True
        return snapshot
