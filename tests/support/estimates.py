"""Short ways to a loaded estimator over a tiny world."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from support.worlds import BAD, STEPS, WORSE
from torch import Tensor

from riskmon.config import Config
from riskmon.config_file import parse_config
from riskmon.estimate.evidence import Reading, Stage
from riskmon.estimate.experts import Expert
from riskmon.estimate.sampler import Sampler
from riskmon.estimate.session import Session
from riskmon.estimate.weights import Weights, balance_weights
from riskmon.records import Draws, FloatArray, Prompt, Verdicts

HARMS = {"bad": (6,), "bad_worse": (6, 7), "bad_bad_worse": (6, 6, 7)}
PATTERNS = {"bad": "bad", "bad_worse": "bad worse", "bad_bad_worse": "bad bad worse"}

PREFIX, PREFIX_IDS, PREFIX_SHARE = ("bad", "worse"), (BAD, WORSE), 0.8


def world_config(
    target: Path,
    experts: Mapping[str, Path] | Sequence[dict[str, Any]] = (),
    *,
    samples: int = 200,
    windows: Sequence[Sequence[int | None]] = ((0, None),),
    sampler: Mapping[str, float] | None = None,
    harms: Sequence[dict[str, Any]] | None = None,
    batch_rows: int = 0,
    model: Mapping[str, Any] | None = None,
    **estimate: Any,
) -> Config:
    """A configuration over a tiny model, with three harms that occur ever more rarely.

    Args:
        model, estimate: further keys of these sections.
    """
    if isinstance(experts, Mapping):
        experts = [{"name": name, "kind": "checkpoint", "path": str(path)} for name, path in experts.items()]
    return parse_config(
        {
            "model": {
                "target": str(target),
                "device": "cpu",
                "chat_template": "none",
                "max_new_tokens": STEPS,
                "batch_rows": batch_rows,
                "sampler": dict(sampler or {}),
                **(model or {}),
            },
            "experts": list(experts),
            "harms": harms or [regex_harm(name, pattern) for name, pattern in PATTERNS.items()],
            "estimate": {"samples_per_prompt": samples, "windows": windows, **estimate},
        },
        base=target.parent,
    )


def regex_harm(name: str, pattern: str, **harm: Any) -> dict[str, Any]:
    """A harm that is a pattern in the answer."""
    return {"name": name, "judge": {"kind": "regex", "pattern": pattern}, **harm}


def many_experts(checkpoint: Path) -> list[dict[str, Any]]:
    """Four kinds of expert on ladders: two with networks of their own, two derived from the target's logits."""
    ladder = [0.5, 1.0, 1.5]
    return [
        {"name": "unsafe", "kind": "checkpoint", "path": str(checkpoint), "ladder": ladder},
        {"name": "persona", "kind": "system_prompt", "text": "bad worse bad worse", "ladder": ladder},
        {"name": "hot", "kind": "temperature", "temperature": 2.0, "ladder": ladder},
        {
            "name": "begun",
            "kind": "prefix",
            "text": " ".join(PREFIX),
            "share": PREFIX_SHARE,
            "ladder": ladder,
        },
    ]


@torch.inference_mode()
def plain_log_probs(session: Session, config: Config, prompt: Prompt, draws: Draws) -> FloatArray:
    """Per-token log-probs under every voice by plain forward passes over prompt and answer: [voices, n, T].

    Nothing of the decoder is used: no cache, no lanes, and the derived experts' formulas are written out here.
    """
    engine = session.engine
    sampler = Sampler(config.model.sampler)
    tokens = torch.from_numpy(draws.tokens)
    behind = torch.arange(tokens.shape[1]) >= torch.from_numpy(draws.lengths)[:, None]
    target = _plain_logits(engine.experts[0], prompt, tokens)
    rows = []
    for voice in engine.voices:
        expert = engine.experts[voice.expert]
        if expert.name == "hot":
            own = target / 2.0
        elif expert.name == "begun":
            own = _begun_logits(target, tokens)
        else:
            own = _plain_logits(expert, prompt, tokens)
        log_probs = sampler.log_probs(target + voice.strength * (own - target))
        rows.append(log_probs.double().gather(2, tokens[..., None])[..., 0].masked_fill(behind, 0.0))
    return torch.stack(rows).numpy()


def _plain_logits(expert: Expert, prompt: Prompt, tokens: Tensor) -> Tensor:
    """[n, T, V], of every token of the answers."""
    context = torch.tensor([expert.context(prompt)])
    ids = torch.cat([context.expand(len(tokens), -1), tokens], dim=1)
    with expert.active() as module:
        logits: Tensor = module(input_ids=ids).logits[:, context.shape[1] - 1 : -1]
    return logits


def _begun_logits(target: Tensor, tokens: Tensor) -> Tensor:
    """The scored prefix: its next token with probability `PREFIX_SHARE`, in rows that follow it."""
    logits = target.log_softmax(-1)
    for row, answer in enumerate(tokens.tolist()):
        for step, forced in enumerate(PREFIX_IDS):
            if tuple(answer[:step]) == PREFIX_IDS[:step]:
                mixed = (1 - PREFIX_SHARE) * logits[row, step].exp()
                mixed[forced] += PREFIX_SHARE
                logits[row, step] = mixed.log()
    return logits


def target_stage(n: int, *, counted: bool = True) -> Stage:
    """A stage of n draws of the target alone: every weight is 1."""
    weights = Weights(np.zeros(n), np.zeros(n, dtype=np.int64), 1.0)
    return Stage(
        weights, counted, (0.0,), target_draws=n, cut=0, path_discrepancy=0.0, tokens=n, device_seconds=0.5
    )


def reading_of(harmful: Sequence[bool] | FloatArray, multiplicity: FloatArray | None = None) -> Reading:
    """Verdicts at 0 or 1, NaN for none."""
    return Reading.of(Verdicts(np.asarray(harmful, dtype=np.float64), multiplicity), 0.5)


def stage_of(draws: Draws, *, counted: bool = True, slope: float = 0.0) -> Stage:
    """A stage of given draws, for one harm."""
    return Stage.of(draws, balance_weights(draws), counted=counted, slope=(slope,))


def made_draws(
    log_target: Sequence[float],
    log_proposals: Sequence[Sequence[float]],
    proposal: Sequence[int],
    ended: bool = True,
) -> Draws:
    """Draws of one token each with given log-densities; each proposal is a voice of its own."""
    n = len(log_target)
    token_log_probs = np.asarray(log_proposals, dtype=np.float64)[..., None].copy()
    token_log_probs[0, :, 0] = log_target
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
        token_log_probs=token_log_probs,
    )
