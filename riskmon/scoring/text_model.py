"""The fitted text model as a scorer."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from riskmon.records import FloatArray, Prompt
from riskmon.records.scorer import ScorerModel
from riskmon.scoring.text import projection, text_of

# Beyond these a size is at its floor or its cap anyway, and exp must not overflow.
_MOST = 50.0


def text_scorer(model: ScorerModel, floor: float) -> Callable[[Prompt], float]:
    """Scores one prompt at a time.

    Raises:
        ValueError: the model is not to be used.
    """
    if model.coefficients is None:
        raise ValueError("this model does not help, so it has no coefficients")
    project = projection(model.coefficients)

    def score(prompt: Prompt) -> float:
        exponent = model.steepness * (model.intercept + project(text_of(prompt)))
        return floor + (1 - floor) * model.scale * math.exp(min(max(exponent, -_MOST), _MOST))

    return score


def score_of(risk: FloatArray, steepness: float, scale: float, floor: float) -> FloatArray:
    """[n] scores of [n] log risks: an even mixture of all prompts, and of prompts by risk."""
    scores: FloatArray = floor + (1 - floor) * scale * np.exp(np.clip(steepness * risk, -_MOST, _MOST))
    return scores
