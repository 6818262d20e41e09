"""A sample of each cell with known inclusion probabilities: the k requests of smallest priority.

Every request gets u, a keyed hash of its position, which to anyone without the key is uniform in (0, 1) and
independent of what was asked. Its priority is u / s, with s > 0 its size, and a cell (window and stratum) keeps the k
smallest. Where all sizes are alike and a cell holds N requests, this is a simple random sample of min(k, N) without
replacement, and each kept one stands for max(1, N / k). Otherwise let tau be the smallest priority that was left out:
a kept request was included with probability min(1, s tau), and standing for the inverse it makes every sum over the
cell unbiased, whatever the sizes are, as long as they do not depend on u (Duffield, Lund & Thorup 2007, "Priority
sampling for estimation of arbitrary subset sums", J. ACM 54(6)).

So tau must be known, and the k + 1 smallest are offered to the store: the last of them is tau, and is not kept there.

**A scorer is seldom asked.** Sizes are at most S, so a priority is at least u / S, and a request with u / S not below
the threshold cannot enter, whatever its score would be. Only the others are scored: about k S / (mean size) of a
cell, times one and the logarithm of how many times that it holds. The sample is the same as if all had been scored.

The sample does not depend on order or on how the stream is cut: offering two samples of disjoint streams to a third
gives the sample of both. A replay of the same positions chooses the same requests, so at-least-once delivery does
no harm.

The hash is AES-128 of the block (partition, offset) under a key made of secret and topic: a pseudo-random function that
is encrypted for a whole batch in one call, where a hash per message cost more than counting it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from hashlib import blake2b
from heapq import heappush, heapreplace
from itertools import count
from typing import Generic, TypeVar

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB
from numpy.typing import ArrayLike, NDArray

Item = TypeVar("Item")

_SCALE = 2.0**-53
_LONGEST_KEY = blake2b.MAX_KEY_SIZE
_AES_KEY_BYTES = 16


def hash_key(secret: str) -> bytes:
    """Key of the hash, made of a secret of any length."""
    key = secret.encode()
    return key if len(key) <= _LONGEST_KEY else blake2b(key).digest()


def priorities(key: bytes, topic: str, partitions: ArrayLike, offsets: ArrayLike) -> NDArray[np.float64]:
    """Keyed hash of each position, uniform over the odd multiples of 2^-53: never 0 and never 1.

    Args:
        key: of `hash_key`.
        topic: of all positions.
        partitions, offsets: of each position, [n]; either may be one number for all.
    """
    topic_key = blake2b(topic.encode(), digest_size=_AES_KEY_BYTES, key=key).digest()
    return aes_ranks(topic_key, *np.broadcast_arrays(np.asarray(partitions), np.asarray(offsets)))


def aes_ranks(key: bytes, high: NDArray[np.integer], low: NDArray[np.integer]) -> NDArray[np.float64]:
    """AES-128 of the blocks (high, low), [n] each, as a number in (0, 1) made of the first 52 bits."""
    blocks = np.stack([high, low], axis=-1).astype(">u8")  # [n, 2]
    # The blocks all differ and are never decrypted, so a mode that hides equal blocks would add nothing.
    hashed = Cipher(AES(key), ECB()).encryptor().update(blocks.tobytes())
    words = np.frombuffer(hashed, dtype=">u8")[::2].astype(np.uint64)
    return ((words >> np.uint64(11)) | np.uint64(1)).astype(np.float64) * _SCALE


def priority(key: bytes, topic: str, partition: int, offset: int) -> float:
    """`priorities` of one position."""
    return float(priorities(key, topic, [partition], [offset])[0])


class BottomK(Generic[Item]):
    """The k items of smallest priority among all offered.

    Args:
        k: items kept.
        below: only smaller priorities can matter, known from elsewhere; infinite where nothing is known.

    Attributes:
        threshold: an item whose priority is not smaller than this would not be kept.
    """

    __slots__ = ("_heap", "_k", "_order", "threshold")

    def __init__(self, k: int, below: float = math.inf) -> None:
        self.threshold = below
        self._k = k
        self._heap: list[tuple[float, int, Item]] = []
        self._order = count()

    def offer(self, priority: float, item: Item) -> None:
        """Keep the item if it belongs to the sample so far."""
        if priority >= self.threshold:
            return
        # heapq keeps the smallest at the root; negated, that is the item to give way. The running number settles
        # ties, which a message read twice produces, without comparing items.
        entry = (-priority, next(self._order), item)
        if len(self._heap) < self._k:
            heappush(self._heap, entry)
        else:
            heapreplace(self._heap, entry)
        if len(self._heap) == self._k:
            self.threshold = min(self.threshold, -self._heap[0][0])

    def __len__(self) -> int:
        return len(self._heap)

    def __iter__(self) -> Iterator[tuple[float, Item]]:
        """(priority, item), smallest first."""
        return iter(
            [(-negated, item) for negated, _, item in sorted(self._heap, key=lambda e: (-e[0], e[1]))]
        )
