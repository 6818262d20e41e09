"""An intake that runs in a process of its own, so that a test may kill it or let two of them compete."""

from __future__ import annotations

from datetime import timedelta
from itertools import count

from support.store_keys import store_at
from support.store_records import CHAT, CODE, NOON, sampled

from riskmon.records import IntakeBatch
from riskmon.store import open_store

KEEP = 20
PER_BATCH = 10


def priority(partition: int, offset: int) -> float:
    """Spread over (0, 1) and distinct: multiples of the golden ratio, a partition's shifted by its number."""
    return ((offset * 2 + partition) * 0.6180339887498949) % 1


def next_batch(partition: int, start: int) -> IntakeBatch:
    """Ten messages: six of chat, three of code, one rejected; the first nine are candidates."""
    window = NOON + timedelta(hours=start // 1000)
    candidates = tuple(
        sampled(
            start + i,
            priority(partition, start + i),
            partition=partition,
            window=window,
            stratum=CHAT if i < 6 else CODE,
        )
        for i in range(9)
    )
    return IntakeBatch(
        consumed=PER_BATCH,
        requests={(window, CHAT): 6, (window, CODE): 3},
        sample=candidates,
        rejected={"not_json": 1},
        next_offsets={("prompts", partition): start + PER_BATCH},
    )


def write_batches(url: str, partition: int, batches: int | None) -> None:
    """Writes batches from where the store says, `batches` of them or forever."""
    with open_store(store_at(url)) as store:
        start = store.next_offsets("prompts").get(partition, 0)
        for number in count():
            if number == batches:
                return
            store.write_intake(next_batch(partition, start), keep=KEEP, now=NOON)
            start += PER_BATCH
