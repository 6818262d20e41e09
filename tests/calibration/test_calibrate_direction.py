"""`riskmon calibrate direction`: from two files of prompts to an expert that works."""

from __future__ import annotations

import hashlib
import stat
from pathlib import Path

import pytest
import yaml
from safetensors import safe_open
from support.calibration import settings_of, shown, write_prompts
from support.worlds import World

from riskmon import __version__
from riskmon.calibration.direction import calibrate_direction
from riskmon.config import Config
from riskmon.errors import ConfigError, InputError
from riskmon.estimate.opening import open_session
from riskmon.records import Prompt

UNSAFE = ("ask bad", "bad worse SECRET", "worse and bad red", "bad or worse ask", "ask worse", "bad bad")
SAFE = ("ask good", "good calm SECRET", "calm and good red", "good or calm ask", "ask calm", "good good")


@pytest.fixture
def config(world: World, tmp_path: Path) -> Config:
    return settings_of(world, tmp_path)


@pytest.fixture
def sets(tmp_path: Path) -> tuple[Path, Path]:
    return write_prompts(tmp_path / "unsafe.jsonl", UNSAFE), write_prompts(tmp_path / "safe.jsonl", SAFE)


def test_the_experts_it_suggests_work(
    world: World, config: Config, sets: tuple[Path, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    code, screen = shown(calibrate_direction, config, *sets, "refusal")
    assert code == 0
    pasted = [yaml.safe_load(line.removeprefix("  - ")) for line in screen.splitlines() if "{name:" in line]
    assert [expert["operation"] for expert in pasted] == ["ablate", "add"]
    session = open_session(settings_of(world, tmp_path, experts=pasted))
    assert min(session.contrasts.values()) > 0
    estimates = session.estimate(Prompt("a", "ask red or blue")).estimates
    assert [one.n for one in estimates] == [400, 400]
    assert "reading prompts: 12 of 12" in caplog.text
    assert "SECRET" not in screen + caplog.text


def test_the_file_says_where_it_comes_from_and_the_table_which_layer(
    world: World, config: Config, sets: tuple[Path, Path]
) -> None:
    _, screen = shown(calibrate_direction, config, *sets, "refusal")
    path = config.calibrate.folder / "refusal.safetensors"
    with safe_open(path, framework="np") as file:
        metadata = file.metadata()
    assert metadata["target"] == str(world.target)
    assert metadata["unsafe_sha256"] == hashlib.sha256(sets[0].read_bytes()).hexdigest()
    assert metadata["safe_sha256"] == hashlib.sha256(sets[1].read_bytes()).hexdigest()
    assert metadata["riskmon"] == __version__
    assert "SECRET" not in path.read_bytes().decode("latin-1")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    [chosen] = [line.split() for line in screen.splitlines() if line.endswith("chosen  ")]
    assert chosen[0] == metadata["layer"]
    assert float(chosen[1]) == pytest.approx(float(metadata["separation"]), abs=0.006)
    assert "From 6 unsafe and 6 safe prompts, 4 of them held out." in screen


def test_what_cannot_be_used_is_said_in_a_sentence(
    config: Config, sets: tuple[Path, Path], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"cannot read .*none\.jsonl: No such file"):
        shown(calibrate_direction, config, tmp_path / "none.jsonl", sets[1], "refusal")
    with pytest.raises(ConfigError, match=r"cannot be named '\.\./x'"):
        shown(calibrate_direction, config, *sets, "../x")
    few = write_prompts(tmp_path / "few.jsonl", SAFE[:3])
    with pytest.raises(InputError, match="3 usable safe prompts are too few"):
        shown(calibrate_direction, config, sets[0], few, "refusal")
    assert not (config.calibrate.folder / "refusal.safetensors").exists()
