"""What the ranges tell of all offsets: totals per kind of offset, with their variance, whole numbers, and limits.

Every offset is of exactly one kind: a request of some cell, a message rejected for some reason, or a gap, where there
is no message (compaction, transaction markers, aborted transactions). With y_hc offsets of kind c among the n_h read
of segment h, which has S_h,

    z_hc = (S_h / n_h) y_hc          T_c = sum_h z_hc

T_c is unbiased (Horvitz & Thompson 1952). All kinds add up to N, the length of the axis, which is known exactly;
since n_h is the same in every segment, T_c is at the same time the ratio estimator N sum_h y_hc / sum_h n_h, and the
ratio's residuals are deviations of z_hc (Särndal et al. 1992, ch. 5.6). So what is no gap adds up to N exactly where
no gap was read.

**Variance.** One range per segment leaves no difference within it, so neighbouring segments are compared (successive
differences, the overlapping form of collapsed strata: Cochran 1977, ch. 5A.12; Wolter 2007, ch. 8.2):

    v(T_c) = H / (2 (H - 1)) sum_{h > 1} (z_hc - z_{h-1,c})^2

Ranges are drawn independently, so E (z_h - z_{h-1})^2 = Var z_h + Var z_{h-1} + (E z_h - E z_{h-1})^2. The first two
are the real variances, clusters and finite population included, whatever the order of messages; the third makes v too
large where neighbouring segments differ, never too small on average. Nothing is assumed but H >= 2.

**Whole numbers.** Counts are whole. Cumulative totals are cut at k + u, u uniform in (0, 1): each count is its total
rounded up or down, right on average, and all add up to N (Cox 1987, controlled rounding). Largest remainders would
favour the same kinds at every step, day after day. The rounding adds f (1 - f) to the variance, f the part behind the
point.

**Limits.** `limits_of` says what share a kind has, from T, v and N alone (so also for sums over many steps). n = T (N
- T) / v is the number of offsets drawn one by one that would tell as much (Korn & Graubard 1998), and Clopper-Pearson
limits of n s among n are taken. v is itself uncertain, most of all where few ranges carry a kind: d = min(T, N - T)^2
/ v of them do, and successive differences have no more than 2 H / 3 degrees of freedom. So n is multiplied by (1.96 /
t_d)^2, t_d the quantile of Student's t with the smaller of the two. But never below H: however a kind lies, a range
holds some of it with at least the probability of its first offset. So of a kind that no range holds, (1 - s)^H is an
upper limit of the probability of just that: its share is 1 - 0.025^(1/H) at most, 7.1% with 50 ranges.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import norm, t

from riskmon.records import FloatArray
from riskmon.records.arrays import IntArray
from riskmon.statistics.binomial import Limits, clopper_pearson
from riskmon.traffic.seek.design import Design


def estimate_totals(counts: IntArray, design: Design) -> tuple[FloatArray, FloatArray]:
    """Totals of each kind over the whole axis.

    Args:
        counts: [C, H] offsets of each kind read in each segment; their sum over all kinds is `design.taken`.
        design: what was read.

    Returns:
        [C] totals, which add up to N, and [C] their variances; 0 where all was read.

    Raises:
        ValueError: the counts do not account for every offset that was read.
    """
    if not np.array_equal(counts.sum(axis=0), design.taken):
        raise ValueError("every offset that was read must be of exactly one kind")
    expanded = counts * design.stands_for  # [C, H]
    segments = len(design.lengths)
    if design.exact or segments < 2:
        return expanded.sum(axis=1), np.zeros(len(counts))
    scale = segments / (2 * (segments - 1))
    return expanded.sum(axis=1), scale * (np.diff(expanded, axis=1) ** 2).sum(axis=1)


def round_fairly(totals: FloatArray, rng: np.random.Generator) -> tuple[IntArray, FloatArray]:
    """Whole numbers with the same sum and the same means.

    Args:
        totals: [C] at least 0; their sum is a whole number but for rounding errors.
        rng: source of chance.

    Returns:
        [C] each total rounded up or down, and [C] the variance that this adds.
    """
    # A ninth decimal is a rounding error of sums, and must not turn 3 into 2.
    cumulative = np.round(np.cumsum(totals), 9)
    if len(cumulative):
        cumulative[-1] = np.rint(cumulative[-1])
    # The cut is off the whole numbers, so that these are never moved by it.
    cuts = np.ceil(cumulative - (1e-6 + (1 - 2e-6) * rng.random()))
    whole: IntArray = np.diff(cuts, prepend=0.0).astype(np.int64)
    part = np.round(totals, 9) % 1.0
    return whole, part * (1 - part)


def limits_of(total: float, variance: float, of: float, ranges: int, confidence: float = 0.95) -> Limits:
    """Limits of the share of a kind.

    Args:
        total: T, its estimated offsets or requests. variance: v, of T.
        of: N, all of them, above 0.
        ranges: H, ranges that were read; with several steps those of all.
        confidence: of the two-sided limits.
    """
    share = min(max(total / of, 0.0), 1.0)
    rare = min(total, of - total)
    if variance <= 0 and rare > 0:
        return Limits(share, share)
    worth = float(ranges)
    if rare > 0:
        carrying = max(min(rare**2 / variance, 2 * ranges / 3), 1.0)
        tail = (1 + confidence) / 2
        doubt = float((norm.ppf(tail) / t.ppf(tail, carrying)) ** 2)
        worth = max(worth, doubt * total * (of - total) / variance)
    return clopper_pearson(share * worth, worth, confidence)
