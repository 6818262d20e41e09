"""What a fit leaves behind: the target as it was, a private adapter, and its history."""

from __future__ import annotations

import copy
import json
import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from support.variants import fit, harmful_examples, weights_of, with_adapter
from support.worlds import PROMPT, WORDS, language_model, tiny_llama

from riskmon.config import CalibrateConfig
from riskmon.errors import ConfigError, ExpertUnusable, ModelUnavailable
from riskmon.estimate.calibrate.adapters import attached
from riskmon.estimate.calibrate.examples import Example, hold_out, mark_of
from riskmon.estimate.calibrate.lineage import (
    LINEAGE_FILE,
    digest_of_adapter,
    fitted_marks,
    make_private,
    variant_folder,
)
from riskmon.estimate.calibrate.lora import FitReport, fit_lora
from riskmon.estimate.calibrate.training import Progress
from riskmon.estimate.experts.base import TargetWeights
from riskmon.estimate.model import LanguageModel

# The target, and adapters to go on from


def test_the_target_is_left_exactly_as_it_was(
    examples: list[Example], config: CalibrateConfig, cold: FitReport, tmp_path: Path
) -> None:
    module = tiny_llama(3).train()
    model = language_model(module)
    module.lm_head.weight.requires_grad_(True)
    ids = torch.tensor([[1, 4, 9, 5]])
    state = {name: value.clone() for name, value in module.state_dict().items()}
    names, logits = [name for name, _ in module.named_modules()], module(input_ids=ids).logits
    own, settings = set(vars(module)), module.config.to_dict()

    misfit = tmp_path / "misfit"
    wide = config.model_copy(update={"folder": misfit, "target_modules": ("q_proj",)})
    other = tiny_llama(3, words=WORDS)
    other.model.layers[0].self_attn.q_proj = torch.nn.Linear(16, 20, bias=False)
    with attached(other, wide, None, 0) as variant:
        variant.save_pretrained(misfit)

    assert fit(model, examples, config).improved
    assert fit(model, examples, config, start=cold.path).finished
    with pytest.raises(ExpertUnusable, match="does not fit the target"):
        fit(model, examples, config, start=misfit)
    with pytest.raises(KeyboardInterrupt):
        fit(model, examples, config, seed=7, progress=_interrupt)

    assert torch.equal(module(input_ids=ids).logits, logits)
    assert all(torch.equal(value, state[name]) for name, value in module.state_dict().items())
    assert [name for name, _ in module.named_modules()] == names
    assert not any(isinstance(layer, BaseTunerLayer) for layer in module.modules())
    assert all(layer.training for layer in module.modules())
    assert [name for name, p in module.named_parameters() if p.requires_grad] == ["lm_head.weight"]
    assert all(p.grad is None for p in module.parameters())
    assert set(vars(module)) == own
    assert module.config.to_dict() == settings


def _interrupt(progress: Progress) -> None:
    raise KeyboardInterrupt


def test_a_refit_goes_on_from_the_adapter_before_and_keeps_it(
    model: LanguageModel, examples: list[Example], cold: FitReport, config: CalibrateConfig
) -> None:
    first = fit(model, examples, config)
    weights = weights_of(first.path)
    more = harmful_examples(tiny_llama(3), 30, seed=1)
    second = fit(model, more, config, start=first.path)
    assert second.improved
    assert second.cross_entropy_start < second.cross_entropy_target
    assert second.cross_entropy_kept is not None
    assert second.cross_entropy_kept < second.cross_entropy_start
    assert second.path == first.path == config.folder / "unsafe"
    third = fit(model, examples, config, start=second.path)
    assert third.improved

    assert sorted(path.name for path in config.folder.iterdir()) == ["unsafe", "unsafe-1", "unsafe-2"]
    kept = weights_of(config.folder / "unsafe-1")
    assert all(torch.equal(kept[name], weights[name]) for name in weights)
    parents = [
        json.loads((config.folder / name / "lineage.json").read_text())["parent_sha256"]
        for name in ("unsafe-1", "unsafe-2", "unsafe")
    ]
    assert parents == [
        None,
        digest_of_adapter(config.folder / "unsafe-1"),
        digest_of_adapter(config.folder / "unsafe-2"),
    ]


def test_a_start_that_is_no_adapter_is_refused(
    model: LanguageModel, examples: list[Example], config: CalibrateConfig, cold: FitReport, tmp_path: Path
) -> None:
    start = tmp_path / "start"
    start.mkdir()
    with pytest.raises(ModelUnavailable, match=r"no adapter_config\.json"):
        fit(model, examples, config, start=start)
    assert cold.path is not None
    settings = json.loads((cold.path / "adapter_config.json").read_text())
    (start / "adapter_config.json").write_text(json.dumps(settings | {"peft_type": "IA3"}))
    (start / "adapter_model.bin").write_bytes(b"pickled")
    with pytest.raises(ModelUnavailable, match=r"no adapter_model\.safetensors"):
        fit(model, examples, config, start=start)
    (start / "adapter_model.safetensors").write_bytes(b"broken")
    with pytest.raises(ModelUnavailable, match="cannot be read"):
        fit(model, examples, config, start=start)
    (start / "adapter_model.safetensors").write_bytes((cold.path / "adapter_model.safetensors").read_bytes())
    with pytest.raises(ModelUnavailable, match="'IA3'"):
        fit(model, examples, config, start=start)
    (start / "adapter_config.json").write_text(json.dumps(settings | {"target_modules": ["q_proj"]}))
    with pytest.raises(ExpertUnusable, match="for other layers"):
        fit(model, examples, config, start=start)


