"""The cross-entropy choice of proposals, from harmful draws made earlier.

Candidates are all voices in all windows of a geometric grid. With hits y_i of weight v_i (their share w h / n of an
estimate) the shares b of the candidates maximise

    sum_i v_i log( d p(y_i) + (1 - d) sum_k b_k q_k(y_i) )  +  kappa sum_k b0_k log b_k

which is the cross-entropy between the target's own harm, as the hits show it, and the mixture (Rubinstein & Kroese
2004), with d the defensive share and the earlier plan b0 worth kappa hits. The problem is concave; EM climbs it. Per-
token log-probs of the hits are kept, so a candidate costs arithmetic only. Without hits the result is b0.

The hits belong to the target as well as to the variants, by weight: a mode that only the target's own draws have found
pulls the plan towards whatever reaches it, and a variant whose hits carry no weight loses its share however many there
are. A fifth of the draws stays with the first plan for good. At p = 1e-6 it matters: a mode that holds a hundredth of
the harm, that the hits happen not to show, and that a plan chosen from them no longer reaches, would be found by the
defensive draws alone, and one such find is worth many times p.

A plan is chosen before the draws that use it, from other draws. That keeps every estimate unbiased.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import logsumexp

from riskmon.estimate.proposals import Mixture, Proposal
from riskmon.estimate.weights import effective_sample_size
from riskmon.records import BoolArray, Float32Array, FloatArray

# The earlier plan is worth so many hits; the hedge keeps this share for good.
_PRIOR_HITS = 4.0
_KEPT = 0.2
# Part of the prior that is spread over all candidates, so that any of them can be chosen.
_SPREAD = 0.2
# Smaller shares, but for the hedge's, are dropped: they would hardly be drawn from in a prompt.
_SMALLEST = 0.01
_ROUNDS = 200


def candidate_proposals(voices: int, max_new_tokens: int) -> tuple[Proposal, ...]:
    """The target, then every voice in every window between two edges of 0, 1, 2, 4, 8, ..., T."""
    edges = [0]
    edge = 1
    while edge < max_new_tokens:
        edges.append(edge)
        edge *= 2
    edges.append(max_new_tokens)
    return (
        Proposal(0, 0, max_new_tokens),
        *(
            Proposal(voice, start, stop)
            for voice in range(1, voices)
            for i, start in enumerate(edges)
            for stop in edges[i + 1 :]
        ),
    )


def log_ratios(hits: Sequence[FloatArray | Float32Array], proposals: Sequence[Proposal]) -> FloatArray:
    """log q_k(y_i) - log p(y_i): [K, hits] float64.

    Args:
        hits: per hit [voices, tokens], log-prob of every token under every voice.
        proposals: K proposals over these voices.
    """
    ratios = np.zeros((len(proposals), len(hits)))
    voice, start, stop = np.array([(p.voice, p.start, p.stop) for p in proposals]).T
    for i, log_probs in enumerate(hits):
        steps = log_probs.astype(np.float64)
        last = steps.shape[1]
        first, end = np.minimum(start, last), np.minimum(stop, last)
        # Tokens that a voice cannot say are counted apart: they close the windows that hold them and no others. The
        # target can say all tokens of a hit.
        unsaid = ~np.isfinite(steps)
        sums = _sums_before(np.where(unsaid, 0.0, steps - steps[0]))
        closed = _sums_before(unsaid)
        reached = closed[voice, end] == closed[voice, first]
        ratios[:, i] = np.where(reached, sums[voice, end] - sums[voice, first], -np.inf)
    return ratios


def _sums_before(values: FloatArray | BoolArray) -> FloatArray:
    """[voices, tokens] -> [voices, tokens + 1], sum of the values before each token."""
    sums = np.zeros((len(values), values.shape[1] + 1))
    np.cumsum(values, axis=1, out=sums[:, 1:])
    return sums


def hit_worth(weights: FloatArray, harms: Sequence[str]) -> FloatArray:
    """Weights of hits scaled so that those of each harm add up to their effective number: [hits] float64.

    Harms are thereby chosen for alike, however much rarer one is than another.

    Args:
        weights: [hits], w h / n. harms: the harm of each.
    """
    worth = np.zeros(len(weights))
    labels = np.array(harms)
    for harm in set(harms):
        own = labels == harm
        worth[own] = effective_sample_size(weights[own]) * weights[own] / weights[own].sum()
    return worth


def choose_mixture(
    before: Mixture,
    candidates: Sequence[Proposal],
    hits: Sequence[FloatArray | Float32Array],
    weights: FloatArray,
    defensive_share: float,
    hedge: Mixture | None = None,
) -> Mixture:
    """The mixture that best covers weighted hits, never far from an earlier one while hits are few.

    Args:
        before: the earlier mixture.
        candidates: proposals to choose from, the target first; those of `before` are added.
        hits: per hit [voices, tokens], log-prob of every token under every voice.
        weights: [hits] float64, positive, adding up to the number of hits they are worth (`hit_worth`).
        defensive_share: the least share of the target.
        hedge: what a fifth of the draws stays with, whatever the hits say; the earlier mixture if not given.
    """
    if not len(hits) or len(before.proposals) == 1:
        return before
    hedge = before if hedge is None else hedge
    proposals = tuple(dict.fromkeys([*before.proposals, *hedge.proposals, *candidates]))
    earlier = _beyond_defence(before, proposals, defensive_share)
    lasting = _beyond_defence(hedge, proposals, defensive_share)
    prior = (1 - _SPREAD) * earlier + _SPREAD / len(proposals)
    ratios = log_ratios(hits, proposals)
    share = _climb(ratios, weights, prior, defensive_share)
    share = (1 - _KEPT) * share + _KEPT * lasting
    whole = (1 - defensive_share) * share
    whole[0] += defensive_share
    kept = (whole >= _SMALLEST) | (lasting > 0) | (np.arange(len(whole)) == 0)
    return Mixture(
        tuple(proposal for proposal, stays in zip(proposals, kept, strict=True) if stays),
        whole[kept] / whole[kept].sum(),
    )


def _beyond_defence(mixture: Mixture, proposals: Sequence[Proposal], defensive_share: float) -> FloatArray:
    """A mixture's shares over some proposals, less the defensive share that the target has in any case: [K]."""
    own = dict(zip(mixture.proposals, mixture.shares, strict=True))
    share = np.array([own.get(proposal, 0.0) for proposal in proposals])
    share[0] = max(0.0, share[0] - defensive_share)
    beyond: FloatArray = share / share.sum()
    return beyond


