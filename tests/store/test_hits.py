"""Hits come back as they were, live as long as their prompt, and are kept by a rule that spares the uncovered ones."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields, replace
from datetime import timedelta

import numpy as np
import pytest
from sqlalchemy import create_engine, func, select
from support.store_records import CHAT, CODE, HOUR, NOON, batch, hit, sampled, success

from riskmon.records import Hit, Message, Prompt
from riskmon.store import Store, prompts
from riskmon.store.tables import hits

ALL = 1_000


def assert_same(found: Iterable[Hit], expected: Iterable[Hit]) -> None:
    """Equal field by field; unknown log-probs are equal to one another."""
    for one, other in zip(found, expected, strict=True):
        for field in fields(Hit):
            if field.name != "log_probs":
                assert getattr(one, field.name) == getattr(other, field.name)
        assert one.log_probs.dtype == np.float32
        assert np.array_equal(one.log_probs, other.log_probs, equal_nan=True)


def add_prompt(store: Store, offset: int, **kind: object) -> Prompt:
    """One more sampled prompt."""
    one = sampled(offset, (offset + 1) / 1_000, **kind)  # type: ignore[arg-type]
    store.write_intake(batch([one]), keep=100, now=NOON)
    return one.prompt


def write(store: Store, prompt: Prompt, *found: Hit, at: int = 0) -> None:
    """The prompt's result, `at` minutes past noon."""
    result = replace(success(prompt), hits=found)
    store.write_result(store.begin_cycle(NOON), result, NOON + timedelta(minutes=at))


def tokens_of(found: Iterable[Hit]) -> list[int]:
    return [one.tokens[0] for one in found]


def rows(url: str) -> int:
    engine = create_engine(url)
    with engine.connect() as connection:
        number: int = connection.execute(select(func.count()).select_from(hits)).scalar_one()
    engine.dispose()
    return number


def test_hits_come_back_bit_for_bit_with_their_prompt(store: Store) -> None:
    chat = sampled(0, 0.5, text="what?", response="this")
    turns = replace(sampled(1, 0.6).prompt, content=(Message("system", "be kind"), Message("user", "hi")))
    store.write_intake(batch([chat, replace(sampled(1, 0.6), prompt=turns)]), keep=9, now=NOON)
    one = hit(chat.prompt, 7, 3, 2**40, weight=5e-324, uncovered=True, voices=3)
    two = replace(hit(chat.prompt, 9), log_probs=np.array([[-np.inf], [-1e-30], [0.0]], dtype=np.float32))
    three = hit(turns, 1, 2, harm="insult")
    write(store, chat.prompt, one, at=1)
    write(store, turns, three, at=2)
    # A response is needed for the first result alone.
    one = replace(one, prompt=replace(chat.prompt, response=None))
    assert_same(store.hits(NOON, ALL), [three, one])
    other = add_prompt(store, 2)
    two = replace(two, prompt=other)
    write(store, other, two, at=3)
    assert_same(store.hits(NOON, ALL), [three, two, one])


def test_a_result_written_again_adds_no_hit(store: Store) -> None:
    prompt = add_prompt(store, 0)
    for _ in range(2):
        write(store, prompt, hit(prompt, 1), hit(prompt, 1))
    assert tokens_of(store.hits(NOON, ALL)) == [1, 1]  # two draws may well be the same answer


def test_log_probs_of_another_length_than_the_answer_leave_nothing(store: Store) -> None:
    prompt = add_prompt(store, 0)
    broken = replace(hit(prompt, 41, 42, 43), log_probs=np.zeros((2, 2), np.float32))
    with pytest.raises(ValueError, match=r"shape \(2, 2\); give one column per token") as caught:
        write(store, prompt, broken)
    assert "42" not in str(caught.value)
    assert store.weighted_estimates(NOON) == []
    assert [one.prompt for one in store.pending_prompts(NOON)] == [prompt]


