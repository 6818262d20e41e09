"""The local engine: draws sequences from proposals and scores them under every voice that the proposals need.

All draws of a prompt decode in step (`lanes.py`). At every step each row's next token is drawn from the voice that
speaks there, and the same logits give its log-prob under all other voices: log p(y) and every log q_k(y) come from
the very logits that were sampled from, and nothing has to be scored a second time. A row leaves the batch when it
draws a stop token.

A few rows are nevertheless run through a second path, one prefill of the whole answer, to check that decoding and
rescoring agree; kept harmful answers are scored the same way under voices that were not needed when they were drawn.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from riskmon.errors import NumericalFault
from riskmon.estimate.experts import Expert
from riskmon.estimate.lanes import Lanes, voice_logits
from riskmon.estimate.model import LanguageModel
from riskmon.estimate.prefix import Prefix, extend, open_prefix
from riskmon.estimate.proposals import Proposal, Voice, log_densities
from riskmon.estimate.sampler import Sampler, draw_tokens
from riskmon.records import Draws, FloatArray, IntArray, Prompt

# Logits of one rescoring chunk in float32, per network.
_LOGIT_BYTES = 128 * 2**20
# One row in so many is rescored for the path check.
_CHECK_EVERY = 64


class _Sheet:
    """The draw in the making: n rows of at most T tokens."""

    def __init__(self, voices: int, rows: int, cap: int, device: torch.device) -> None:
        self.tokens = torch.zeros((rows, cap), dtype=torch.int64, device=device)
        # Behind a sequence's end 0; NaN where a voice was not needed.
        self.log_probs = torch.zeros((voices, rows, cap), dtype=torch.float64, device=device)
        self.lengths = torch.zeros(rows, dtype=torch.int64, device=device)
        self.ended = torch.zeros(rows, dtype=torch.bool, device=device)


class Engine:
    """Draws from mixtures of voices on one device.

    Attributes:
        experts: the experts, the target first.
        voices: the voices over them, the target first.
    """

    def __init__(
        self,
        model: LanguageModel,
        experts: Sequence[Expert],
        voices: Sequence[Voice],
        sampler: Sampler,
        max_new_tokens: int,
        batch_rows: int = 0,
    ) -> None:
        self.experts = tuple(experts)
        self.voices = tuple(voices)
        self._model = model
        self._sampler = sampler
        self._cap = max_new_tokens
        self._batch_rows = batch_rows
        self._stops = torch.tensor(model.stop_ids, dtype=torch.int64, device=model.device)
        self._opened: tuple[Prompt | None, dict[int, Prefix]] = (None, {})
        self._work = 0
        self._overhead = (0, 0.0)

    @torch.inference_mode()
    def draw(
        self, prompt: Prompt, proposals: Sequence[Proposal], counts: IntArray, rng: np.random.Generator
    ) -> Draws:
        """Draw counts[k] sequences from each proposal and score all of them under all proposals.

        Args:
            prompt: the prompt.
            proposals: K proposals, proposal 0 being the target.
            counts: [K] int64.
            rng: the stage's own stream.

        Raises:
            PromptFailed: the prompt cannot be rendered, is too long, or gives log-probs that are not finite.
        """
        started = time.perf_counter()
        self._work = 0
        owner = np.repeat(np.arange(len(proposals)), counts)
        n = len(owner)
        uniforms = torch.from_numpy(rng.random((n, self._cap))).to(self._model.device)
        speaker = np.array([[p.voice_at(step) for step in range(self._cap)] for p in proposals])  # [K, T]
        needed = [sorted({0, *speaker[:, step].tolist()}) for step in range(self._cap)]
        sheet = self._decode(prompt, torch.from_numpy(speaker[owner]).to(uniforms.device), needed, uniforms)

        lengths = sheet.lengths.cpu().numpy()
        token_log_probs = self._checked(prompt, sheet, lengths, needed)
        discrepancy = self._path_discrepancy(prompt, sheet, speaker[owner], token_log_probs, lengths)
        if self._model.device.type == "cuda":
            torch.cuda.synchronize(self._model.device)
        return Draws(
            tokens=sheet.tokens.cpu().numpy(),
            lengths=lengths,
            ended=sheet.ended.cpu().numpy(),
            proposal=owner.astype(np.int64),
            counts=counts,
            log_target=token_log_probs[0].sum(axis=1),
            log_proposals=log_densities(token_log_probs, proposals),
            forward_tokens=self._work,
            device_seconds=time.perf_counter() - started,
            path_discrepancy=discrepancy,
            token_log_probs=token_log_probs,
        )

    @torch.inference_mode()
    def score(self, prompt: Prompt, answers: Sequence[Sequence[int]]) -> FloatArray:
        """Per-token log-probs of given answers under every voice: [voices, n, T] float64, 0 behind an answer's end.

        Raises:
            PromptFailed: as `draw`.
        """
        lengths = torch.tensor([len(answer) for answer in answers], device=self._model.device)
        tokens = torch.zeros((len(answers), self._cap), dtype=torch.int64, device=self._model.device)
        for row, answer in enumerate(answers):
            tokens[row, : len(answer)] = torch.tensor(list(answer))
        started = time.perf_counter()
        self._work = 0
        scores: FloatArray = self._rescore(prompt, tokens, lengths, range(len(self.voices))).cpu().numpy()
        self._overhead = (self._overhead[0] + self._work, self._overhead[1] + time.perf_counter() - started)
        return scores

    def take_overhead(self) -> tuple[int, float]:
        """Tokens and seconds that `score` has cost since this was last asked."""
        overhead, self._overhead = self._overhead, (0, 0.0)
        return overhead

    # ---- prefixes

    def _prefixes(self, prompt: Prompt, experts: Sequence[int]) -> dict[int, Prefix]:
        """The prompt run once per expert; kept until another prompt comes, since a prompt is drawn in stages."""
        if self._opened[0] is not prompt:
            self._opened = (prompt, {})
        prefixes = self._opened[1]
        for expert in experts:
            if expert in prefixes:
                continue
            context = self.experts[expert].context(prompt)
            self._model.check_length(prompt, context, self._cap)
            with self.experts[expert].active() as module:
                self._work += len(context)
                prefixes[expert] = open_prefix(module, context, self._model.device)
        return prefixes

    def _networks(self, voices: Sequence[int]) -> list[int]:
        """Experts whose networks these voices need, the target first."""
        experts = {self.voices[voice].expert for voice in voices}
        return [0, *sorted(e for e in experts - {0} if not self.experts[e].derived)]

    # ---- decoding

    def _decode(
        self, prompt: Prompt, speaker: Tensor, needed: Sequence[Sequence[int]], uniforms: Tensor
    ) -> _Sheet:
        n = len(speaker)
        sheet = _Sheet(len(self.voices), n, self._cap, uniforms.device)
        spans = self._spans(needed)
        prefixes = self._prefixes(prompt, list(spans))
        limit = self._batch_rows or n
        for first in range(0, n, limit):
            rows = torch.arange(first, min(first + limit, n), device=uniforms.device)
            lanes = Lanes(self.experts, prefixes, spans, len(rows))
            for step in range(self._cap):
                open_rows = self._draw_step(lanes, rows, step, speaker, needed[step], sheet, uniforms)
                if step + 1 == self._cap or not bool(open_rows.any()):
                    break
                if not bool(open_rows.all()):
                    lanes.keep(open_rows)
                    rows = rows[open_rows]
                lanes.advance(sheet.tokens[rows, : step + 1])
            self._work += lanes.work
        return sheet

    def _spans(self, needed: Sequence[Sequence[int]]) -> dict[int, range]:
        """Steps at which each expert's network is needed, from the first to the last."""
        steps: dict[int, list[int]] = {}
        for step, voices in enumerate(needed):
            for expert in self._networks(voices):
                steps.setdefault(expert, []).append(step)
        return {expert: range(own[0], own[-1] + 1) for expert, own in steps.items()}

    def _draw_step(
        self,
        lanes: Lanes,
        rows: Tensor,
        step: int,
        speaker: Tensor,
        voices: Sequence[int],
        sheet: _Sheet,
        uniforms: Tensor,
    ) -> Tensor:
        """Draw the next token of every row and score it under every voice; returns which rows stay open, [m] bool."""
        so_far = sheet.tokens[rows, :step]
        tokens = torch.zeros_like(rows)
        for voice in voices:
            own = (speaker[rows, step] == voice).nonzero().squeeze(1)
            if len(own):
                log_probs = self._sampler.log_probs(lanes.logits(self.voices[voice], so_far, own))
                tokens[own] = draw_tokens(log_probs, uniforms[rows[own], step])
        sheet.log_probs[:, rows, step] = float("nan")
        for voice in voices:
            logits = lanes.logits(self.voices[voice], so_far, slice(None))
            sheet.log_probs[voice, rows, step] = self._sampler.token_log_probs(logits, tokens).double()
        sheet.tokens[rows, step] = tokens
        sheet.lengths[rows] = step + 1
        sheet.ended[rows] = torch.isin(tokens, self._stops)
        return ~sheet.ended[rows]

    def _checked(
        self, prompt: Prompt, sheet: _Sheet, lengths: IntArray, needed: Sequence[Sequence[int]]
    ) -> FloatArray:
        """The log-probs of all rows, once nothing is wrong with them: [voices, n, T]."""
        log_probs: FloatArray = sheet.log_probs.cpu().numpy()
        inside = np.arange(self._cap) < lengths[:, None]  # [n, T]
        for step, voices in enumerate(needed):
            at_step = log_probs[voices, :, step][:, inside[:, step]]
            if np.isnan(at_step).any() or np.isposinf(at_step).any():
                raise NumericalFault(
                    prompt.id,
                    f"prompt {prompt.id!r} gives log-probabilities that are not finite; it has no estimate",
                )
        return log_probs

    # ---- the second path

    def _path_discrepancy(
        self,
        prompt: Prompt,
        sheet: _Sheet,
        speaker: IntArray,
        token_log_probs: FloatArray,
        lengths: IntArray,
    ) -> float:
        """Largest |decoded - rescored| log-prob, under the voices that drew it, of a few rows spread over the draw."""
        n = len(lengths)
        rows = np.linspace(0, n - 1, max(2, n // _CHECK_EVERY)).round().astype(np.int64)
        chosen = torch.from_numpy(rows).to(sheet.tokens.device)
        spoke = speaker[rows]  # [r, T]
        voices = sorted(set(spoke.ravel().tolist()))
        rescored = self._rescore(prompt, sheet.tokens[chosen], sheet.lengths[chosen], voices).cpu().numpy()
        inside = np.arange(self._cap) < lengths[rows][:, None]
        pick = (spoke, np.arange(len(rows))[:, None], np.arange(self._cap))
        decoded = token_log_probs[spoke, rows[:, None], np.arange(self._cap)]
        # A log-prob of -inf was never drawn, so differences are finite.
        return float(np.abs(np.where(inside, decoded - rescored[pick], 0.0).sum(axis=1)).max())

    def _rescore(self, prompt: Prompt, tokens: Tensor, lengths: Tensor, voices: Sequence[int]) -> Tensor:
        """Per-token log-probs by prefill: [all voices, n, T] float64, 0 behind a row's end and for other voices."""
        n, cap = tokens.shape
        scores = torch.zeros((len(self.voices), n, cap), dtype=torch.float64, device=tokens.device)
        networks = self._networks(voices)
        prefixes = self._prefixes(prompt, networks)
        order = torch.argsort(lengths, descending=True, stable=True)
        first = 0
        while first < n:
            longest = int(lengths[order[first]])
            fit = max(1, _LOGIT_BYTES // (4 * self._model.vocab_size * longest))
            rows = order[first : first + min(fit, self._batch_rows or n)]
            first += len(rows)
            chunk = tokens[rows, :longest]
            logits = {expert: self._prefill(expert, prefixes[expert], chunk) for expert in networks}
            for step in range(longest):
                at_step = {expert: rows_logits[:, step] for expert, rows_logits in logits.items()}
                for voice in voices:
                    own = voice_logits(self.experts, self.voices[voice], at_step, chunk[:, :step])
                    scores[voice, rows, step] = self._sampler.token_log_probs(own, chunk[:, step]).double()
        behind = torch.arange(cap, device=tokens.device) >= lengths.unsqueeze(1)
        return scores.masked_fill_(behind, 0.0)

    def _prefill(self, expert: int, prefix: Prefix, tokens: Tensor) -> Tensor:
        """Logits of every token of an answer under one network, [n, t, V]."""
        n, longest = tokens.shape
        logits = prefix.logits.expand(n, 1, -1)
        if longest == 1:
            return logits
        with self.experts[expert].active() as module:
            self._work += n * (longest - 1)
            rest = extend(module, prefix.spread(n, longest - 1), tokens[:, :-1], prefix.length)
        return torch.cat([logits, rest], dim=1)
