"""Excerpts: cut, masked, and without anything that hides or reorders text."""

import pytest

from riskmon.records import Message, Prompt
from riskmon.reporting.redact import excerpt, redact


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain words", "plain words"),
        ("call 0151 234567 now", "call #### ###### now"),
        ("٣٤ or ३४", "## or ##"),  # digits of other scripts
        ("write to jane.doe+x@mail.example.org!", "write to [e-mail]"),
        ("a\nb\t c\x00d\r\n", "a b c d"),
        ("up\u202edown\u2066in\u200bvisible", "up down in visible"),
        ("👩‍👩‍👧 stays", "👩‍👩‍👧 stays"),
        ("lone \ud800", "lone \ufffd"),
        ("", ""),
    ],
)
def test_what_is_shown(text, shown):
    assert redact(text, 100) == shown


def test_a_cut_is_shown_and_counts():
    assert redact("abcdefghij", 10) == "abcdefghij"
    assert redact("abcdefghijk", 10) == "abcdefghi…"
    assert len(redact("x" * 10_000, 40)) == 40


def test_an_address_that_the_cut_meets_does_not_show_its_beginning():
    assert "jane" not in redact("w " * 18 + "jane.doe@mail.example.org", 40)


def test_a_very_long_word_is_cut_before_it_is_searched():
    """Were the whole text searched for addresses, this would not end."""
    assert redact("x" * 3_000_000, 50) == "x" * 49 + "…"


def test_of_a_chat_the_users_last_words_are_shown():
    chat = (
        Message("system", "rules"),
        Message("user", "first"),
        Message("user", "second"),
        Message("assistant", "no"),
    )
    assert excerpt(Prompt("1", chat), 50) == "second"
    assert excerpt(Prompt("1", chat[:1]), 50) == "rules"
    assert excerpt(Prompt("1", "alone"), 50) == "alone"
    assert excerpt(Prompt("1", ()), 50) == ""
