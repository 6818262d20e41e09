"""The local engine: draws sequences from proposals and scores them under every expert.

Rows under the same expert decode as one batch on a shared prefix. At a proposal's window edge its rows move to the
next expert: their tokens so far are run behind that expert's prefix in one pass, and they join its batch. A row leaves
its batch when it draws a stop token, so decoding ends with the last open row. Each expert then rescores all rows in
one batched prefill (in chunks that fit the memory), which gives log p(y), every log q_k(y), and a check that decoding
and rescoring agree.

The log-probability of a row under the expert that drew it is taken from the logits it was drawn from.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from transformers import DynamicCache

from riskmon.errors import NumericalFault
from riskmon.estimate.experts import Expert
from riskmon.estimate.model import LanguageModel
from riskmon.estimate.prefix import Prefix, extend, join_caches, open_prefix
from riskmon.estimate.proposals import Proposal, log_densities
from riskmon.estimate.sampler import Sampler, draw_tokens
from riskmon.records import Draws, FloatArray, IntArray, Prompt

# Logits of one rescoring chunk in float32; a chunk holds about three arrays of this size at its peak.
_LOGIT_BYTES = 256 * 2**20


@dataclass(eq=False)
class _Batch:
    """Rows that decode together: all at the same step, under the same expert."""

    expert: int
    rows: Tensor  # [m] int64, indices into the draw
    cache: DynamicCache
    logits: Tensor  # [m, V], of the token to draw next


@dataclass(eq=False)
class _Sheet:
    """The draw in the making."""

    tokens: Tensor  # [n, T] int64
    log_probs: Tensor  # [n, T] float64, under the expert that drew the token
    lengths: Tensor  # [n] int64
    ended: Tensor  # [n] bool


class Engine:
    """Draws from mixtures of experts on one device."""

    def __init__(
        self,
        model: LanguageModel,
        experts: Sequence[Expert],
        sampler: Sampler,
        max_new_tokens: int,
        batch_rows: int = 0,
    ) -> None:
        self._model = model
        self._experts = tuple(experts)
        self._sampler = sampler
        self._cap = max_new_tokens
        self._batch_rows = batch_rows
        self._stops = torch.tensor(model.stop_ids, dtype=torch.int64, device=model.device)
        self._work = 0

    @torch.inference_mode()
    def draw(
        self, prompt: Prompt, proposals: Sequence[Proposal], counts: IntArray, rng: np.random.Generator
    ) -> Draws:
        """Draw counts[k] sequences from each proposal and score all of them under all proposals.

        Args:
            prompt: the prompt.
            proposals: K proposals, proposal 0 being the target.
            counts: [K] int64.
            rng: the prompt's own stream.

        Raises:
            PromptFailed: the prompt cannot be rendered, is too long, or gives log-probs that are not finite.
        """
        started = time.perf_counter()
        self._work = 0
        used = sorted({proposal.expert for proposal in proposals} | {0})
        contexts = {e: self._experts[e].context(prompt) for e in used}
        for context in contexts.values():
            self._model.check_length(prompt, context, self._cap)
        prefixes = {e: self._open(e, contexts[e]) for e in used}

        owner = np.repeat(np.arange(len(proposals)), counts)
        n = len(owner)
        uniforms = torch.from_numpy(rng.random((n, self._cap))).to(self._model.device)
        sheet = self._decode(proposals, owner, prefixes, uniforms)
        scored = {e: self._rescore(e, prefixes[e], sheet) for e in used}
        log_probs, discrepancy = self._assemble(prompt, proposals, owner, sheet, scored)

        densities = log_densities(log_probs, proposals)
        if self._model.device.type == "cuda":
            torch.cuda.synchronize(self._model.device)
        return Draws(
            tokens=sheet.tokens.cpu().numpy(),
            lengths=sheet.lengths.cpu().numpy(),
            ended=sheet.ended.cpu().numpy(),
            proposal=owner.astype(np.int64),
            counts=counts,
            log_target=log_probs[0].sum(axis=1),
            log_proposals=densities,
            forward_tokens=self._work,
            device_seconds=time.perf_counter() - started,
            path_discrepancy=discrepancy,
        )

    # ---- prefixes

    def _active(self, expert: int) -> AbstractContextManager[nn.Module]:
        return self._experts[expert].active()

    def _open(self, expert: int, context: list[int]) -> Prefix:
        with self._active(expert) as module:
            self._work += len(context)
            return open_prefix(module, context, self._model.device)

    # ---- decoding

    def _decode(
        self,
        proposals: Sequence[Proposal],
        owner: IntArray,
        prefixes: dict[int, Prefix],
        uniforms: Tensor,
    ) -> _Sheet:
        device = self._model.device
        n = len(owner)
        sheet = _Sheet(
            tokens=torch.zeros((n, self._cap), dtype=torch.int64, device=device),
            log_probs=torch.zeros((n, self._cap), dtype=torch.float64, device=device),
            lengths=torch.zeros(n, dtype=torch.int64, device=device),
            ended=torch.zeros(n, dtype=torch.bool, device=device),
        )
        schedule = torch.tensor(  # [K, T], the expert that speaks at each step
            [[proposal.expert_at(step) for step in range(self._cap)] for proposal in proposals], device=device
        )
        speaker = schedule[torch.from_numpy(owner).to(device)]  # [n, T]
        limit = self._batch_rows or n
        for first in range(0, n, limit):
            rows = torch.arange(first, min(first + limit, n), device=device)
            batches = [
                self._enter(expert, members, 0, prefixes, sheet)
                for expert, members in _by_speaker(rows, speaker[rows, 0])
            ]
            for step in range(self._cap):
                for batch in batches:
                    self._draw_step(batch, step, sheet, uniforms)
                if step + 1 == self._cap:
                    break
                batches = _one_per_expert(
                    [
                        moved
                        for batch in batches
                        for moved in self._advance(batch, step + 1, speaker, prefixes, sheet)
                    ]
                )
                if not batches:
                    break
        return sheet

    def _enter(
        self, expert: int, rows: Tensor, step: int, prefixes: dict[int, Prefix], sheet: _Sheet
    ) -> _Batch:
        """Put rows under an expert: its prefix, and behind it the tokens these rows have so far."""
        prefix = prefixes[expert]
        cache = prefix.spread(len(rows))
        if step == 0:
            return _Batch(expert, rows, cache, prefix.logits.expand(len(rows), -1))
        with self._active(expert) as module:
            self._work += len(rows) * step
            logits = extend(module, cache, sheet.tokens[rows, :step], prefix.length)[:, -1]
        return _Batch(expert, rows, cache, logits)

    def _draw_step(self, batch: _Batch, step: int, sheet: _Sheet, uniforms: Tensor) -> None:
        """Draw the next token of every row of a batch, and close the rows that drew a stop token."""
        log_probs = self._sampler.log_probs(batch.logits)  # [m, V]
        tokens = draw_tokens(log_probs, uniforms[batch.rows, step])  # [m]
        sheet.tokens[batch.rows, step] = tokens
        sheet.log_probs[batch.rows, step] = log_probs.gather(1, tokens.unsqueeze(1)).squeeze(1).double()
        sheet.lengths[batch.rows] = step + 1
        sheet.ended[batch.rows] = torch.isin(tokens, self._stops)

    def _advance(
        self, batch: _Batch, step: int, speaker: Tensor, prefixes: dict[int, Prefix], sheet: _Sheet
    ) -> list[_Batch]:
        """Bring a batch's open rows to `step`; rows whose speaker changes enter a batch of their own."""
        open_rows = ~sheet.ended[batch.rows]
        stays = open_rows & (speaker[batch.rows, step] == batch.expert)
        leavers = batch.rows[open_rows & ~stays]
        moved = [
            self._enter(expert, members, step, prefixes, sheet)
            for expert, members in _by_speaker(leavers, speaker[leavers, step])
        ]
        if not bool(stays.any()):
            return moved
        if not bool(stays.all()):
            batch.cache.batch_select_indices(stays.nonzero().squeeze(1))
            batch.rows = batch.rows[stays]
        with self._active(batch.expert) as module:
            self._work += len(batch.rows)
            last = sheet.tokens[batch.rows, step - 1].unsqueeze(1)
            batch.logits = extend(module, batch.cache, last, prefixes[batch.expert].length + step - 1)[:, -1]
        return [batch, *moved]

    # ---- rescoring

    def _rescore(self, expert: int, prefix: Prefix, sheet: _Sheet) -> Tensor:
        """Per-token log-probs of every row under one expert: [n, T] float64, 0 behind a row's end."""
        n, cap = sheet.tokens.shape
        scores = torch.zeros((n, cap), dtype=torch.float64, device=sheet.tokens.device)
        order = torch.argsort(sheet.lengths, descending=True, stable=True)
        first = 0
        with self._active(expert) as module:
            while first < n:
                longest = int(sheet.lengths[order[first]])
                fit = max(1, _LOGIT_BYTES // (4 * self._model.vocab_size * longest))
                rows = order[first : first + min(fit, self._batch_rows or n)]
                first += len(rows)
                tokens = sheet.tokens[rows, :longest]
                logits = prefix.logits.expand(len(rows), 1, -1)
                if longest > 1:
                    self._work += len(rows) * (longest - 1)
                    rest = extend(module, prefix.spread(len(rows)), tokens[:, :-1], prefix.length)
                    logits = torch.cat([logits, rest], dim=1)
                scores[rows, :longest] = self._sampler.token_log_probs(logits, tokens).double()
        behind = torch.arange(cap, device=scores.device) >= sheet.lengths.unsqueeze(1)
        return scores.masked_fill_(behind, 0.0)

    def _assemble(
        self,
        prompt: Prompt,
        proposals: Sequence[Proposal],
        owner: IntArray,
        sheet: _Sheet,
        scored: dict[int, Tensor],
    ) -> tuple[FloatArray, float]:
        """Per-token log-probs under each expert, [E, n, T], decoded ones where a row was drawn; and the path check."""
        lengths = sheet.lengths.cpu().numpy()
        inside = np.arange(self._cap) < lengths[:, None]  # [n, T]
        decoded = np.where(inside, sheet.log_probs.cpu().numpy(), 0.0)
        log_probs = np.zeros((len(self._experts), *decoded.shape))
        for expert, scores in scored.items():
            log_probs[expert] = scores.cpu().numpy()
        if not np.isfinite(decoded).all() or np.isnan(log_probs).any() or np.isposinf(log_probs).any():
            raise NumericalFault(
                prompt.id,
                f"prompt {prompt.id!r} gives log-probabilities that are not finite; it has no estimate",
            )
        speaker = np.array([[p.expert_at(step) for step in range(self._cap)] for p in proposals])[owner]
        steps = np.arange(self._cap)
        rows = np.arange(len(owner))[:, None]
        rescored = np.where(inside, log_probs[speaker, rows, steps], 0.0)
        discrepancy = float(np.abs((decoded - rescored).sum(axis=1)).max())
        log_probs[speaker, rows, steps] = decoded
        return log_probs, discrepancy


def _one_per_expert(batches: list[_Batch]) -> list[_Batch]:
    """Batches under the same expert joined into one: all rows stand at the same step behind the same context."""
    joined: dict[int, _Batch] = {}
    for batch in batches:
        into = joined.setdefault(batch.expert, batch)
        if into is not batch:
            join_caches(into.cache, batch.cache)
            into.rows = torch.cat([into.rows, batch.rows])
            into.logits = torch.cat([into.logits, batch.logits])
    return list(joined.values())


def _by_speaker(rows: Tensor, speakers: Tensor) -> list[tuple[int, Tensor]]:
    """Rows grouped by the expert that speaks next, in the order of the experts."""
    return [(expert, rows[speakers == expert]) for expert in sorted(set(speakers.tolist()))]
