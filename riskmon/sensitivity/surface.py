"""Rewordings of the surface: case and spacing, a few of each and always the same; protected parts stay as they are.

Scripts without case or without spaces have fewer of them: what comes out as the text itself is dropped by the caller.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from riskmon.sensitivity.protected import pieces

_BETWEEN_WORDS = re.compile(r"(?<=\S) (?=\S)")
_WORD_START = re.compile(r"(?<![\w'’])\w")
_FIRST_LETTER = re.compile(r"\w")
_SENTENCE_START = re.compile(r"[.!?…][\"'”’)]*\s+\w|\n\s*\w")
_CONTEXT = 8  # characters before a piece in which a sentence may have ended
_BETWEEN_SENTENCES = re.compile(r"(?<=[.!?]) (?=\S)")
_FINAL_SIGNS = ".!?…。！？"


def case_rewordings(text: str) -> Iterator[str]:
    """Lower case, upper case, title case, and sentence case."""
    yield _mapped(text, str.lower)
    yield _mapped(text, str.upper)
    yield _mapped(text, lambda free: _WORD_START.sub(lambda match: match[0].upper(), free))
    yield _sentence_case(text)


def spacing_rewordings(text: str) -> Iterator[str]:
    """Double spaces, no final punctuation, a newline or a space around, sentences on lines of their own."""
    yield _mapped(text, lambda free: _BETWEEN_WORDS.sub("  ", free))
    yield _without_final_signs(text)
    yield f"{text}\n"
    yield f" {text}"
    yield _mapped(text, lambda free: _BETWEEN_SENTENCES.sub("\n", free))
    yield f"{text}  "
    yield f"\n{text}"


def _mapped(text: str, change: Callable[[str], str]) -> str:
    return "".join(change(piece.text) if piece.free else piece.text for piece in pieces(text))


def _sentence_case(text: str) -> str:
    """Lower case but for the first letter of each sentence."""
    done = ""
    for piece in pieces(text):
        done += _sentences(piece.text, done) if piece.free else piece.text
    return done


def _sentences(free: str, before: str) -> str:
    """A free piece in sentence case, behind what comes before it."""
    lowered = free.lower()
    if not before.strip():
        lowered = _FIRST_LETTER.sub(lambda match: match[0].upper(), lowered, count=1)
    context = before[-_CONTEXT:]
    whole = context + lowered
    starts = (match.end() - 1 for match in _SENTENCE_START.finditer(whole))
    letters = list(whole)
    for place in starts:
        letters[place] = letters[place].upper()
    return "".join(letters[len(context) :])


def _without_final_signs(text: str) -> str:
    last = pieces(text)[-1:]
    if not last or not last[0].free:
        return text
    bare = text.rstrip()
    return bare.rstrip(_FINAL_SIGNS) + text[len(bare) :]
