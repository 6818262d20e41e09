"""One continuous batch: rows of all jobs take a step together, and those that end make room for others.

At every step the lanes (`lanes.py`) give the networks' logits, each row's next token is drawn from the voice that
speaks there, and the same logits give its log-prob under every voice that a proposal of its job needs: log p(y) and
every log q_k(y) come from the very logits that were sampled from.

Rows wait in the order of their jobs. New ones are taken in when an eighth of the batch is free, so nobody waits for the
longest answer and openings come in groups. When the device runs out of memory the batch is halved: rows that had ended
are kept, those under way start again, and draw the same tokens, since their uniforms are fixed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import numpy as np
import torch

from riskmon.estimate.engines.local.lanes import Lanes
from riskmon.estimate.engines.local.sheet import Sheet, places
from riskmon.estimate.memory import release_memory
from riskmon.estimate.proposals import Voice
from riskmon.estimate.sampler import Sampler, draw_tokens
from riskmon.records import BoolArray, IntArray

log = logging.getLogger(__name__)

# Processed scores of one piece of a batch in float64, while its tokens are drawn.
_SCORE_BYTES = 256 * 2**20


class Batch:
    """Draws a sheet.

    Attributes:
        limit: most rows at a time; lower than at first where memory ran out.
        work: [jobs] int64, tokens pushed through any network for each.
    """

    def __init__(
        self,
        sheet: Sheet,
        voices: Sequence[Voice],
        sampler: Sampler,
        stops: torch.Tensor,
        lanes: Callable[[], Lanes],
        vocab_size: int,
        limit: int,
        give_way: Callable[[], None],
    ) -> None:
        """Begin with all rows waiting.

        Args:
            stops: token ids that end an answer.
            lanes: makes lanes without rows.
            vocab_size: width of the logits.
            limit: most rows at a time, at least 1.
            give_way: called before every step; may wait while others need the device.
        """
        self._sheet = sheet
        self._voices = tuple(voices)
        self._sampler = sampler
        self._stops = stops
        self._open_lanes = lanes
        self._lanes = lanes()
        self._vocab_size = vocab_size
        self.limit = limit
        self._give_way = give_way
        rows, self._cap = sheet.tokens.shape
        self._waiting = np.arange(rows)
        self._rows = np.zeros(0, dtype=np.int64)
        self._steps = np.zeros(0, dtype=np.int64)
        self._in_step = not self._lanes.shared
        self.work = np.zeros_like(self._lanes.work)

    def run(self) -> None:
        """Draw every row to its end.

        Raises:
            torch.OutOfMemoryError: a single row does not fit.
        """
        while len(self._waiting) or len(self._rows):
            self._give_way()
            self._admit()
            open_rows = self._try_step()
            if open_rows is None:
                self._halve()
                continue
            self._steps = self._steps[open_rows] + 1
            self._rows = self._rows[open_rows]
        self.work += self._lanes.work

    def _admit(self) -> None:
        free = self.limit - len(self._rows)
        if len(self._rows) and (self._in_step or 8 * free < self.limit):
            return
        taken = self._waiting[:free]
        if self._in_step:
            jobs = self._sheet.job_of[taken]
            taken = taken[jobs == jobs[0]]
        self._waiting = self._waiting[len(taken) :]
        self._rows = np.append(self._rows, taken)
        self._steps = np.append(self._steps, np.zeros(len(taken), dtype=np.int64))

    def _try_step(self) -> BoolArray | None:
        """Which rows stay open, [m] bool; None when memory ran out.

        Raises:
            torch.OutOfMemoryError: for a single row.
        """
        try:
            self._lanes.advance(self._rows, self._steps)
            return self._draw()
        except torch.OutOfMemoryError:
            # Nothing is given back here: the exception still refers to what the failed pass had made.
            if len(self._rows) == 1:
                raise
            return None

    def _halve(self) -> None:
        self.limit = max(1, len(self._rows) // 2)
        log.warning(
            "the device has no memory for %d rows; going on with %d at a time", len(self._rows), self.limit
        )
        self._sheet.start_again(self._rows)
        self._waiting = np.sort(np.append(self._rows, self._waiting))
        self._rows = self._steps = np.zeros(0, dtype=np.int64)
        self.work += self._lanes.work
        self._lanes.release()
        self._lanes = self._open_lanes()
        release_memory()

    def _draw(self) -> BoolArray:
        """Draw the next token of every row and score it under every voice; returns which rows stay open, [m] bool."""
        size = max(1, _SCORE_BYTES // (8 * self._vocab_size))
        pieces = [
            self._draw_piece(self._rows[first : first + size], self._steps[first : first + size])
            for first in range(0, len(self._rows), size)
        ]
        open_rows: BoolArray = np.concatenate(pieces)
        return open_rows

    def _draw_piece(self, rows: IntArray, steps: IntArray) -> BoolArray:
        sheet = self._sheet
        speaker = sheet.speaker[rows, steps]
        where, when = places(rows, sheet.tokens), places(steps, sheet.tokens)
        uniforms = sheet.uniforms[where, when]
        tokens = torch.zeros_like(where)
        for voice in np.unique(speaker):
            own = np.flatnonzero(speaker == voice)
            mine = places(own, tokens)
            logits = self._lanes.logits(self._voices[voice], rows[own], steps[own])
            tokens[mine] = draw_tokens(self._sampler.log_probs(logits), uniforms[mine])
        sheet.log_probs[:, where, when] = float("nan")
        needed = sheet.needed[sheet.job_of[rows], :, steps]  # [m, voices]
        for voice in np.flatnonzero(needed.any(axis=0)):
            own = np.flatnonzero(needed[:, voice])
            mine = places(own, tokens)
            logits = self._lanes.logits(self._voices[voice], rows[own], steps[own])
            scores = self._sampler.token_log_probs(logits, tokens[mine]).double()
            sheet.log_probs[voice, where[mine], when[mine]] = scores
        sheet.tokens[where, when] = tokens
        sheet.lengths[where] = when + 1
        sheet.ended[where] = torch.isin(tokens, self._stops)
        ended: BoolArray = sheet.ended[where].cpu().numpy()
        return ~ended & (steps + 1 < self._cap)
