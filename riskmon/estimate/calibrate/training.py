"""The fit itself: batches, steps, looks at the held-out examples, and checkpoints to go on from.

**Batches.** Step s draws `batch_size` places from the examples with probability proportional to their weights
v and counts each place once, so the mean gradient is that of the weighted objective, weights untempered. The
places are equally spaced over the sum of the weights, in a fresh random order with one random offset
(systematic sampling): an example with a share f of the weight gets floor(f B) or ceil(f B) of B places. So a
heavy example appears often and at the size of any other, instead of rarely and with a gradient that throws
the variant about; it gets the share of the fit that its weight says and no single step gives it more.

**Looks.** Every `evaluate_every` steps, and after the last, the weighted cross-entropy of the held-out
examples is taken; the step with the lowest is the one kept, and the fit ends after PATIENCE looks in a row
without a new lowest.

**Checkpoints.** One safetensors file holds the adapter now and at its best, AdamW's moments, and the step.
Batch s depends on the seed and on s only, so the step is all there is to know of the random numbers. On a
CPU, the same inputs give the same weights, stopped and resumed or not.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from riskmon.config import CalibrateConfig
from riskmon.errors import ConfigError
from riskmon.estimate.calibrate.adapters import put_back, snapshot, trainable
from riskmon.estimate.calibrate.examples import Example
from riskmon.estimate.calibrate.lineage import write_private
from riskmon.estimate.calibrate.objective import (
    mean_cross_entropy,
    next_log_probs,
    rows_of,
    token_log_probs,
    weighted_cross_entropy,
    weighted_divergence,
)
from riskmon.records.arrays import FloatArray, IntArray

log = logging.getLogger(__name__)

# Looks without a new lowest cross-entropy after which a fit ends.
PATIENCE = 3


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a fit is.

    Attributes:
        step: steps done. steps: most steps.
        train_loss: the objective on the step's batch, in nats per answer, anchor included.
        validation_loss: weighted cross-entropy of the held-out examples in nats per answer; None between looks.
    """

    step: int
    steps: int
    train_loss: float
    validation_loss: float | None


@dataclass(frozen=True, slots=True)
class Marks:
    """What a fit knows of itself; cross-entropies are of the held-out examples, in nats per answer.

    Attributes:
        step: steps done.
        target: cross-entropy under the target. start: under the adapter the fit began with.
        best: the lowest after the start, at step `best_step`; None before the first look.
    """

    step: int
    target: float
    start: float
    best: float | None = None
    best_step: int = 0

    @property
    def improved(self) -> bool:
        """Whether some step beats both the target and the start."""
        return self.best is not None and self.best < min(self.target, self.start)


@dataclass(frozen=True, eq=False)
class Fit:
    """What stays the same from the first step to the last.

    Attributes:
        variant: PeftModel with one trainable adapter.
        fitted: examples to fit. held_out: examples to choose the step by.
        seed: of the batches, from 0 on. temperature: divides the logits, as the deployed sampler does.
        checkpoint: file to go on from. digest: of all inputs; a checkpoint of others is not read.
    """

    variant: Any
    fitted: Sequence[Example]
    held_out: Sequence[Example]
    config: CalibrateConfig
    seed: int
    temperature: float
    device: torch.device
    checkpoint: Path
    digest: str

    def cross_entropy(self) -> float:
        """Of the held-out examples under the adapter in force."""
        return mean_cross_entropy(
            self.variant, self.held_out, temperature=self.temperature, device=self.device
        )


def train(fit: Fit, progress: Callable[[Progress], None], stop: Callable[[], bool]) -> tuple[Marks, bool]:
    """Fit the adapter in place, from the checkpoint if there is one.

    Returns:
        The marks, and whether the fit is over. If it is, the adapter stands at its best step; if `stop` ended it
        early, a checkpoint is there.

    Raises:
        ConfigError: the loss is no longer a number, or the checkpoint cannot be written.
    """
    parameters = trainable(fit.variant)
    optimizer = torch.optim.AdamW(parameters.values(), lr=fit.config.learning_rate, weight_decay=0.0)
    marks, best = _resume(fit, optimizer) or (_first_marks(fit), snapshot(parameters))
    while not _over(marks, fit.config):
        if stop():
            _save(fit, optimizer, marks, best)
            return marks, False
        loss = _step(fit, optimizer, marks.step)
        marks = Marks(**{**asdict(marks), "step": marks.step + 1})
        validation = None
        if _look_due(marks, fit.config):
            validation = _finite(fit.cross_entropy(), marks.step, fit.config)
            if marks.best is None or validation < marks.best:
                marks = Marks(**{**asdict(marks), "best": validation, "best_step": marks.step})
                best = snapshot(parameters)
            _save(fit, optimizer, marks, best)
        progress(Progress(marks.step, fit.config.steps, loss, validation))
    put_back(parameters, best)
    return marks, True


