"""The second path: log-probs of whole answers, in one prefill behind their context.

Answers are taken longest first, in pieces of like length, so that little is padding; the pieces are small enough that
their logits [rows, tokens, vocabulary] stay below a fixed size, of which only each token's log-prob is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from riskmon.estimate.engines.local.copies import score_copies
from riskmon.estimate.engines.local.fixed.sizes import ROOM, round_up
from riskmon.estimate.engines.local.lanes import voice_logits
from riskmon.estimate.engines.local.prefix import Prefix
from riskmon.estimate.engines.local.shareable import can_share
from riskmon.estimate.engines.local.strands import score_behind
from riskmon.estimate.experts import Expert
from riskmon.estimate.memory import release_memory
from riskmon.estimate.meter import Meter
from riskmon.estimate.proposals import Voice
from riskmon.estimate.sampler import Sampler

# Logits of one piece in float32, per network.
_LOGIT_BYTES = 128 * 2**20


class Rescorer:
    """Scores given answers.

    Attributes:
        work: tokens pushed through any network so far, contexts apart.
    """

    def __init__(
        self,
        experts: Sequence[Expert],
        voices: Sequence[Voice],
        sampler: Sampler,
        vocab_size: int,
        batch_rows: int,
        meter: Meter,
        *,
        fixed: bool = False,
    ) -> None:
        """Take what answers are scored with.

        Args:
            batch_rows: most rows of a piece; 0 for no limit.
            meter: asked between pieces whether to rest.
            fixed: whether lengths are rounded up, so that a device sees few of them.
        """
        self._experts = experts
        self._voices = voices
        self._sampler = sampler
        self._tokens_at_once = max(1, _LOGIT_BYTES // (4 * vocab_size))
        self._batch_rows = batch_rows
        self._fixed = fixed
        self._meter = meter
        self.work = 0

    def score(
        self, context: Callable[[int], Prefix], tokens: Tensor, lengths: Tensor, voices: Sequence[int]
    ) -> Tensor:
        """Per-token log-probs under some voices.

        Args:
            context: the context as an expert reads it.
            tokens: [n, T] int64. lengths: [n] int64.
            voices: indices.

        Returns:
            [all voices, n, T] float64, 0 behind a row's end and for other voices.

        Raises:
            torch.OutOfMemoryError: a single row does not fit.
        """
        n, cap = tokens.shape
        scores = torch.zeros((len(self._voices), n, cap), dtype=torch.float64, device=tokens.device)
        order = torch.argsort(lengths, descending=True, stable=True)
        first = 0
        while first < n:
            self._meter.give_way()
            longest = self._rounded(int(lengths[order[first]]), cap)
            rows = order[first : first + self._rows_at_once(longest, n)]
            fits = True
            try:
                self._score_piece(context, tokens, rows, longest, voices, scores)
            except torch.OutOfMemoryError:
                if len(rows) == 1:
                    raise
                fits = False
            if fits:
                first += len(rows)
            else:  # the exception, and what it referred to, are gone by now
                release_memory()
                self._tokens_at_once = max(1, longest * (len(rows) // 2))
        behind = torch.arange(cap, device=tokens.device) >= lengths.unsqueeze(1)
        return scores.masked_fill_(behind, 0.0)

    def _rounded(self, longest: int, cap: int) -> int:
        return min(cap, round_up(longest, least=ROOM, parts=2)) if self._fixed else longest

    def _rows_at_once(self, longest: int, n: int) -> int:
        return min(max(1, self._tokens_at_once // longest), self._batch_rows or n)

    def _score_piece(
        self,
        context: Callable[[int], Prefix],
        tokens: Tensor,
        rows: Tensor,
        longest: int,
        voices: Sequence[int],
        scores: Tensor,
    ) -> None:
        piece = tokens[rows, :longest]
        networks = {0} | {self._voices[voice].expert for voice in voices}
        logits = {
            expert: self._prefill(expert, context(expert), piece)
            for expert in sorted(networks)
            if expert == 0 or not self._experts[expert].derived
        }
        for step in range(longest):
            at_step = {expert: rows_logits[:, step] for expert, rows_logits in logits.items()}
            for voice in voices:
                own = voice_logits(self._experts, self._voices[voice], at_step, piece[:, :step])
                scores[voice, rows, step] = self._sampler.token_log_probs(own, piece[:, step]).double()

    def _prefill(self, expert: int, context: Prefix, tokens: Tensor) -> Tensor:
        """Logits of every token of an answer under one network, [n, t, V]."""
        n, longest = tokens.shape
        logits = context.logits.expand(n, 1, -1)
        if longest == 1:
            return logits
        with self._experts[expert].active() as module:
            score = score_behind if can_share(module, tokens.device) else score_copies
            self.work += n * (longest - 1)
            rest = score(module, context, tokens[:, :-1])
        return torch.cat([logits, rest], dim=1)
