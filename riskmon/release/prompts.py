"""The prompts of a comparison: a sample of the traffic, with the requests that each stands for.

Lines are those of `riskmon estimate`. The attribute `weight` is the inverse of a prompt's chance to be in the file, and
1 where it is missing. Prompts are read in a random order, so that those of a look are a fair sample.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from riskmon.errors import InputError
from riskmon.records import Prompt, Stratum
from riskmon.traffic.prompts import read_prompts
from riskmon.traffic.strata import UNKNOWN

_WEIGHT = "attributes.weight"


@dataclass(frozen=True, slots=True)
class WeightedPrompt:
    """A prompt and the requests it stands for, relative to others."""

    prompt: Prompt
    weight: float

    def key(self) -> bytes:
        """Tells prompts apart by id, weight and text, and shows none of them."""
        content: Any = self.prompt.content
        if not isinstance(content, str):
            content = [[message.role, message.content] for message in content]
        return hashlib.sha256(json.dumps([self.prompt.id, self.weight, content]).encode()).digest()


def read_weighted_prompts(path: Path, seed: int) -> list[WeightedPrompt]:
    """The prompts of a file, in random order.

    Args:
        path: the file; `-` reads standard input.
        seed: root of the order.

    Raises:
        InputError: the file cannot be used, or a weight is not a number above 0.
    """
    prompts = read_prompts(path, (_WEIGHT,))
    order = np.random.default_rng(seed).permutation(len(prompts))
    return [_weighted(prompts[place]) for place in order]


def _weighted(prompt: Prompt) -> WeightedPrompt:
    (text,) = prompt.stratum.as_dict().values()
    try:
        weight = 1.0 if text == UNKNOWN else float(text)
    except ValueError:
        weight = math.nan
    if not (math.isfinite(weight) and weight > 0):
        raise InputError(f"prompt {prompt.id!r}: {_WEIGHT} must be a number above 0")
    return WeightedPrompt(replace(prompt, stratum=Stratum()), weight)
