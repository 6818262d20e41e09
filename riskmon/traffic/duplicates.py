"""Requests that arrive twice: a producer that tried again after an answer it did not see.

A message is known again by its bytes, which hold its id; a repeated id with other bytes is another request, so that
a session's id in the place of a request's cannot make traffic vanish. What a reader meets a second time at the same
offset is no duplicate: it went back to where the store stands.

Memory is bounded by two generations of 64-bit hashes. Once the newer holds `remember` messages it becomes the older,
and the older is forgotten; so the last `remember` are always known, and at most twice as many and two batches.
Python's hash of bytes is SipHash, keyed anew in every process: nobody can make up messages that collide, and by chance
two that differ have the same hash once in 2^64 / (2 x remember), one in 10^14 messages at 100,000.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence


class Duplicates:
    """Knows the last messages again.

    Args:
        remember: how many; 0 knows none.
    """

    def __init__(self, remember: int) -> None:
        self._remember = remember
        self._newer: dict[int, int] = {}
        self._older: dict[int, int] = {}

    def among(self, values: Sequence[bytes | None], offsets: Sequence[int]) -> Collection[int]:
        """Indices of a batch's messages that `repeats` holds for; the batch is remembered.

        Most batches are new as a whole, which is found out without a look at each message.
        """
        if not self._remember:
            return ()
        fingerprints = dict(zip(map(hash, values), offsets, strict=True))
        if (
            len(fingerprints) == len(values)
            and self._newer.keys().isdisjoint(fingerprints)
            and self._older.keys().isdisjoint(fingerprints)
        ):
            self._newer.update(fingerprints)
            self._age()
            return ()
        return {
            index
            for index, (value, offset) in enumerate(zip(values, offsets, strict=True))
            if self.repeats(value, offset)
        }

    def repeats(self, value: bytes | None, offset: int) -> bool:
        """Whether these bytes were met before, at another offset; they are remembered where they were not."""
        if not self._remember:
            return False
        fingerprint = hash(value)
        met = self._newer.get(fingerprint)
        if met is None:
            met = self._older.get(fingerprint)
        if met is not None:
            return met != offset
        self._newer[fingerprint] = offset
        self._age()
        return False

    def _age(self) -> None:
        if len(self._newer) >= self._remember:
            self._newer, self._older = {}, self._newer
