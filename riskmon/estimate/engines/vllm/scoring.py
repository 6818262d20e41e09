"""Which answers a server is asked to score, and where their log-probs go.

A voice's log-probs are needed where any proposal lets it speak. Of the tokens that it drew itself they came with the
draw; all others are asked for, once per voice and different answer, up to the last token that is needed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from riskmon.records import BoolArray, FloatArray, IntArray


@dataclass(frozen=True, slots=True)
class Question:
    """An answer, or the beginning of one, to be scored under a voice."""

    voice: int
    answer: tuple[int, ...]


def questions_of(tokens: IntArray, wanted: BoolArray) -> dict[Question, list[int]]:
    """The questions whose answers hold all that is wanted, with the rows that each serves.

    Args:
        tokens: [n, T] int64. wanted: [voices, n, T] bool, within the answers.
    """
    found: dict[Question, list[int]] = defaultdict(list)
    reach = wanted.shape[2] - np.argmax(wanted[:, :, ::-1], axis=2)  # [voices, n], where anything is wanted
    for voice, row in zip(*np.nonzero(wanted.any(axis=2)), strict=True):
        answer = tuple(tokens[row, : reach[voice, row]].tolist())
        found[Question(int(voice), answer)].append(int(row))
    return found


def fill(scores: FloatArray, question: Question, rows: Sequence[int], log_probs: Sequence[float]) -> None:
    """Put an answer's log-probs into [voices, n, T], for every row that has it."""
    for row in rows:
        scores[question.voice, row, : len(log_probs)] = log_probs
