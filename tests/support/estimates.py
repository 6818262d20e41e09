"""Short ways to a loaded estimator over a tiny world."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from support.worlds import STEPS

from riskmon.config import Config
from riskmon.config_file import parse_config
from riskmon.records import Draws

HARMS = {"bad": (6,), "bad_worse": (6, 7), "bad_bad_worse": (6, 6, 7)}
PATTERNS = {"bad": "bad", "bad_worse": "bad worse", "bad_bad_worse": "bad bad worse"}


def world_config(
    target: Path,
    experts: Mapping[str, Path] | Sequence[dict[str, Any]] = (),
    *,
    samples: int = 200,
    windows: Sequence[Sequence[int | None]] = ((0, None),),
    sampler: Mapping[str, float] | None = None,
    **estimate: Any,
) -> Config:
    """A configuration over a tiny model, with three harms that occur ever more rarely."""
    if isinstance(experts, Mapping):
        experts = [{"name": name, "kind": "checkpoint", "path": str(path)} for name, path in experts.items()]
    return parse_config(
        {
            "model": {
                "target": str(target),
                "device": "cpu",
                "chat_template": "none",
                "max_new_tokens": STEPS,
                "sampler": dict(sampler or {}),
            },
            "experts": list(experts),
            "harms": [
                {"name": name, "judge": {"kind": "regex", "pattern": pattern}}
                for name, pattern in PATTERNS.items()
            ],
            "estimate": {"samples_per_prompt": samples, "windows": windows, **estimate},
        },
        base=target.parent,
    )


def made_draws(
    log_target: Sequence[float],
    log_proposals: Sequence[Sequence[float]],
    proposal: Sequence[int],
    ended: bool = True,
) -> Draws:
    """Draws of one token each with given log-densities."""
    n = len(log_target)
    return Draws(
        tokens=np.zeros((n, 1), dtype=np.int64),
        lengths=np.ones(n, dtype=np.int64),
        ended=np.full(n, ended),
        proposal=np.asarray(proposal, dtype=np.int64),
        counts=np.bincount(proposal, minlength=len(log_proposals)).astype(np.int64),
        log_target=np.asarray(log_target, dtype=np.float64),
        log_proposals=np.asarray(log_proposals, dtype=np.float64),
        forward_tokens=n,
        device_seconds=0.5,
        path_discrepancy=0.0,
    )
