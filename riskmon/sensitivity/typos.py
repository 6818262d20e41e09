"""Typing slips: neighbours swapped, a neighbouring key hit, a letter dropped.

At most one slip a word, never in its first letter, and only in words of four letters or more, which readers still
recognise and among which there are few negations. Words are runs of letters that have case, so scripts where a single
character is a word are left alone; so is all that is protected.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from riskmon.sensitivity.protected import pieces

_LETTERS = re.compile(r"[^\W\d_]{4,}")
_TRIES = 200  # in a row without a new text, after which there is no further one
_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")


def _neighbours() -> dict[str, str]:
    """Key -> keys beside it and in the rows above and below, on a QWERTY keyboard."""
    places = {key: (row, column) for row, keys in enumerate(_ROWS) for column, key in enumerate(keys)}
    return {
        key: "".join(
            other
            for other, (r, c) in places.items()
            if other != key and abs(r - row) <= 1 and abs(c - column) <= 1
        )
        for key, (row, column) in places.items()
    }


_BESIDE = _neighbours()


def typo_rewordings(text: str, share: float, rng: np.random.Generator) -> Iterator[str]:
    """Texts with slips in them, each another one; as many as are asked for, while there are new ones.

    Args:
        share: of the text's letters that a slip hits; at least one.
    """
    words = _open_words(text)
    if not words:
        return
    letters = sum(end - start for start, end in words)
    slips = min(len(words), max(1, round(share * letters)))
    made = {text}
    misses = 0
    while misses < _TRIES:
        slipped = _slip(text, words, slips, rng)
        if slipped in made:
            misses += 1
            continue
        misses = 0
        made.add(slipped)
        yield slipped


def _open_words(text: str) -> list[tuple[int, int]]:
    """Start and end of the words that may get a slip."""
    found, offset = [], 0
    for piece in pieces(text):
        if piece.free:
            found += [
                (offset + word.start(), offset + word.end())
                for word in _LETTERS.finditer(piece.text)
                if all(letter.lower() != letter.upper() for letter in word[0])
            ]
        offset += len(piece.text)
    return found


def _slip(text: str, words: list[tuple[int, int]], slips: int, rng: np.random.Generator) -> str:
    chosen = sorted(rng.choice(len(words), size=slips, replace=False), reverse=True)
    for place in chosen:  # from the end, so that earlier places stay right
        start, end = words[place]
        text = text[:start] + _slipped(text[start:end], rng) + text[end:]
    return text


def _slipped(word: str, rng: np.random.Generator) -> str:
    """The word with one slip behind its first letter."""
    at = int(rng.integers(1, len(word)))
    slip = int(rng.integers(3))
    if slip == 0 and at + 1 < len(word):
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    beside = _BESIDE.get(word[at].lower())
    if slip == 1 and beside:
        key = beside[int(rng.integers(len(beside)))]
        return word[:at] + (key.upper() if word[at].isupper() else key) + word[at + 1 :]
    return word[:at] + word[at + 1 :]
