"""Which parts of a text no rewording may touch: code, URLs, addresses, and every word with a digit or a sign of code.

A text is cut into pieces that are free or protected and that join to the text again. Protected are fenced and inline
code, indented lines behind a blank one, and words (between white space) that hold a digit, a sign that prose does not
use, an inner dot (`example.org`), or a call (`main(`). A word such as `and/or` is protected too: too much is safer
than too little.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_CODE = re.compile(
    r"(?P<fence>```|~~~).*?(?:(?P=fence)|\Z)"
    r"|`[^`\n]+`"
    r"|(?:(?<=\n\n)|\A)(?:(?:[ ]{4}|\t)[^\n]*(?:\n|\Z))+",
    re.DOTALL,
)
_WORD = re.compile(r"\S+")
# Looked for inside one word, so that long unbroken ones cost no more than their length.
_SIGN = re.compile(r"[\d\\/_{}<>=\[\]|#$%&*^~@+]|\w\.\w|\w\(|::")
_KEPT = re.compile(r"[\d_]|://|www\.|\w@\w")
_CODE_STARTS = "`~ \t"
_AROUND = ".,;:!?\"'()“”‘’"


@dataclass(frozen=True, slots=True, repr=False)
class Piece:
    """A part of a text; `free` parts may be reworded."""

    text: str
    free: bool


def pieces(text: str) -> list[Piece]:
    """The text in pieces, free and protected in turn; their texts joined are the text."""
    found: list[Piece] = []
    for piece in _cut(text):
        if found and found[-1].free == piece.free:
            found[-1] = Piece(found[-1].text + piece.text, piece.free)
        elif piece.text:
            found.append(piece)
    return found


def must_keep(text: str) -> list[str]:
    """What a paraphrase must carry on, in order: code, and words with a digit, an underscore, or of a URL or address.

    Punctuation around them is left away. Other protected words, such as `and/or`, may be put in another way.
    """
    kept = [
        word.strip(_AROUND)
        for piece in _cut(text)
        if not piece.free and (_KEPT.search(piece.text) or piece.text[0] in _CODE_STARTS)
        for word in piece.text.split()
    ]
    return [word for word in kept if word]


def _cut(text: str) -> Iterator[Piece]:
    end = 0
    for block in _CODE.finditer(text):
        yield from _cut_prose(text[end : block.start()])
        yield Piece(block[0], free=False)
        end = block.end()
    yield from _cut_prose(text[end:])


def _cut_prose(text: str) -> Iterator[Piece]:
    end = 0
    for word in _WORD.finditer(text):
        if _SIGN.search(word[0]):
            yield Piece(text[end : word.start()], free=True)
            yield Piece(word[0], free=False)
            end = word.end()
    yield Piece(text[end:], free=True)
