"""Random streams by name: (seed, stream key, stage) gives the same draws wherever and whenever it is asked for."""

from __future__ import annotations

import hashlib

import numpy as np


def prompt_stream(seed: int, stream_key: str, stage: int = 0) -> np.random.Generator:
    """The random stream of one stage of one prompt."""
    digest = hashlib.blake2b(stream_key.encode("utf-8", "surrogatepass"), digest_size=16).digest()
    words = [int(word) for word in np.frombuffer(digest, dtype=np.uint32)]
    words += [stage] if stage else []
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, *words])))
