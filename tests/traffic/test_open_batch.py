"""Batches that wait for the store are gathered in one, with all that they say."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields, replace
from datetime import UTC, datetime

from riskmon.records import IntakeBatch, Position, Prompt, SampledPrompt, Stratum
from riskmon.traffic.open_batch import OpenBatch

NOON = datetime(2026, 11, 3, 12, tzinfo=UTC)
CHAT = Stratum((("route", "chat"),))
CELL, PART = (NOON, CHAT), ("prompts", 0)


def sampled(offset: int, priority: float) -> SampledPrompt:
    return SampledPrompt(
        Prompt(f"r{offset}", "text", CHAT, Position(*PART, offset)), NOON, priority, 2.0, 3.0
    )


FULL = IntakeBatch(
    consumed=7,
    requests={CELL: 5},
    sample=[sampled(1, 0.25)],
    rejected={"empty": 2},
    next_offsets={PART: 8},
    first_offsets={PART: 0},
    passed_over={PART: [(3, 4)]},
    variances={CELL: 1.5},
    scored=True,
    scorer_failures={"raised": 1},
    dead_letters={"sent": 2},
)


def test_whatever_a_batch_says_is_in_what_was_gathered() -> None:
    empty = IntakeBatch()
    assert all(getattr(FULL, field.name) != getattr(empty, field.name) for field in fields(IntakeBatch))
    gathered = OpenBatch(keep=4)
    gathered.add(FULL)
    assert gathered.close() == FULL
    assert gathered.empty
    assert gathered.close() == replace(empty, sample=[])


def test_a_second_batch_goes_on_where_the_first_one_ended() -> None:
    gathered = OpenBatch(keep=1)
    gathered.add(FULL)
    gathered.add(
        replace(
            FULL,
            sample=[sampled(9, 0.125), sampled(10, 0.5)],
            first_offsets={PART: 8},
            next_offsets={PART: 16},
            passed_over={},
            scored=False,
        )
    )
    both = gathered.close()
    assert (both.consumed, both.requests, both.variances) == (14, {CELL: 10}, {CELL: 3.0})
    assert (both.first_offsets, both.next_offsets) == ({PART: 0}, {PART: 16})
    assert [one.priority for one in both.sample] == [0.125, 0.25]
    assert both.rejected == Counter(empty=4)
    assert both.dead_letters == Counter(sent=4)
    assert both.scored
