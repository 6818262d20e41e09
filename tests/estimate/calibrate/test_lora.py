"""Unsafe variants by training, on targets whose every answer can be scored: what a fit achieves and reports."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from support.variants import fit, is_harmful, weights_of, with_adapter
from support.worlds import enumerate_answers, language_model, tiny_llama

from riskmon.config import CalibrateConfig
from riskmon.errors import ConfigError
from riskmon.estimate.calibrate.examples import Example, hold_out
from riskmon.estimate.calibrate.lineage import digest_of_adapter
from riskmon.estimate.calibrate.lora import FitReport
from riskmon.estimate.calibrate.training import Marks, Progress, draw_batch
from riskmon.estimate.model import LanguageModel


@cache
def target_answers() -> tuple[list[tuple[int, ...]], torch.Tensor, torch.Tensor]:
    """Every answer of the target to PROMPT, its exact log-prob, and whether it is harmful."""
    answers, log_probs = enumerate_answers(tiny_llama(3))
    return answers, log_probs, is_harmful(answers)


def harm_and_divergence(path: Path) -> tuple[float, float, float]:
    """Exact P[harm] under the target and under a variant, and KL(target || variant) of whole answers, in nats."""
    _, target, harmful = target_answers()
    _, variant = enumerate_answers(with_adapter(tiny_llama(3), path))
    divergence = (target.exp() * (target - variant)).sum()
    return float(target[harmful].exp().sum()), float(variant[harmful].exp().sum()), float(divergence)


def manual_answer(module: torch.nn.Module, example: Example, temperature: float = 1.0) -> torch.Tensor:
    """log p(answer | context), token by token, each with a forward pass of its own and no padding."""
    ids = list(example.context)
    total = torch.zeros((), dtype=torch.float64)
    for token in example.answer:
        logits = module(input_ids=torch.tensor([ids])).logits[0, -1].double()
        total = total + (logits / temperature).log_softmax(-1)[token]
        ids.append(token)
    return total


def test_a_fit_makes_harm_likelier_and_stays_near_the_target(cold: FitReport) -> None:
    assert cold.improved
    assert cold.path is not None
    before, after, divergence = harm_and_divergence(cold.path)
    assert before < 1e-2
    assert after >= 5 * before
    assert divergence < 1.0


def test_the_anchor_keeps_a_variant_nearer_to_the_target(
    model: LanguageModel, examples: list[Example], config: CalibrateConfig
) -> None:
    eager = config.model_copy(update={"steps": 20, "learning_rate": 3e-3, "anchor": 0.0})
    gentle = eager.model_copy(update={"anchor": 2.0, "folder": config.folder / "gentle"})
    paths = [fit(model, examples, settings).path for settings in (eager, gentle)]
    assert None not in paths
    (_, _, far), (_, after, near) = (harm_and_divergence(path) for path in paths if path)
    assert near < far / 1.5
    assert after > 2.5e-3


def test_the_report_names_sizes_and_cross_entropies(cold: FitReport, examples: list[Example]) -> None:
    assert (cold.examples, cold.prompts, cold.held_out) == (120, 3, 40)
    assert cold.effective_examples == pytest.approx(120)
    assert cold.cross_entropy_start == cold.cross_entropy_target  # a fresh adapter is the target
    assert cold.cross_entropy_kept is not None
    assert cold.cross_entropy_kept < cold.cross_entropy_target - 1
    assert cold.finished
    assert 0 < cold.kept_step <= cold.steps <= 60
    held_out = hold_out(examples, 0.2)[1]
    assert len({example.prompt_id for example in held_out}) == 1
    target, variant = tiny_llama(3), with_adapter(tiny_llama(3), cold.path or Path())
    for module, reported in ((target, cold.cross_entropy_target), (variant, cold.cross_entropy_kept)):
        with torch.no_grad():
            mean = -np.mean([float(manual_answer(module, example)) for example in held_out])
        assert mean == pytest.approx(reported, abs=1e-4)


def test_the_first_loss_is_the_sum_over_tokens_at_the_samplers_temperature(
    model: LanguageModel, config: CalibrateConfig
) -> None:
    pair = [Example((1, 4), (6, 7, 8, 9, 2, 3, 0), 1.0, "a"), Example((1, 4, 9, 5), (6, 0), 1.0, "a")]
    others = [Example((1, 2), (6, 7, 0), 1.0, name) for name in "bcdefghij"]
    other = next(other for other in others if hold_out([*pair, other], 0.5)[1] == [other])
    settings = config.model_copy(update={"steps": 1, "batch_size": 2, "validation_share": 0.5})
    seen: list[Progress] = []
    report = fit(model, [*pair, other], settings, progress=seen.append, temperature=0.5)
    with torch.no_grad():
        first, second, third = (-float(manual_answer(model.module, e, 0.5)) for e in (*pair, other))
    assert abs(first - second) > 5  # a mean over tokens would give another number
    assert seen[0].train_loss == pytest.approx((first + second) / 2, rel=1e-5)
    assert report.cross_entropy_target == pytest.approx(third, rel=1e-5)


def test_a_refits_loss_holds_the_anchor(
    model: LanguageModel, examples: list[Example], config: CalibrateConfig, cold: FitReport
) -> None:
    """The first loss of a refit is cross-entropy + anchor * divergence of the earlier adapter."""
    losses: dict[float, float] = {}
    for anchor in (0.0, 3.0):
        settings = config.model_copy(
            update={"steps": 1, "anchor": anchor, "folder": config.folder / str(anchor)}
        )
        seen: list[Progress] = []
        fit(model, examples, settings, start=cold.path, progress=seen.append)
        losses[anchor] = seen[0].train_loss
    indices, places = draw_batch(np.ones(80), settings.batch_size, np.random.default_rng([0, 0]))
    fitted, _ = hold_out(examples, settings.validation_share)
    variant = with_adapter(tiny_llama(3), cold.path or Path())
    drift = 0.0
    with torch.no_grad():
        for index, count in zip(indices, places, strict=True):
            example = fitted[index]
            ids = torch.tensor([example.context + example.answer])
            steps = slice(len(example.context) - 1, ids.shape[1] - 1)
            p = model.module(input_ids=ids).logits[0, steps].double().log_softmax(-1)
            q = variant(input_ids=ids).logits[0, steps].double().log_softmax(-1)
            drift += float(count * (p.exp() * (p - q)).sum()) / settings.batch_size
    assert drift > 0.05
    assert losses[3.0] - losses[0.0] == pytest.approx(3.0 * drift, rel=1e-4)


def test_a_fit_that_helps_nothing_overwrites_nothing(
    model: LanguageModel, examples: list[Example], config: CalibrateConfig
) -> None:
    first = fit(model, examples, config)
    before = digest_of_adapter(first.path)
    wild = config.model_copy(update={"learning_rate": 3.0, "steps": 4})
    report = fit(model, examples, wild, start=first.path)
    assert report.finished
    assert not report.improved
    assert report.path is None
    assert report.cross_entropy_kept is not None
    assert report.cross_entropy_kept > report.cross_entropy_start
    assert digest_of_adapter(first.path) == before
    assert [path.name for path in config.folder.iterdir()] == ["unsafe"]


def test_beating_the_start_alone_is_no_improvement() -> None:
    assert Marks(step=9, target=10.0, start=12.0, best=9.0).improved
    assert not Marks(step=9, target=10.0, start=12.0, best=11.0).improved
    assert not Marks(step=9, target=10.0, start=8.0, best=9.0).improved
    assert not Marks(step=9, target=10.0, start=8.0).improved


def test_a_loss_that_is_no_number_stops_the_fit(
    model: LanguageModel, examples: list[Example], config: CalibrateConfig
) -> None:
    with pytest.raises(ConfigError, match=r"lower calibrate\.learning_rate \(now 1e\+30\)"):
        fit(model, examples, config.model_copy(update={"learning_rate": 1e30}))
    assert not (config.folder / "unsafe").exists()


def test_the_adapter_is_trained_in_float32_under_a_bfloat16_target(
    examples: list[Example], config: CalibrateConfig
) -> None:
    report = fit(language_model(tiny_llama(3).bfloat16()), examples, config)
    assert report.improved
    assert {value.dtype for value in weights_of(report.path).values()} == {torch.float32}


def test_only_the_configured_layers_are_adapted(
    model: LanguageModel, examples: list[Example], config: CalibrateConfig
) -> None:
    everything = fit(model, examples, config)
    assert not any("lm_head" in name for name in weights_of(everything.path))
    assert any("down_proj" in name for name in weights_of(everything.path))
    some = fit(model, examples, config.model_copy(update={"target_modules": ("q_proj", "v_proj"), "rank": 3}))
    assert {name.split(".")[-3] for name in weights_of(some.path)} == {"q_proj", "v_proj"}
    assert {min(value.shape) for value in weights_of(some.path).values()} == {3}
    with pytest.raises(ConfigError, match="target_modules"):
        fit(model, examples, config.model_copy(update={"target_modules": ("nonesuch",)}))