def draw_batch(weights: FloatArray, size: int, rng: np.random.Generator) -> tuple[IntArray, IntArray]:
    """Systematic sampling in proportion to weights.

    Args:
        weights: [n], above 0.
        size: places to give.

    Returns:
        Indices of the examples drawn, each once, and the number of places each has; these add up to `size`.
    """
    order = rng.permutation(len(weights))
    edges = np.cumsum(weights[order] / weights.sum())
    points = (rng.random() + np.arange(size)) / size * edges[-1]
    places = np.minimum(np.searchsorted(edges, points, side="right"), len(weights) - 1)
    indices, counts = np.unique(order[places], return_counts=True)
    return indices.astype(np.int64), counts.astype(np.int64)


def _first_marks(fit: Fit) -> Marks:
    with fit.variant.disable_adapter():
        target = fit.cross_entropy()
    return Marks(
        step=0, target=_finite(target, 0, fit.config), start=_finite(fit.cross_entropy(), 0, fit.config)
    )


def _look_due(marks: Marks, config: CalibrateConfig) -> bool:
    return marks.step % config.evaluate_every == 0 or marks.step == config.steps


def _over(marks: Marks, config: CalibrateConfig) -> bool:
    return marks.step >= config.steps or marks.step - marks.best_step >= PATIENCE * config.evaluate_every


def _step(fit: Fit, optimizer: torch.optim.Optimizer, step: int) -> float:
    """One optimiser step on one batch; returns its objective in nats per answer."""
    weights = np.array([example.weight for example in fit.fitted])
    indices, places = draw_batch(weights, fit.config.batch_size, np.random.default_rng([fit.seed, step]))
    examples, counts = [fit.fitted[i] for i in indices], [float(count) for count in places]
    optimizer.zero_grad()
    total = 0.0
    for rows in rows_of(examples, counts, fit.device):
        share = float(rows.weights.sum()) / fit.config.batch_size
        anchor = None
        if fit.config.anchor:
            with torch.no_grad(), fit.variant.disable_adapter():
                anchor = next_log_probs(fit.variant, rows, fit.temperature)
        with torch.enable_grad():
            log_probs = next_log_probs(fit.variant, rows, fit.temperature)
            loss = weighted_cross_entropy(token_log_probs(log_probs, rows), rows.mask, rows.weights)
            if anchor is not None:
                drift = weighted_divergence(anchor, log_probs, rows.mask, rows.weights)
                loss = loss + fit.config.anchor * drift
            (share * loss).backward()  # type: ignore[no-untyped-call]
        total += share * float(loss.detach())
    _finite(total, step + 1, fit.config)
    optimizer.step()
    return total


def _finite(loss: float, step: int, config: CalibrateConfig) -> float:
    if not np.isfinite(loss):
        raise ConfigError(
            f"the fit's loss is {loss} at step {step}; lower calibrate.learning_rate (now {config.learning_rate:g}), "
            "or set model.dtype to float32 or bfloat16"
        )
    return loss


def _save(fit: Fit, optimizer: torch.optim.Optimizer, marks: Marks, best: dict[str, Tensor]) -> None:
    tensors = {f"now.{name}": value for name, value in snapshot(trainable(fit.variant)).items()}
    tensors |= {f"best.{name}": value for name, value in best.items()}
    for index, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"moment.{index}.{key}": value.to("cpu") for key, value in moments.items()}
    header = {"digest": fit.digest, "marks": json.dumps(asdict(marks))}
    write_private(fit.checkpoint, save({name: value.contiguous() for name, value in tensors.items()}, header))


def _resume(fit: Fit, optimizer: torch.optim.Optimizer) -> tuple[Marks, dict[str, Tensor]] | None:
    """Take up a checkpoint of the same inputs; None where there is none."""
    if not fit.checkpoint.is_file():
        return None
    try:
        with safe_open(fit.checkpoint, framework="pt") as file:
            header = file.metadata() or {}
            tensors: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as exc:
        log.warning(
            "the checkpoint %s cannot be read (%s); the fit starts anew", fit.checkpoint, type(exc).__name__
        )
        return None
    if header.get("digest") != fit.digest:
        log.info("the checkpoint %s is of other inputs; the fit starts anew", fit.checkpoint)
        return None
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith("moment."):
            _, index, key = name.split(".")
            state.setdefault(int(index), {})[key] = value
    put_back(
        trainable(fit.variant),
        {k.removeprefix("now."): v for k, v in tensors.items() if k.startswith("now.")},
    )
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    marks = Marks(**json.loads(header["marks"]))
    log.info("the fit goes on from step %d", marks.step)
    return marks, {k.removeprefix("best."): v for k, v in tensors.items() if k.startswith("best.")}
