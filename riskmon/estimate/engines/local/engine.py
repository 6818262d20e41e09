"""The local engine: draws sequences from proposals and scores them under every voice that the proposals need.

In come prompts with proposals and numbers of draws, out come their draws with exact log-probs. Contexts are run once
per prompt and expert (`contexts.py`); the rows of all prompts share one continuous batch (`batch.py`), whose networks
read each context once for all its rows (`attention.py`); rows are as many as fit (`capacity.py`). Nothing that was
drawn has to be scored a second time.

A few rows are nevertheless run through a second path, one prefill of the whole answer, to check that decoding and
rescoring agree; kept harmful answers are scored the same way under voices that were not needed when they were drawn
(`rescoring.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import torch

from riskmon.config import ModelConfig
from riskmon.errors import NumericalFault, PromptFailed
from riskmon.estimate.engines.jobs import Job
from riskmon.estimate.engines.local.batch import Batch
from riskmon.estimate.engines.local.capacity import Memory, probe, rows_that_fit
from riskmon.estimate.engines.local.contexts import Contexts
from riskmon.estimate.engines.local.fixed.decoding import Decoding, decoding_for
from riskmon.estimate.engines.local.lanes import Lanes, Spans
from riskmon.estimate.engines.local.prefix import Prefix
from riskmon.estimate.engines.local.rescoring import Rescorer
from riskmon.estimate.engines.local.sheet import Sheet, network_spans
from riskmon.estimate.experts import Expert
from riskmon.estimate.meter import Meter
from riskmon.estimate.model import LanguageModel
from riskmon.estimate.proposals import Proposal, Voice, log_densities
from riskmon.estimate.sampler import Sampler
from riskmon.records import BoolArray, Draws, FloatArray, IntArray, Prompt

# One row in so many is rescored for the path check.
_CHECK_EVERY = 64


class LocalEngine:
    """Draws from mixtures of voices on one device.

    Attributes:
        experts: the experts, the target first.
        voices: the voices over them, the target first.
        meter: the clock of all work.
    """

    def __init__(
        self,
        model: LanguageModel,
        experts: Sequence[Expert],
        voices: Sequence[Voice],
        sampler: Sampler,
        max_new_tokens: int,
        batch_rows: int = 0,
        meter: Meter | None = None,
        memory_share: float = ModelConfig.model_fields["memory_share"].default,
        decoding: Decoding | None = None,
    ) -> None:
        """Take what is drawn from.

        Args:
            batch_rows: rows decoded at once; 0 takes as many as fit.
            meter: one that is shared with judges; a new one if None.
            memory_share: of what is free on a GPU, for rows.
            decoding: how networks take their steps; None leaves it to the device.
        """
        self.meter = meter or Meter.on(model.device)
        self.experts = tuple(experts)
        self.voices = tuple(voices)
        self._model = model
        self._sampler = sampler
        self._cap = max_new_tokens
        self._batch_rows = batch_rows
        self._memory_share = memory_share
        self._stops = torch.tensor(model.stop_ids, dtype=torch.int64, device=model.device)
        self._decoding = decoding or decoding_for("auto", model.device)
        fixed = self._decoding.fixed
        self._contexts = Contexts(model, self.experts, max_new_tokens, fixed=fixed)
        self._rescorer = Rescorer(
            self.experts, self.voices, sampler, model.vocab_size, batch_rows, self.meter, fixed=fixed
        )
        self._memory: Memory | None = None
        self._most_rows: int | None = None  # lowered where memory ran out
        self._rows = 0
        self._overhead = (0, 0.0)

    @property
    def expert_names(self) -> tuple[str, ...]:
        """Names of the experts, the target first."""
        return tuple(expert.name for expert in self.experts)

    @property
    def device(self) -> str:
        """The torch device."""
        return str(self._model.device)

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
        (drawn,) = self.draw_many([Job(prompt, proposals, counts, rng)])
        if isinstance(drawn, PromptFailed):
            raise drawn
        return drawn

    @torch.inference_mode()
    def draw_many(self, jobs: Sequence[Job]) -> list[Draws | PromptFailed]:
        """Draw several jobs together: the same draws as one by one, in less time.

        Returns:
            Per job its draws, or why it has none; one prompt's fault is not another's.
        """
        results: dict[int, Draws | PromptFailed] = {}
        needed = [job.needed(len(self.voices), self._cap) for job in jobs]
        spans = [network_spans(own, self.voices, self.experts) for own in needed]
        for index, job in enumerate(jobs):
            try:
                self._contexts.check(job.prompt, list(spans[index]))
            except PromptFailed as exc:
                results[index] = exc
        left = [index for index in range(len(jobs)) if index not in results]
        if left:
            before = self.meter.seconds
            with self.meter.working():
                drawn, work = self._draw_sheet([jobs[i] for i in left], [spans[i] for i in left])
            seconds = (self.meter.seconds - before) / max(1, int(work.sum()))
            for index, found, own in zip(left, drawn, work.tolist(), strict=True):
                results[index] = _costed(found, own, seconds * own)
        return [results[index] for index in range(len(jobs))]

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
        work, seconds = self._work, self.meter.seconds
        context = partial(self._contexts.get, prompt)
        with self.meter.working():
            found = self._rescorer.score(context, tokens, lengths, range(len(self.voices)))
            scores: FloatArray = found.cpu().numpy()
        self._overhead = (
            self._overhead[0] + self._work - work,
            self._overhead[1] + self.meter.seconds - seconds,
        )
        return scores

    def take_overhead(self) -> tuple[int, float]:
        """Tokens and seconds that `score` has cost since this was last asked."""
        overhead, self._overhead = self._overhead, (0, 0.0)
        return overhead

    @property
    def rows(self) -> int:
        """Rows that fitted last; 0 before anything was drawn."""
        return self._rows

    @property
    def _work(self) -> int:
        """Tokens that contexts and rescoring have cost so far."""
        return self._contexts.work + self._rescorer.work

    # ---- drawing

    def _draw_sheet(
        self,
        jobs: Sequence[Job],
        spans: Sequence[Spans],
    ) -> tuple[list[Draws | PromptFailed], IntArray]:
        """Draw jobs whose prompts can be rendered.

        Returns:
            Per job its draws, or why it has none; and [jobs] int64, the tokens that each has cost.
        """
        sheet = Sheet(jobs, len(self.voices), self._cap, self._model.device)
        work = np.zeros(len(jobs), dtype=np.int64)

        def context(job: int, expert: int) -> Prefix:
            before = self._contexts.work
            prefix = self._contexts.get(jobs[job].prompt, expert)
            work[job] += self._contexts.work - before
            return prefix

        lanes = partial(Lanes, self.experts, spans, sheet.job_of, context, sheet.tokens, self._decoding)
        batch = Batch(
            sheet,
            self.voices,
            self._sampler,
            self._stops,
            lanes,
            self._model.vocab_size,
            self._limit(context(0, 0), spans, lanes()),
            self.meter.give_way,
        )
        allowed = batch.limit
        batch.run()
        if batch.limit < allowed:
            self._most_rows = batch.limit
        work += batch.work
        drawn: list[Draws | PromptFailed] = []
        for index, job in enumerate(jobs):
            before = self._work
            try:
                drawn.append(self._finish(job, sheet, index))
            except PromptFailed as exc:
                drawn.append(exc)
            work[index] += self._work - before
        return drawn, work

    def _limit(self, context: Prefix, spans: Sequence[Spans], lanes: Lanes) -> int:
        """Most rows of a batch."""
        if self._batch_rows:
            fit = self._batch_rows
        else:
            self._memory = self._memory or probe(self._model.device, self._memory_share)
            networks = max(len(own) for own in spans)
            fit = rows_that_fit(
                self._memory,
                context,
                networks,
                self._model.vocab_size,
                self._cap,
                shared=lanes.shared,
                fixed=self._decoding.fixed,
                alone=len(spans) == 1,
            )
        self._rows = fit if self._most_rows is None else min(fit, self._most_rows)
        return self._rows

    def _finish(self, job: Job, sheet: Sheet, index: int) -> Draws:
        """A job's draws, checked; what they have cost is filled in later.

        Raises:
            NumericalFault: log-probs that are not finite.
        """
        rows = sheet.rows_of(index)
        lengths = sheet.lengths[rows].cpu().numpy()
        token_log_probs = sheet.log_probs_of(index)
        self._check_finite(job.prompt, token_log_probs, lengths, sheet.needed[index])
        return Draws(
            tokens=sheet.tokens[rows].cpu().numpy(),
            lengths=lengths,
            ended=sheet.ended[rows].cpu().numpy(),
            proposal=job.owner.astype(np.int64),
            counts=job.counts,
            log_target=token_log_probs[0].sum(axis=1),
            log_proposals=log_densities(token_log_probs, job.proposals),
            forward_tokens=0,
            device_seconds=0.0,
            path_discrepancy=self._path_discrepancy(job, sheet, rows, token_log_probs, lengths),
            token_log_probs=token_log_probs,
        )

    def _check_finite(
        self, prompt: Prompt, log_probs: FloatArray, lengths: IntArray, needed: BoolArray
    ) -> None:
        inside = np.arange(self._cap) < lengths[:, None]  # [n, T]
        wrong = np.isnan(log_probs) | np.isposinf(log_probs)  # [voices, n, T]
        if (wrong & inside & needed[:, None, :]).any():
            raise NumericalFault(
                prompt.id,
                f"prompt {prompt.id!r} gives log-probabilities that are not finite; it has no estimate",
            )

    def _path_discrepancy(
        self, job: Job, sheet: Sheet, mine: slice, token_log_probs: FloatArray, lengths: IntArray
    ) -> float:
        """Largest |decoded - rescored| log-prob, under the voices that drew it, of a few rows spread over the draw."""
        n = len(lengths)
        rows = np.linspace(0, n - 1, max(2, n // _CHECK_EVERY)).round().astype(np.int64)
        chosen = torch.from_numpy(rows + mine.start).to(sheet.tokens.device)
        spoke = sheet.speaker[mine][rows]  # [r, T]
        voices = sorted(set(spoke.ravel().tolist()))
        context = partial(self._contexts.get, job.prompt)
        rescored = (
            self._rescorer.score(context, sheet.tokens[chosen], sheet.lengths[chosen], voices).cpu().numpy()
        )
        inside = np.arange(self._cap) < lengths[rows][:, None]
        pick = (spoke, np.arange(len(rows))[:, None], np.arange(self._cap))
        decoded = token_log_probs[spoke, rows[:, None], np.arange(self._cap)]
        # A log-prob of -inf was never drawn, so differences are finite.
        return float(np.abs(np.where(inside, decoded - rescored[pick], 0.0).sum(axis=1)).max())


def _costed(found: Draws | PromptFailed, tokens: int, seconds: float) -> Draws | PromptFailed:
    """Draws with their cost; a prompt without draws has nobody to tell."""
    if isinstance(found, PromptFailed):
        return found
    return replace(found, forward_tokens=tokens, device_seconds=seconds)
