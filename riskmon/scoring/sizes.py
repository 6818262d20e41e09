"""From a scorer to sizes: bounded, never failing, and following the newest model.

A score that is no finite number above or equal to 0, or a scorer that raises, gives the smallest size. That is
counted by reason, and said once per reason: a broken scorer makes the sample less sharp, never biased and never
missing.
"""

from __future__ import annotations

import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime

from riskmon.config import TrafficConfig
from riskmon.records import Prompt
from riskmon.records.scorer import ScorerModel, Unscored
from riskmon.scoring.plugin import load_scorer
from riskmon.scoring.text_model import text_scorer

log = logging.getLogger(__name__)

Newest = Callable[[datetime | None], ScorerModel | None]
"""Gives the newest stored model, if it is newer than the moment given."""

_LOOK_EVERY_S = 30.0


class Sizes:
    """Sizes of prompts by a scorer.

    Args:
        floor: smallest size; the largest is its inverse.
        score: the scorer; without one all sizes are 1.
        newest: where newer text models come from; None for a scorer that stays.

    Attributes:
        made_at: when the text model in use was made.
    """

    def __init__(
        self, floor: float, score: Callable[[Prompt], float] | None = None, newest: Newest | None = None
    ) -> None:
        self.made_at: datetime | None = None
        self._floor = floor
        self._score = score
        self._newest = newest
        self._found: ScorerModel | None = None
        self._seen: datetime | None = None
        self._looked_at = -math.inf
        self._failures: Counter[str] = Counter()
        self._said: set[Unscored] = set()

    @property
    def active(self) -> bool:
        """Whether there is a scorer, so that sizes tell of risk."""
        return self._score is not None

    @property
    def largest(self) -> float:
        """No size exceeds it."""
        return 1.0 if self._score is None else 1 / self._floor

    def size(self, prompt: Prompt) -> float:
        """Above 0 and at most `largest`; never raises."""
        if self._score is None:
            return 1.0
        try:
            score = float(self._score(prompt))
        except Exception:  # noqa: BLE001 - whatever a scorer does, the prompt is counted and may be sampled
            return self._smallest(Unscored.RAISED)
        if not math.isfinite(score):
            return self._smallest(Unscored.NOT_A_NUMBER)
        if score < 0:
            return self._smallest(Unscored.NEGATIVE)
        return min(max(score, self._floor), 1 / self._floor)

    def take_failures(self) -> Mapping[str, int]:
        """Prompts without a usable score since the last call, per reason."""
        taken, self._failures = self._failures, Counter()
        return dict(taken)

    def look(self) -> None:
        """Ask for a newer model, every half minute at most; `renew` takes it over. May be called by another thread.

        Raises:
            StoreUnavailable: the store cannot be read.
        """
        if self._newest is None or time.monotonic() - self._looked_at < _LOOK_EVERY_S:
            return
        self._found = self._newest(self._seen) or self._found
        self._looked_at = time.monotonic()
        if self._found is not None:
            self._seen = self._found.made_at

    def renew(self) -> None:
        """Take over the model that was found last; by the thread that asks for sizes, before a batch."""
        model = self._found
        if model is None or model.made_at == self.made_at:
            return
        self.made_at = model.made_at
        self._score = text_scorer(model, self._floor) if model.helps else None
        log.info(
            "prompts are sampled %s",
            "by risk, with the newest scorer" if model.helps else "alike: no scorer helps",
            extra={"scorer_made_at": model.made_at.isoformat(), "helps": model.helps},
        )

    def _smallest(self, why: Unscored) -> float:
        self._failures[why.value] += 1
        if why not in self._said:
            self._said.add(why)
            # The exception itself may quote the prompt.
            log.error(
                "the scorer gave no usable score (%s): the prompt gets the smallest size, as all such will",
                why.value,
                extra={"reason": why.value},
            )
        return self._floor


def open_sizes(config: TrafficConfig, newest: Newest) -> Sizes | None:
    """Sizes as configured; None where all prompts are sampled alike.

    Raises:
        ConfigError: the configured scorer cannot be loaded.
    """
    sampling = config.sampling
    if sampling.by == "uniform":
        return None
    if sampling.scorer is not None:
        return Sizes(sampling.floor, load_scorer(sampling.scorer))
    return Sizes(sampling.floor, newest=newest)