def test_a_target_that_carries_an_adapter_is_refused(
    model: LanguageModel, examples: list[Example], config: CalibrateConfig
) -> None:
    with attached(model.module, config, None, 0), pytest.raises(ValueError, match="an adapter already"):
        fit(model, examples, config)


def test_the_variant_loads_as_an_expert(cold: FitReport) -> None:
    model = language_model(copy.deepcopy(tiny_llama(3)))
    weights = TargetWeights(model)
    assert cold.path is not None
    weights.add_adapter("unsafe", cold.path)
    ids = torch.tensor([[1, 4, 9, 5]])
    with torch.no_grad(), weights.active("unsafe") as network:
        assert torch.equal(network(ids).logits, with_adapter(tiny_llama(3), cold.path)(ids).logits)


# What is written, and where


def test_what_is_written_is_private(cold: FitReport, model: LanguageModel, examples: list[Example]) -> None:
    assert cold.path is not None
    config = CalibrateConfig(folder=cold.path.parent, steps=2)
    steps: list[Progress] = []
    other = fit_lora(
        model,
        examples,
        config,
        variant_folder(config, "other"),
        start=None,
        lineage={},
        seed=0,
        progress=steps.append,
        stop=lambda: bool(steps),
    )
    assert not other.finished
    found = [cold.path.parent, *cold.path.parent.rglob("*")]
    assert {path.name for path in found if path.is_file()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
        "lineage.json",
        "checkpoint.safetensors",
    }
    for path in found:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


@pytest.mark.parametrize(
    "name", ["../out", "a/b", "/tmp/out", "..", ".", "", "Bad", "a-1", ".partial-a", "a" * 41]
)
def test_odd_names_are_refused(config: CalibrateConfig, name: str) -> None:
    with pytest.raises(ConfigError, match="cannot be named"):
        variant_folder(config, name)
    assert not config.folder.exists()


def test_folders_elsewhere_are_refused(
    model: LanguageModel, examples: list[Example], config: CalibrateConfig, tmp_path: Path
) -> None:
    given = {"start": None, "lineage": {}, "seed": 0, "progress": lambda progress: None}
    outside = (
        tmp_path / "elsewhere" / "unsafe",
        config.folder / "deeper" / "unsafe",
        config.folder / ".." / "unsafe",
    )
    for folder in outside:
        with pytest.raises(ConfigError, match="not directly inside"):
            fit_lora(model, examples, config, folder, **given)
    config.folder.mkdir()
    for link in (config.folder / "unsafe", config.folder / ".partial-unsafe"):
        link.symlink_to(tmp_path)
        with pytest.raises(ConfigError, match="is a link"):
            fit_lora(model, examples, config, config.folder / "unsafe", **given)
        link.unlink()
    assert list(tmp_path.iterdir()) == [config.folder]
    assert list(config.folder.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_a_fault_of_the_configuration(
    model: LanguageModel, examples: list[Example], config: CalibrateConfig, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot write"):
        fit(model, examples, config.model_copy(update={"folder": tmp_path / "file" / "proposals"}))


def test_the_lineage_says_what_made_it_and_holds_no_prompt(cold: FitReport) -> None:
    assert cold.path is not None
    text = (cold.path / "lineage.json").read_text()
    lineage = json.loads(text)
    assert lineage["origin"] == {"judge": "words@3f"}
    assert lineage["parent_sha256"] is None
    assert lineage["target_revision"] is None
    assert len(lineage["examples_sha256"]) == len(lineage["target_fingerprint"]) == 64
    assert lineage["cross_entropy_kept"] == cold.cross_entropy_kept
    assert lineage["cross_entropy_target"] == cold.cross_entropy_target
    assert (lineage["steps"], lineage["kept_step"], lineage["seed"]) == (cold.steps, cold.kept_step, 0)
    assert lineage["settings"]["learning_rate"] == 3e-4
    assert "folder" not in lineage["settings"]
    assert PROMPT not in text
    assert str(cold.path.parent) not in text


# What was fitted


def test_the_marks_are_those_of_fitted_examples_and_of_the_parents(
    model: LanguageModel, examples: list[Example], config: CalibrateConfig, cold: FitReport
) -> None:
    defaults = CalibrateConfig()
    fitted, held_out = hold_out(examples, defaults.validation_share, defaults.hold_out)
    assert held_out
    assert fitted_marks(cold.path) == {mark_of(e.prompt_id, e.answer) for e in fitted}

    later = [replace(example, prompt_id=f"later {example.prompt_id}") for example in examples]
    again = fit(model, later, config, start=cold.path)
    assert again.path is not None
    own, _ = hold_out(later, config.validation_share, config.hold_out)
    assert fitted_marks(again.path) == fitted_marks(cold.path) | {mark_of(e.prompt_id, e.answer) for e in own}


@pytest.mark.parametrize("content", [None, b"{", b"[]", b'{"fitted": 3}', b"{}"])
def test_an_adapter_that_does_not_tell_has_no_marks(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / LINEAGE_FILE).write_bytes(content)
    assert fitted_marks(tmp_path) == frozenset()
    assert fitted_marks(None) == frozenset()


def test_a_folder_that_is_open_to_others_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "proposals"
    folder.mkdir()
    folder.chmod(0o755)
    make_private(folder)
    assert f"{folder} is open to other users (mode 0755); run: chmod 700 {folder}" in caplog.text
    caplog.clear()
    before = os.umask(0)
    try:
        make_private(tmp_path / "other")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "other").stat().st_mode) == 0o700
    assert caplog.text == ""