def test_hits_are_limited_per_stratum_and_harm_and_given_newest_first(store: Store) -> None:
    for offset in range(6):
        prompt = add_prompt(store, offset, stratum=CODE if offset % 2 else CHAT)
        write(store, prompt, hit(prompt, offset), hit(prompt, 10 + offset, harm="insult"), at=offset)
    found = store.hits(NOON, 2)
    assert [(one.prompt.stratum, one.harm, one.tokens[0]) for one in found] == [
        (CHAT, "insult", 14),
        (CHAT, "insult", 12),
        (CHAT, "misuse", 4),
        (CHAT, "misuse", 2),
        (CODE, "insult", 15),
        (CODE, "insult", 13),
        (CODE, "misuse", 5),
        (CODE, "misuse", 3),
    ]
    assert store.hits(NOON, 0) == []


def test_hits_are_given_from_a_window_on(store: Store) -> None:
    old, new = add_prompt(store, 0), add_prompt(store, 1, window=NOON + HOUR)
    write(store, old, hit(old, 1), at=2)
    write(store, new, hit(new, 2), at=1)
    assert tokens_of(store.hits(NOON, ALL)) == [1, 2]
    assert tokens_of(store.hits(NOON + HOUR, ALL)) == [2]


def test_hits_are_counted_per_harm_from_a_window_on(store: Store) -> None:
    old, new = add_prompt(store, 0), add_prompt(store, 1, window=NOON + HOUR)
    write(store, old, hit(old, 1), hit(old, 2), hit(old, 3, harm="insult"))
    write(store, new, hit(new, 4))
    assert store.hit_counts(NOON) == {"misuse": 3, "insult": 1}
    assert store.hit_counts(NOON + HOUR) == {"misuse": 1}
    assert store.hit_counts(NOON + 2 * HOUR) == {}


def test_trimming_keeps_the_newest_and_no_covered_hit_displaces_an_uncovered_one(store: Store) -> None:
    uncovered = {0, 3}
    for offset in range(8):
        prompt = add_prompt(store, offset)
        write(store, prompt, hit(prompt, offset, uncovered=offset in uncovered), at=offset)
    other = add_prompt(store, 8, stratum=CODE)
    write(store, other, hit(other, 8), hit(other, 9, harm="insult"))
    assert store.trim_hits(4) == 4
    assert tokens_of(store.hits(NOON, ALL)) == [7, 6, 3, 0, 9, 8]
    assert tokens_of(store.hits(NOON, 3)) == [7, 3, 0, 9, 8]
    assert store.trim_hits(4) == 0
    assert store.trim_hits(1) == 3
    assert tokens_of(store.hits(NOON, ALL)) == [3, 9, 8]
    assert store.trim_hits(0) == 3
    assert store.hits(NOON, ALL) == []


def test_hits_go_with_their_prompt_purged_or_displaced(store: Store, store_url: str) -> None:
    old, new = add_prompt(store, 1), add_prompt(store, 2, window=NOON + HOUR)
    write(store, old, hit(old, 1), hit(old, 2))
    write(store, new, hit(new, 3))
    assert store.purge(NOON + HOUR) == 1
    assert tokens_of(store.hits(NOON, ALL)) == [3]
    assert rows(store_url) == 1
    closer = sampled(3, 0.0001, window=NOON + HOUR)
    store.write_intake(batch([closer]), keep=1, now=NOON)
    assert rows(store_url) == 0


def test_hits_of_a_prompt_displaced_meanwhile_are_dropped(store: Store, store_url: str) -> None:
    prompt = add_prompt(store, 1)
    store.write_intake(batch([sampled(3, 0.0001)]), keep=1, now=NOON)
    write(store, prompt, hit(prompt, 1))
    assert rows(store_url) == 0
    assert store.counters().estimated_prompts == 1


def test_more_prompts_with_hits_than_one_statement_takes(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prompts, "_CHUNK", 3)
    many = [add_prompt(store, offset) for offset in range(8)]
    for prompt in many[1:]:
        write(store, prompt, hit(prompt, 5), hit(prompt, 6))
    assert [one.prompt for one in store.hits(NOON, ALL)[::2]] == many[:0:-1]
