"""Labels, and the cap on how many strata there are."""

from __future__ import annotations

import random
from typing import Any

import pytest

from riskmon.records import Stratum
from riskmon.records.strata import StrataLimits, StrataLine
from riskmon.traffic.strata import Labels, StrataCap, render_label


def limits(strata: int, values: int = 1000) -> StrataLimits:
    return StrataLimits(strata, values)


LABELS = Labels(("attributes.route", "model"))


def stratum(route: str, model: str) -> Stratum:
    return Stratum((("route", route), ("model", model)))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("chat", "chat"),
        (7, "7"),
        (0.5, "0.5"),
        (True, "true"),
        (False, "false"),
        ("", "unknown"),
        (None, "unknown"),
        (["chat"], "unknown"),
        ({"a": 1}, "unknown"),
        ("x" * 65, "x" * 64),
        ("a\0b", "a\ufffdb"),
    ],
)
def test_rendering(value: Any, text: str) -> None:
    assert render_label(value) == text


def test_values_follow_the_configured_order() -> None:
    assert LABELS.names == ("route", "model")
    assert LABELS.values({"model": "m", "attributes": {"route": "r"}}) == ("r", "m")


def test_the_cap_keeps_the_first_and_sends_the_rest_to_other() -> None:
    cap = StrataCap(LABELS, limits(3), known=[stratum("search", "m1"), stratum("chat", "m1")])
    assert cap.admit(("chat", "m2")) == stratum("chat", "m2")
    assert cap.admit(("chat", "m3")) == stratum("other", "other")
    assert cap.admit(("search", "m1")) == stratum("search", "m1")
    assert cap.admit(("chat", "m2")) == stratum("chat", "m2")


def test_other_takes_no_place_and_foreign_labels_are_forgotten() -> None:
    renamed = Stratum((("tenant", "t"), ("model", "m1")))
    cap = StrataCap(LABELS, limits(1), known=[stratum("other", "other"), renamed])
    assert cap.admit(("chat", "m1")) == stratum("chat", "m1")


def test_without_labels_there_is_one_stratum() -> None:
    cap = StrataCap(Labels(()), limits(1))
    assert cap.admit(()) == Stratum()


def test_a_value_beyond_the_limit_is_other_for_its_label_alone() -> None:
    cap = StrataCap(LABELS, limits(50, values=2), known=[stratum("search", "m1"), stratum("chat", "m1")])
    assert cap.admit(("tenant-7", "m1")) == stratum("other", "m1")
    assert cap.admit(("tenant-8", "m2")) == stratum("other", "m2")
    assert cap.admit(("tenant-9", "m3")) == stratum("other", "other")
    assert cap.admit(("chat", "m2")) == stratum("chat", "m2")
    assert cap.admit(("search", "m3")) == stratum("search", "other")


def test_a_combination_that_got_no_place_uses_up_no_value() -> None:
    cap = StrataCap(LABELS, limits(2, values=2), known=[stratum("search", "m1"), stratum("chat", "m1")])
    assert cap.admit(("search", "m2")) == stratum("other", "other")
    line = StrataLine(
        ("route", "model"), limits(3, values=2), [stratum("search", "m1"), stratum("chat", "m1")]
    )
    assert line.admit(("search", "m2")) == stratum("search", "m2")


def test_the_same_list_draws_the_same_line_whatever_was_turned_away() -> None:
    rng = random.Random(3)
    cap = StrataCap(LABELS, limits(12, values=4))
    seen = [(rng.choice("abcdefgh"), rng.choice("uvwxyz")) for _ in range(500)]
    kept = list(dict.fromkeys(cap.admit(values) for values in seen))
    again = StrataCap(LABELS, limits(12, values=4), kept)
    assert [again.admit(values) for values in seen] == [cap.admit(values) for values in seen]
    assert len(set(kept) - {stratum("other", "other")}) == 12
    for label in (0, 1):
        assert len({one.labels[label][1] for one in kept} - {"other"}) <= 4


def test_what_the_store_keeps_replaces_what_this_process_took_for_kept() -> None:
    cap = StrataCap(LABELS, limits(1))
    assert cap.admit(("mine", "m")) == stratum("mine", "m")
    cap.learn([stratum("theirs", "m")])
    assert cap.admit(("mine", "m")) == stratum("other", "other")
    assert cap.admit(("theirs", "m")) == stratum("theirs", "m")
