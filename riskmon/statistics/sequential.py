"""Limits of a ratio of two paired means that hold at every look, for heavy-tailed pairs.

In come pairs (y_i, x_i), one per prompt in random order, and the looks at which they are read; out come limits of
r = E[y] / E[x]. With y the candidate's estimates and x the baseline's that is their ratio; with y the differences and
x = 1 it is their difference. At look k with n_k pairs the test of a value r rests on

    S_k(r) = sum_{i <= n_k} (y_i - r x_i),        S*_k(r) = sum_{i <= n_k} e_i (y_i - r x_i),   e_i = +-1 at random

**Sign flips.** Where baseline and candidate are the same, y_i - x_i is as likely d as -d, prompt by prompt, however
heavy its tail: given the sizes |y_i - x_i|, S_k(1) is one of the S*_k(1), and their quantiles are exact (Fisher 1935).
For other r this holds as nearly as for any studentised mean. A pair keeps its signs at every look, so the S*_k are
whole paths, and nothing is assumed about how looks hang together.

**Looks.** Of the error probability alpha, looks may have spent alpha t^2 when a share t of the planned pairs is in (Lan
& DeMets 1983; the power family of Kim & DeMets 1987). The critical value c_k(r) is the smallest with which no larger
share of the paths has crossed by look k. A value r is in the look's interval while |S_k(r)| <= c_k(r) (Jennison &
Turnbull 1989). So a limit is on the wrong side of the truth at any look with probability alpha in all.

**What was not seen.** Flips only reshuffle what there is. An upper limit must allow for one more event that y has and
did not show, a lower limit for one that x has. As in the forecast (after Fay & Feuer 1997) it is u G with
G ~ Exponential(1) and u the size of one event, so that S*_k(r) + u_k(r) G takes the place of S*_k(r). Where no pair
differs this alone is the limit, 3 u at 95%.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from riskmon.records import FloatArray

FLIPS = 8_000
"""Paths. The first of five looks may spend alpha / 25, which is 16 of them at alpha = 0.05."""

_CHUNK = 4_000_000  # signs held at once
_ROUNDING = 1e-9
_SMALLEST_STEP = 1e-9
_DOUBLINGS = 60
_HALVINGS = 16  # a limit's distance from the estimate is then exact to five digits


@dataclass(frozen=True, slots=True, eq=False)
class Paths:
    """Sums at every look so far, as they are and under random signs.

    Attributes:
        y, x: [K] float64, sums of what was measured.
        flipped_y, flipped_x: [K, B] float64, the same under random signs, which y and x of a pair share.
        event: [B] float64, G of each path.
        shares: [K] float64, t: pairs planned up to a look over all pairs planned.
    """

    y: FloatArray
    x: FloatArray
    flipped_y: FloatArray
    flipped_x: FloatArray
    event: FloatArray
    shares: FloatArray

    @classmethod
    def of(
        cls,
        y: FloatArray,
        x: FloatArray,
        ends: Sequence[int],
        shares: Sequence[float],
        *,
        seed: int,
        flips: int = FLIPS,
    ) -> Paths:
        """Sums of pairs, read at K looks.

        Args:
            y, x: [n] float64, in the order in which they came.
            ends, seed, flips: see `sign_sums`. shares: [K], rising, in (0, 1].

        Raises:
            ValueError: lengths differ, or looks are out of order.
        """
        signed = sign_sums(np.stack([y, x], axis=1), ends, seed=seed, flips=flips)
        return signed.paths((1, 0), (0, 1), shares)

    def until(self, look: int) -> Paths:
        """What was known at a look, counted from 1."""
        return Paths(
            self.y[:look],
            self.x[:look],
            self.flipped_y[:look],
            self.flipped_x[:look],
            self.event,
            self.shares[:look],
        )


@dataclass(frozen=True, slots=True, eq=False)
class SignedSums:
    """Sums of several columns at every look.

    Attributes:
        plain: [K, c] float64. flipped: [K, B, c] float64. event: [B] float64, G of each path.
    """

    plain: FloatArray
    flipped: FloatArray
    event: FloatArray

    def paths(self, y: Sequence[float], x: Sequence[float], shares: Sequence[float]) -> Paths:
        """The paths of two combinations of the columns.

        Args:
            y, x: [c] what each column counts in y and in x. shares: [K], rising, in (0, 1].

        Raises:
            ValueError: shares do not rise, or are not as many as the looks.
        """
        if len(shares) != len(self.plain) or any(a >= b for a, b in itertools.pairwise(shares)):
            raise ValueError(f"every look needs a share, larger than that of the look before; found {shares}")
        return Paths(
            self.plain @ np.asarray(y, dtype=np.float64),
            self.plain @ np.asarray(x, dtype=np.float64),
            self.flipped @ np.asarray(y, dtype=np.float64),
            self.flipped @ np.asarray(x, dtype=np.float64),
            self.event,
            np.array(shares),
        )


def sign_sums(columns: FloatArray, ends: Sequence[int], *, seed: int, flips: int = FLIPS) -> SignedSums:
    """Sum columns as they are and under random signs, which the columns of a row share.

    Args:
        columns: [n, c] float64, a row per pair, in the order in which they came.
        ends: [K] rows up to and with each look, K at least 1.
        seed: root of the signs. Rows that follow change no sign of earlier ones.
        flips: B.

    Raises:
        ValueError: looks are out of order.
    """
    bounds = [0, *ends]
    if not ends or bounds[-1] > len(columns) or any(a > b for a, b in itertools.pairwise(bounds)):
        raise ValueError(f"looks must be in order and within {len(columns)} rows; found {list(ends)}")
    rng = np.random.default_rng(seed)
    event = rng.exponential(size=flips)
    parts = [_flipped(columns[start:stop], rng, flips) for start, stop in itertools.pairwise(bounds)]
    plain = np.stack([columns[:stop].sum(axis=0) for stop in ends])
    return SignedSums(plain, np.cumsum(parts, axis=0), event)


@dataclass(frozen=True, slots=True, eq=False)
class Unseen:
    """Size of an event that was not seen, at every look: u_k(r) = own_k + r other_k.

    Attributes:
        own: [K] float64, of y. other: [K] float64, of x.
    """

    own: FloatArray
    other: FloatArray

    def until(self, look: int) -> Unseen:
        """What was known at a look, counted from 1."""
        return Unseen(self.own[:look], self.other[:look])


def exceeds(paths: Paths, unseen: Unseen, value: float, alpha: float) -> bool:
    """Whether the last look shows r > `value`; falsely so at any look with probability at most alpha."""
    return float(paths.y[-1] - value * paths.x[-1]) > _critical(paths, unseen, value, alpha)


def falls_below(paths: Paths, unseen: Unseen, value: float, alpha: float) -> bool:
    """Whether the last look shows r < `value`; falsely so at any look with probability at most alpha."""
    return _x_is_positive(paths, alpha) and _below(paths, unseen, value, alpha)


def lower_limit(paths: Paths, unseen: Unseen, alpha: float, *, floor: float) -> float:
    """The smallest r that the last look does not exclude.

    Args:
        floor: the smallest value r can have.

    Returns:
        The limit; infinity where every r is too small, since y shows something and x nothing.
    """
    if paths.x[-1] > 0:
        start = max(floor, float(paths.y[-1] / paths.x[-1]))
        fall = _distance(lambda d: exceeds(paths, unseen, start - d, alpha), _spread(paths, start))
        return max(floor, start - fall)
    if not exceeds(paths, unseen, floor, alpha):
        return floor
    return floor + _distance(lambda d: not exceeds(paths, unseen, floor + d, alpha), _spread(paths, floor))


def upper_limit(paths: Paths, unseen: Unseen, alpha: float, *, floor: float) -> float:
    """The largest r that the last look does not exclude; infinity where x is not surely above 0.

    Args:
        floor: the smallest value r can have.
    """
    if not _x_is_positive(paths, alpha):
        return math.inf
    start = max(floor, float(paths.y[-1] / paths.x[-1]))
    return start + _distance(lambda d: _below(paths, unseen, start + d, alpha), _spread(paths, start))


def _below(paths: Paths, unseen: Unseen, r: float, alpha: float) -> bool:
    return float(r * paths.x[-1] - paths.y[-1]) > _critical(paths, unseen, r, alpha)


def _x_is_positive(paths: Paths, alpha: float) -> bool:
    """Whether E[x] > 0 is sure: without that a ratio has no upper limit (Fieller 1954)."""
    alone = Paths(
        paths.x, np.zeros_like(paths.x), paths.flipped_x, paths.flipped_y, paths.event, paths.shares
    )
    nothing = np.zeros_like(paths.x)
    return exceeds(alone, Unseen(nothing, nothing), 0.0, alpha)


def _critical(paths: Paths, unseen: Unseen, r: float, alpha: float) -> float:
    """c_K(r), over the paths that crossed at no look before; infinity where none may cross yet."""
    flips = len(paths.event)
    staying = np.ones(flips, dtype=np.bool_)
    critical = math.inf
    for look, share in enumerate(paths.shares):
        size = unseen.own[look] + r * unseen.other[look]
        sums = paths.flipped_y[look] - r * paths.flipped_x[look] + size * paths.event  # [B]
        left = sums[staying]
        # One less than alpha allows: what was measured is one path more (Phipson & Smyth 2010).
        crossing = math.floor(alpha * float(share) ** 2 * (flips + 1)) - 1 - (flips - len(left))
        if crossing < 0:
            critical = math.inf
            continue
        critical = float(np.partition(left, -1 - crossing)[-1 - crossing])
        # Paths that are equal but for rounding do not cross.
        critical += _ROUNDING * float(np.abs(sums).max())
        staying &= sums <= critical
    return critical


def _flipped(columns: FloatArray, rng: np.random.Generator, flips: int) -> FloatArray:
    """[B, c] sums of [m, c] columns under random signs."""
    total = np.zeros((flips, columns.shape[1]))
    rows = max(1, _CHUNK // flips)
    for start in range(0, len(columns), rows):
        part = columns[start : start + rows]
        signs = 2.0 * rng.integers(2, size=(len(part), flips), dtype=np.int8) - 1.0
        total += signs.T @ part
    return total


def _spread(paths: Paths, r: float) -> float:
    """The size of the uncertainty of r; 0 where nothing varies."""
    spread = float(np.std(paths.flipped_y[-1] - r * paths.flipped_x[-1]))
    scale = float(paths.x[-1])
    return spread / scale if scale > 0 else spread


def _distance(excluded: Callable[[float], bool], step: float) -> float:
    """The distance from which on values are excluded; infinity if none are.

    Args:
        step: a first guess.
    """
    low, high = 0.0, step or _SMALLEST_STEP
    for _ in range(_DOUBLINGS):
        if excluded(high):
            break
        low, high = high, 2 * high
    else:
        return math.inf
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if excluded(middle) else (middle, high)
    return high
