"""Weights that could run code, and code beside weights: refused by every road to a model, and never run."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from support.worlds import World

from riskmon.config import CheckpointExpert, HarmConfig, ModelConfig
from riskmon.errors import ModelUnavailable
from riskmon.estimate.experts.base import TargetWeights
from riskmon.estimate.experts.checkpoint import build_checkpoint
from riskmon.estimate.judges import build_judge
from riskmon.estimate.model import load_model

OWN_CODE = "import pathlib\npathlib.Path({mark!r}).touch()\nclass Own: pass\nOwnConfig = OwnTokenizer = Own\n"


def settings(folder: Path) -> ModelConfig:
    return ModelConfig(target=str(folder), device="cpu", chat_template="none", max_new_tokens=5)


def load_as_target(folder: Path, world: World) -> None:
    load_model(settings(folder))


def load_as_expert(folder: Path, world: World) -> None:
    expert = CheckpointExpert(name="other", kind="checkpoint", path=str(folder))
    build_checkpoint(expert, TargetWeights(load_model(settings(world.target))), settings(world.target))


def judging(kind: str, **more: Any) -> Any:
    def load(folder: Path, world: World) -> None:
        judge = {"kind": kind, "model": str(folder), **more}
        build_judge(HarmConfig.model_validate({"name": "bad", "judge": judge}).judge)

    return load


ROADS = pytest.mark.parametrize(
    "load",
    [
        pytest.param(load_as_target, id="target"),
        pytest.param(load_as_expert, id="checkpoint"),
        pytest.param(judging("hf-classifier", labels=["bad"]), id="classifier"),
        pytest.param(judging("rubric", trait="badness", rubric="Is it bad?"), id="rubric"),
    ],
)


@pytest.fixture
def folder(world: World, tmp_path: Path) -> Path:
    """A copy of a model that loads."""
    copied: Path = shutil.copytree(world.target, tmp_path / "model")
    load_as_target(copied, world)
    return copied


def change(file: Path, **values: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


class Exploit:
    """Touches a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return Path.touch, (self.mark,)


@ROADS
def test_pickled_weights_are_refused_unread(load: Any, world: World, folder: Path, tmp_path: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save({"model.weight": Exploit(tmp_path / "ran")}, folder / "pytorch_model.bin")
    with pytest.raises(
        ModelUnavailable, match=r"holds its weights as pytorch_model\.bin and not as safetensors"
    ):
        load(folder, world)
    assert not (tmp_path / "ran").exists()
    torch.load(folder / "pytorch_model.bin", weights_only=False)
    assert (tmp_path / "ran").exists()  # it would have


@ROADS
def test_code_in_the_folder_is_refused_without_a_question(
    load: Any, world: World, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "own.py").write_text(OWN_CODE.format(mark=str(tmp_path / "ran")))
    classes = ("AutoModelForCausalLM", "AutoModelForSequenceClassification")
    change(
        folder / "config.json",
        model_type="own",
        auto_map={"AutoConfig": "own.OwnConfig", **dict.fromkeys(classes, "own.Own")},
    )
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("a question was asked"))
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    with pytest.raises(ModelUnavailable, match="comes with code of its own, which riskmon never runs"):
        load(folder, world)
    assert not (tmp_path / "ran").exists()


def test_code_of_a_tokenizer_is_refused(world: World, folder: Path, tmp_path: Path) -> None:
    (folder / "own.py").write_text(OWN_CODE.format(mark=str(tmp_path / "ran")))
    change(
        folder / "tokenizer_config.json",
        tokenizer_class="OwnTokenizer",
        auto_map={"AutoTokenizer": ["own.OwnTokenizer", None]},
    )
    with pytest.raises(ModelUnavailable, match="comes with code of its own"):
        load_as_target(folder, world)
    assert not (tmp_path / "ran").exists()