def gain_nats(
    chosen: Mixture, first: Mixture, hits: Sequence[FloatArray | Float32Array], weights: FloatArray
) -> float:
    """By how much one mixture's mean log-density of the hits, by weight, lies above another's, in nats."""
    return float(weights @ (_log_mixture(chosen, hits) - _log_mixture(first, hits)) / weights.sum())


def _log_mixture(mixture: Mixture, hits: Sequence[FloatArray | Float32Array]) -> FloatArray:
    found: FloatArray = logsumexp(
        log_ratios(hits, mixture.proposals) + np.log(mixture.shares)[:, None], axis=0
    )
    return found


def _climb(ratios: FloatArray, weights: FloatArray, prior: FloatArray, defensive_share: float) -> FloatArray:
    """EM for the shares b: [K], summing to 1.

    Args:
        ratios: [K, hits]. weights: [hits], summing to the effective number of hits. prior: [K].
    """
    share = prior.copy()
    for _ in range(_ROUNDS):
        parts = ratios + np.log((1 - defensive_share) * share)[:, None]  # [K, hits]
        total = np.logaddexp(logsumexp(parts, axis=0), np.log(defensive_share))
        claimed = (np.exp(parts - total) * weights).sum(axis=1) + _PRIOR_HITS * prior
        updated = claimed / claimed.sum()
        moved = float(np.abs(updated - share).max())
        share = updated
        if moved < 1e-6:
            break
    return share
