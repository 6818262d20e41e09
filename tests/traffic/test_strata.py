"""Labels, and the cap on how many strata there are."""

from __future__ import annotations

from typing import Any

import pytest

from riskmon.records import Stratum
from riskmon.traffic.strata import Labels, StrataCap, render_label

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
    cap = StrataCap(LABELS, max_strata=3, known=[stratum("search", "m1"), stratum("chat", "m1")])
    assert cap.admit(("chat", "m2")) == stratum("chat", "m2")
    assert cap.admit(("chat", "m3")) == stratum("other", "other")
    assert cap.admit(("search", "m1")) == stratum("search", "m1")
    assert cap.admit(("chat", "m2")) == stratum("chat", "m2")


def test_other_takes_no_place_and_foreign_labels_are_forgotten() -> None:
    renamed = Stratum((("tenant", "t"), ("model", "m1")))
    cap = StrataCap(LABELS, max_strata=1, known=[stratum("other", "other"), renamed])
    assert cap.admit(("chat", "m1")) == stratum("chat", "m1")


def test_without_labels_there_is_one_stratum() -> None:
    cap = StrataCap(Labels(()), max_strata=1)
    assert cap.admit(()) == Stratum()
