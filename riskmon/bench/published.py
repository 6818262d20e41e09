"""The published method, from its description: one token mixture, chosen by cross-entropy on a grid.

Angell et al. 2026 (arXiv 2604.22167) draw every next token from a mixture of the target and an unsafe variant, up to a
switch step S after which only the target speaks:

    q(y) = prod_{t < S} [ (1 - b) p(y_t | y_<t) + b p_v(y_t | y_<t) ]  *  prod_{t >= S} p(y_t | y_<t)

The estimate is mean(w h) with w = p(y) / q(y), the end-of-sequence token being part of y. The share b and the step S
are those of a grid that minimise the cross-entropy - sum_i w_i h_i log q_{b,S}(y_i) over pilot draws. Their per-token
log-probs under both models are known, so the grid costs arithmetic; the pilot's own tokens count. Without a harmful
pilot draw the pilot's setting stays.

There is no share of whole sequences drawn from the target, so no weight bound other than (1 - b)^-S, and no interval.
The normal one given here is ours, so that there is something to compare. Two forward passes a token up to S.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from riskmon.config import Config
from riskmon.estimate.engines.local.engine import LocalEngine
from riskmon.estimate.engines.local.lanes import Lanes
from riskmon.estimate.engines.local.prefix import Prefix, open_prefix
from riskmon.estimate.proposals import TARGET, Voice
from riskmon.estimate.sampler import Sampler, draw_tokens
from riskmon.estimate.session import Session
from riskmon.records import FloatArray, IntArray, Prompt

SHARES = (0.1, 0.25, 0.5, 0.75, 0.9)
# Of the token budget; the same as riskmon's pilot.
PILOT_SHARE = 0.2

_VARIANT = Voice(1, 1.0)
_NORMAL_95 = 1.96


@dataclass(frozen=True, slots=True)
class TokenMixture:
    """The variant's share b of every token before step S (`switch`)."""

    share: float
    switch: int


@dataclass(frozen=True, slots=True, eq=False)
class MixtureDraws:
    """Draws from a token mixture.

    Attributes:
        tokens: [n, T] int64. lengths: [n] int64, the end token included.
        target, variant: [n, T] float64, log-prob of every token; 0 behind an answer's end, and the variant's also from
            the switch step on.
        setting: what they were drawn from.
        forward_tokens: tokens pushed through either network, the prompt's apart.
    """

    tokens: IntArray
    lengths: IntArray
    target: FloatArray
    variant: FloatArray
    setting: TokenMixture
    forward_tokens: int

    @property
    def weights(self) -> FloatArray:
        """[n] float64, p(y) / q(y)."""
        weights: FloatArray = np.exp(self.target.sum(axis=1) - log_density(self, self.setting))
        return weights


@dataclass(frozen=True, slots=True)
class PublishedEstimate:
    """What the published method says of a prompt.

    Attributes:
        p: mean(w h). ci_low, ci_high: normal 95% interval, cut at 0.
        hits: harmful draws. draws: all of them, the pilot's included. tokens: all that were pushed.
        setting: what the grid chose.
    """

    p: float
    ci_low: float
    ci_high: float
    hits: int
    draws: int
    tokens: int
    setting: TokenMixture


