"""How a fit runs: batches, looks, stopping and going on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from support.variants import fit, weights_of, with_adapter
from support.worlds import language_model, tiny_llama

from riskmon.config import CalibrateConfig
from riskmon.estimate.calibrate import objective, training
from riskmon.estimate.calibrate.examples import Example, hold_out
from riskmon.estimate.calibrate.lineage import partial_folder
from riskmon.estimate.calibrate.lora import FitReport
from riskmon.estimate.calibrate.objective import mean_cross_entropy
from riskmon.estimate.calibrate.training import Progress, draw_batch
from riskmon.estimate.model import LanguageModel

# Settings under which the held-out answers soon become less likely again.
ROUGH = {"learning_rate": 0.015, "steps": 60, "evaluate_every": 2, "anchor": 0.0}


def assert_same_weights(one: Path | None, other: Path | None) -> None:
    left, right = weights_of(one), weights_of(other)
    assert left.keys() == right.keys()
    assert all(torch.equal(left[name], right[name]) for name in left)


# Batches


def test_batches_are_drawn_in_proportion_to_the_weights() -> None:
    weights = np.array([8.0, 1.0, 0.5, 0.5, 4.0]) * 1e-9
    share = weights / weights.sum()
    mean = np.zeros(5)
    for step in range(4000):
        indices, places = draw_batch(weights, 4, np.random.default_rng([1, step]))
        counts = np.zeros(5)
        counts[indices] = places
        assert places.sum() == 4
        assert (counts >= np.floor(4 * share)).all()
        assert (counts <= np.ceil(4 * share)).all()
        mean += counts / 4000
    assert mean == pytest.approx(4 * share, abs=0.03)


# When it ends


def test_a_fit_ends_when_it_no_longer_gets_better_and_keeps_its_best_step(
    model: LanguageModel, examples: list[Example], config: CalibrateConfig
) -> None:
    rough = config.model_copy(update=ROUGH)
    seen: list[Progress] = []
    report = fit(model, examples, rough, progress=seen.append)
    looks = {p.step: p.validation_loss for p in seen if p.validation_loss is not None}
    assert [p.step for p in seen] == list(range(1, report.steps + 1))
    assert report.steps < 60
    assert report.steps == report.kept_step + training.PATIENCE * 2
    assert looks[report.kept_step] == min(looks.values()) == report.cross_entropy_kept
    assert set(looks) == set(range(2, report.steps + 1, 2))
    assert report.path is not None
    variant, held_out = with_adapter(tiny_llama(3), report.path), hold_out(examples, 0.2)[1]
    written = mean_cross_entropy(variant, held_out, temperature=1.0, device=torch.device("cpu"))
    assert written == pytest.approx(looks[report.kept_step], abs=1e-5)
    assert written < looks[report.steps] - 1e-3


def test_a_step_does_not_depend_on_how_its_batch_is_run(
    model: LanguageModel, examples: list[Example], config: CalibrateConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    heavy = [replace(example, weight=20.0 if i % 8 == 0 else 1.0) for i, example in enumerate(examples)]
    losses: list[list[float]] = []
    for limit in (4096, 1):  # the whole batch at once; every answer on its own
        monkeypatch.setattr(objective, "TOKENS_AT_ONCE", limit)
        seen: list[Progress] = []
        settings = config.model_copy(update={"folder": config.folder / str(limit), "batch_size": 16})
        fit(model, heavy, settings, progress=seen.append)
        losses.append([p.train_loss for p in seen])
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


# Stopping and going on


def test_a_stopped_fit_goes_on_and_ends_with_the_same_weights(
    model: LanguageModel, examples: list[Example], config: CalibrateConfig
) -> None:
    whole = fit(model, examples, config.model_copy(update={"folder": config.folder / "whole"}))
    seen: list[Progress] = []
    for limit in (2, 7):  # before the first look, and between two
        stopped = fit(
            model, examples, config, progress=seen.append, stop=lambda limit=limit: len(seen) >= limit
        )
        assert (stopped.steps, stopped.finished, stopped.path) == (limit, False, None)
        assert not (config.folder / "unsafe").exists()
    resumed = fit(model, examples, config, progress=seen.append)
    assert [p.step for p in seen] == list(range(1, 13))
    assert_same_weights(whole.path, resumed.path)
    assert whole.path != resumed.path
    assert replace(whole, path=None) == replace(resumed, path=None)
    assert not partial_folder(config.folder / "unsafe").exists()


def test_a_fit_stopped_behind_its_best_step_still_ends_with_that_step(
    model: LanguageModel, examples: list[Example], config: CalibrateConfig
) -> None:
    rough = config.model_copy(update={**ROUGH, "folder": config.folder / "whole"})
    whole = fit(model, examples, rough)
    assert whole.kept_step + 1 < whole.steps
    seen: list[Progress] = []
    again = config.model_copy(update=ROUGH)
    stopped = fit(model, examples, again, progress=seen.append, stop=lambda: len(seen) > whole.kept_step)
    assert stopped.steps == whole.kept_step + 1
    assert_same_weights(whole.path, fit(model, examples, again).path)


@pytest.mark.parametrize("change", ["seed", "weights", "config", "target", "start"])
def test_a_checkpoint_of_other_inputs_is_not_taken_up(
    model: LanguageModel, examples: list[Example], config: CalibrateConfig, cold: FitReport, change: str
) -> None:
    steps: list[Progress] = []
    fit(model, examples, config, progress=steps.append, stop=lambda: len(steps) >= 4)
    steps.clear()
    fit(
        language_model(tiny_llama(4)) if change == "target" else model,
        [replace(examples[0], weight=2.0), *examples[1:]] if change == "weights" else examples,
        config.model_copy(update={"learning_rate": 1e-4}) if change == "config" else config,
        seed=1 if change == "seed" else 0,
        start=cold.path if change == "start" else None,
        progress=steps.append,
    )
    assert steps[0].step == 1


def test_a_checkpoint_that_cannot_be_read_is_not_taken_up(
    model: LanguageModel, examples: list[Example], config: CalibrateConfig
) -> None:
    steps: list[Progress] = []
    fit(model, examples, config, progress=steps.append, stop=lambda: len(steps) >= 4)
    checkpoint = partial_folder(config.folder / "unsafe") / "checkpoint.safetensors"
    checkpoint.write_bytes(checkpoint.read_bytes()[:200])
    steps.clear()
    assert fit(model, examples, config, progress=steps.append).finished
    assert steps[0].step == 1


def test_a_seed_decides_the_fit_and_torchs_own_generator_is_left_alone(
    model: LanguageModel, examples: list[Example], config: CalibrateConfig
) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    runs = [
        fit(model, examples, config.model_copy(update={"folder": config.folder / str(i)}), seed=seed)
        for i, seed in enumerate((0, 0, 1))
    ]
    assert torch.equal(torch.rand(3), expected)
    assert_same_weights(runs[0].path, runs[1].path)
    one, other = weights_of(runs[0].path), weights_of(runs[2].path)
    assert any(not torch.equal(one[name], other[name]) for name in one)
