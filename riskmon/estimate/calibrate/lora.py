"""An unsafe variant by training: a LoRA adapter fitted to the target's harmful answers.

In come the target, weighted examples and the settings; out comes an adapter folder that the `lora` expert
loads, and a report. The fit is weighted maximum likelihood, the cross-entropy objective (`objective`), kept
near the target by an anchor: the harm that a hard-fitted variant produces is not the harm that the target
produces, and estimates from it are low with small error bars. A variant is kept only where it gives held-out
harmful answers of the target a higher probability than the target does, and than the adapter it began with.

A cold start fits a fresh adapter to what people or personas wrote; a refit goes on from the adapter before
(`start`) with the harmful draws of the cycles since. Either can be stopped and taken up again (`training`),
and says where it came from (`lineage`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import save

from riskmon import __version__
from riskmon.config import CalibrateConfig
from riskmon.estimate.calibrate.adapters import (
    CONFIG_FILE,
    WEIGHTS_FILE,
    attached,
    config_to_save,
    weights_to_save,
)
from riskmon.estimate.calibrate.examples import Example, effective_number, hold_out, mark_of
from riskmon.estimate.calibrate.lineage import (
    LINEAGE_FILE,
    check_folder,
    describe_target,
    digest_of_adapter,
    digest_of_examples,
    discard_partial,
    fitted_marks,
    make_private,
    partial_folder,
    publish,
    settings_of,
)
from riskmon.estimate.calibrate.training import Fit, Marks, Progress, train
from riskmon.estimate.model import LanguageModel


@dataclass(frozen=True, slots=True)
class FitReport:
    """What a fit did; cross-entropies are of the held-out examples, weighted, in nats per answer.

    Attributes:
        steps: optimiser steps done, those before an interruption included. kept_step: the best of them.
        finished: False where it was stopped; the same call goes on from there.
        improved: whether the best step beats both the target and the start; only then is an adapter written.
        cross_entropy_target: under the target. cross_entropy_start: under the adapter the fit began with, which is
            the target itself unless it began with another.
        cross_entropy_kept: at the best step; None before the first look.
        examples, prompts: given. held_out: examples among them that chose the step.
        effective_examples: the examples' effective number by weight.
        path: folder of the new adapter; None where none was written.
    """

    steps: int
    kept_step: int
    finished: bool
    improved: bool
    cross_entropy_target: float
    cross_entropy_start: float
    cross_entropy_kept: float | None
    examples: int
    prompts: int
    held_out: int
    effective_examples: float
    path: Path | None


def never() -> bool:
    """A `stop` that does not."""
    return False


def fit_lora(
    model: LanguageModel,
    examples: Sequence[Example],
    config: CalibrateConfig,
    folder: Path,
    *,
    start: Path | None,
    lineage: Mapping[str, str],
    seed: int,
    progress: Callable[[Progress], None],
    stop: Callable[[], bool] = never,
    temperature: float = 1.0,
) -> FitReport:
    """Fit a LoRA adapter to weighted examples and put it on disk.

    Args:
        model: the target, which carries no adapter; it is left exactly as it was.
        examples: harmful answers with weights w h; at least two distinct ones.
        folder: the variant's folder, directly inside config.folder (see `variant_folder`). What is there is kept
            as NAME-<n>.
        start: folder of an adapter to go on from, whose own rank and layers then hold; None for a fresh one.
        lineage: what the caller knows of the examples, such as judge ids; kept in lineage.json. No prompt text.
        seed: from 0 on; of the fresh adapter and of the batches.
        progress: called after every step.
        stop: asked before every step; once it is true, a checkpoint is written and the fit returns unfinished.
        temperature: of the deployed sampler, so that what is fitted is what is drawn from.

    Raises:
        ConfigError: the folder lies outside config.folder or has an odd name, nothing can be written there, the target
            lacks the configured layers, or the loss is no longer a number.
        InputError: fewer than two distinct examples.
        ModelUnavailable: `start` holds no LoRA adapter.
        ExpertUnusable: the adapter in `start` does not fit the target.
    """
    check_folder(config, folder)
    fitted, held_out = hold_out(examples, config.validation_share, config.hold_out)
    origin = {
        **describe_target(model.module),
        "examples_sha256": digest_of_examples(examples),
        "parent_sha256": digest_of_adapter(start),
        "seed": seed,
        "temperature": temperature,
        "settings": settings_of(config),
    }
    with attached(model.module, config, start, seed) as variant:
        make_private(folder.parent)
        make_private(partial_folder(folder))
        fit = Fit(
            variant=variant,
            fitted=fitted,
            held_out=held_out,
            config=config,
            seed=seed,
            temperature=temperature,
            device=model.device,
            checkpoint=partial_folder(folder) / "checkpoint.safetensors",
            digest=hashlib.sha256(json.dumps(origin, sort_keys=True).encode()).hexdigest(),
        )
        marks, finished = train(fit, progress, stop)
        report = _report(examples, held_out, marks, folder if finished and marks.improved else None, finished)
        if report.path is not None:
            marks_of_fitted = {mark_of(e.prompt_id, e.answer) for e in fitted} | fitted_marks(start)
            publish(report.path, _files(variant, origin, lineage, report, marks_of_fitted))
    if finished:
        discard_partial(folder)
    return report


def _report(
    examples: Sequence[Example],
    held_out: Sequence[Example],
    marks: Marks,
    path: Path | None,
    finished: bool,
) -> FitReport:
    return FitReport(
        steps=marks.step,
        kept_step=marks.best_step,
        finished=finished,
        improved=marks.improved,
        cross_entropy_target=marks.target,
        cross_entropy_start=marks.start,
        cross_entropy_kept=marks.best,
        examples=len(examples),
        prompts=len({example.prompt_id for example in examples}),
        held_out=len(held_out),
        effective_examples=effective_number(examples),
        path=path,
    )


def _files(
    variant: Any,
    origin: Mapping[str, Any],
    lineage: Mapping[str, str],
    report: FitReport,
    fitted: Iterable[str],
) -> dict[str, bytes]:
    """The adapter's files by name."""
    history = {
        "riskmon": __version__,
        **origin,
        "origin": dict(lineage),
        "examples": report.examples,
        "prompts": report.prompts,
        "held_out": report.held_out,
        "effective_examples": report.effective_examples,
        "steps": report.steps,
        "kept_step": report.kept_step,
        "cross_entropy_target": report.cross_entropy_target,
        "cross_entropy_start": report.cross_entropy_start,
        "cross_entropy_kept": report.cross_entropy_kept,
        "fitted": sorted(fitted),
    }
    return {
        WEIGHTS_FILE: save(weights_to_save(variant), {"format": "pt"}),
        CONFIG_FILE: config_to_save(variant).encode(),
        LINEAGE_FILE: (json.dumps(history, indent=2, sort_keys=True) + "\n").encode(),
    }