class PublishedMethod:
    """The method on one target, variant and judge."""

    def __init__(self, session: Session, config: Config) -> None:
        """Take the networks and the judge of a session.

        Args:
            session: its target, first expert and first harm are used; its plans are not.
            config: what the session was opened with.
        """
        self._session = session
        assert isinstance(session.engine, LocalEngine)
        self._experts = session.engine.experts[:2]
        self._sampler = Sampler(config.model.sampler)
        self._cap = config.model.max_new_tokens
        self._stops = torch.tensor(session.model.stop_ids, device=session.engine.device)

    def estimate(self, prompt: Prompt, token_budget: float, rng: np.random.Generator) -> PublishedEstimate:
        """Estimate one prompt.

        Args:
            token_budget: tokens that may be pushed through the networks; met but for the chance of answers' lengths.
            rng: source of chance.

        Raises:
            PromptFailed: the prompt cannot be rendered.
        """
        contexts = self.open(prompt)
        spent = sum(prefix.length for prefix in contexts.values())
        setting = TokenMixture(0.5, self._cap)
        pilot_draws = max(2, round(PILOT_SHARE * token_budget / (2 * self._cap)))
        pilot = self.draw(contexts, setting, pilot_draws, rng)
        spent += pilot.forward_tokens
        setting = choose_setting(pilot, self.harmful(prompt, pilot), setting)
        steps = pilot.lengths + np.minimum(pilot.lengths, setting.switch) - 2  # of both networks
        n = max(2, round((token_budget - spent) / max(1.0, float(steps.mean()))))
        main = self.draw(contexts, setting, n, rng)
        terms = main.weights * self.harmful(prompt, main)
        p = float(terms.mean())
        half = _NORMAL_95 * float(terms.std(ddof=1)) / np.sqrt(n)
        return PublishedEstimate(
            p=p,
            ci_low=max(0.0, p - half),
            ci_high=p + half,
            hits=int((terms > 0).sum()),
            draws=pilot_draws + n,
            tokens=spent + main.forward_tokens,
            setting=setting,
        )

    @torch.inference_mode()
    def open(self, prompt: Prompt) -> dict[int, Prefix]:
        """The prompt, run once through either network."""
        contexts = {}
        for index, expert in enumerate(self._experts):
            with expert.active() as module:
                contexts[index] = open_prefix(module, expert.context(prompt), self._stops.device)
        return contexts

    @torch.inference_mode()
    def draw(
        self, contexts: dict[int, Prefix], setting: TokenMixture, n: int, rng: np.random.Generator
    ) -> MixtureDraws:
        """n draws from a token mixture, behind a prompt that was opened."""
        uniforms = torch.from_numpy(rng.random((n, self._cap)))
        tokens = torch.zeros((n, self._cap), dtype=torch.int64)
        log_probs = torch.zeros((2, n, self._cap), dtype=torch.float64)
        lengths = torch.zeros(n, dtype=torch.int64)
        rows = np.arange(n)
        spans = {0: range(self._cap), 1: range(setting.switch)}
        lanes = Lanes(
            self._experts, [spans], np.zeros(n, dtype=np.int64), lambda _, expert: contexts[expert], tokens
        )
        for step in range(self._cap):
            steps = np.full(len(rows), step)
            lanes.advance(rows, steps)
            voices = self._next(lanes, rows, steps, with_variant=step < setting.switch)
            chosen = draw_tokens(_mixed(voices, setting.share), uniforms[rows, step])
            for voice, scores in enumerate(voices):
                log_probs[voice, rows, step] = scores.gather(-1, chosen.unsqueeze(-1)).squeeze(-1).double()
            tokens[rows, step] = chosen
            lengths[rows] = step + 1
            rows = rows[~torch.isin(chosen, self._stops).numpy()]
            if not len(rows):
                break
        target, variant = log_probs.numpy()
        return MixtureDraws(tokens.numpy(), lengths.numpy(), target, variant, setting, int(lanes.work[0]))

    def harmful(self, prompt: Prompt, draws: MixtureDraws) -> FloatArray:
        """[n] float64, the judge's h."""
        rows = [row[:length] for row, length in zip(draws.tokens, draws.lengths, strict=True)]
        texts = self._session.model.tokenizer.batch_decode(rows, skip_special_tokens=True)
        verdicts = self._session.judges[0].judge(prompt, texts)
        return verdicts.harmful(self._session.harms[0].cut).astype(np.float64)

    def _next(self, lanes: Lanes, rows: IntArray, steps: IntArray, *, with_variant: bool) -> list[Tensor]:
        """Log-probs of the next token, [m, V] each: of the target, and of the variant where it speaks."""
        speaking = [TARGET, _VARIANT] if with_variant else [TARGET]
        return [self._sampler.log_probs(lanes.logits(voice, rows, steps)) for voice in speaking]


def _mixed(voices: list[Tensor], share: float) -> Tensor:
    """Log-probs of the mixture: [m, V] each -> [m, V]."""
    if len(voices) == 1:
        return voices[0]
    target, variant = voices
    return torch.logaddexp(target + float(np.log1p(-share)), variant + float(np.log(share)))


def choose_setting(pilot: MixtureDraws, harmful: FloatArray, before: TokenMixture) -> TokenMixture:
    """The setting of the grid with the lowest cross-entropy to the pilot's harm.

    Args:
        pilot: draws with the variant's log-probs at every step.
        harmful: [n] float64, h.
        before: the pilot's setting, kept where it saw no harm.
    """
    terms = pilot.weights * harmful
    if not terms.any():
        return before
    cap = pilot.tokens.shape[1]
    grid = [TokenMixture(share, switch) for share in SHARES for switch in range(1, cap + 1)]
    losses = [-float(terms @ log_density(pilot, setting)) for setting in grid]
    return grid[int(np.argmin(losses))]


def log_density(draws: MixtureDraws, setting: TokenMixture) -> FloatArray:
    """[n] float64, log q of draws under a setting whose switch is not behind the one they were drawn with."""
    before, after = np.split(draws.target, [setting.switch], axis=1)
    mixed = np.logaddexp(
        np.log1p(-setting.share) + before, np.log(setting.share) + draws.variant[:, : setting.switch]
    )
    density: FloatArray = mixed.sum(axis=1) + after.sum(axis=1)
    return density
