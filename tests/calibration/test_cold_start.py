"""`riskmon calibrate lora`: harmful answers drawn or written, an adapter fitted to them."""

from __future__ import annotations

import json
import logging
import stat
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
import torch
import yaml
from support.calibration import NOW, PROMPTS, settings_of, shown, write_pairs, write_prompts
from support.store_records import CHAT, batch, sampled
from support.variants import is_harmful, with_adapter
from support.worlds import PROMPT, World, enumerate_answers, tiny_llama

from riskmon.calibration.draws import DrawsFile, digest_of
from riskmon.calibration.variant import calibrate_lora
from riskmon.config import Config
from riskmon.errors import ConfigError, InputError
from riskmon.estimate.opening import open_session
from riskmon.records import Prompt
from riskmon.store import open_store

GIVEN = {"harm": None, "pairs": None, "prompts": None, "now": NOW}


def exact_cross_entropy(path: Path | None) -> float:
    """-sum p(y | y harmful) log q(y) over all answers to PROMPT, q the target or the target with an adapter."""
    target = tiny_llama(3)
    answers, log_p = enumerate_answers(target)
    log_q = log_p if path is None else enumerate_answers(with_adapter(tiny_llama(3), path))[1]
    harmful = is_harmful(answers)
    share = log_p[harmful].exp()
    return float(-(share * log_q[harmful]).sum() / share.sum())


@dataclass(frozen=True)
class Made:
    config: Config
    code: int
    screen: str
    log: str
    drawn: str

    @property
    def adapter(self) -> Path:
        return self.config.calibrate.folder / "unsafe"


@pytest.fixture(scope="module")
def made(frequent: World, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A cold start from prompts of a file; what it kept of the draws is read before it is removed."""
    folder = tmp_path_factory.mktemp("cold")
    estimate = {"samples_per_prompt": 1500, "windows": [[0, None]]}
    config = settings_of(frequent, folder, estimate=estimate, calibrate={"steps": 60})
    prompts = write_prompts(folder / "prompts.jsonl")
    seen = {"drawn": ""}

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen["log"] = seen.get("log", "") + record.getMessage() + "\n"
            file = config.calibrate.folder / ".partial-unsafe-draws.jsonl"
            if file.exists():
                seen["drawn"] = file.read_text()
                assert stat.S_IMODE(file.stat().st_mode) == 0o600

    handler = Lines()
    root = logging.getLogger()
    root.addHandler(handler)
    level = root.level
    root.setLevel("INFO")
    try:
        code, screen = shown(calibrate_lora, config, "unsafe", **GIVEN | {"prompts": prompts})
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
    return Made(config, code, screen, seen["log"], seen["drawn"])


def test_the_adapter_is_nearer_to_the_targets_harm_than_the_target(made: Made) -> None:
    assert made.code == 0
    assert PROMPT not in PROMPTS
    assert exact_cross_entropy(made.adapter) < exact_cross_entropy(None) - 0.2


def test_the_suggested_expert_works(frequent: World, made: Made, tmp_path: Path) -> None:
    start = made.screen.index("  experts:")
    [expert] = yaml.safe_load(made.screen[start:])["experts"]
    assert expert["name"] == "unsafe_2"  # `unsafe` is the checkpoint it was drawn from
    assert expert["ladder"] == [0.35, 0.7, 1.0]
    session = open_session(settings_of(frequent, tmp_path, experts=[expert]))
    assert session.contrasts["unsafe_2"] > 0
    [slip, _] = session.estimate(Prompt("a", PROMPT)).estimates
    assert slip.hits > 0


def test_the_result_is_told_in_numbers(made: Made) -> None:
    lineage = json.loads((made.adapter / "lineage.json").read_text())
    assert f"the target {lineage['cross_entropy_target']:>20.3f}".split() in [
        line.split() for line in made.screen.splitlines()
    ]
    assert f"step {lineage['kept_step']} " in made.screen
    assert f"{lineage['cross_entropy_kept']:.3f}" in made.screen
    assert f"{lineage['examples']} answers to {lineage['prompts']} prompts (effective number" in made.screen
    assert f"Written to {made.adapter}." in made.screen
    assert lineage["cross_entropy_kept"] < lineage["cross_entropy_target"]
    assert lineage["origin"]["source"] == "draws"
    assert lineage["origin"]["harms"] == "slip, never"
    assert lineage["origin"]["judges"].startswith("regex:")
    assert "drawing: 12 of 12 ('p11'" in made.log
    assert "nats per held-out answer" in made.log


def test_draws_are_kept_until_there_is_an_adapter_and_nobody_sees_their_text(made: Made) -> None:
    assert len(made.drawn.splitlines()) == 13  # prompts, and that all are done
    assert [path.name for path in made.config.calibrate.folder.iterdir()] == ["unsafe"]
    assert stat.S_IMODE(made.config.calibrate.folder.stat().st_mode) == 0o700
    lineage = (made.adapter / "lineage.json").read_text()
    for text in (made.screen, made.log, made.drawn, lineage):
        assert "SECRET" not in text
        assert "bad worse" not in text


def test_weights_are_those_of_the_draws(frequent: World, made: Made) -> None:
    """Untempered w h / n: over a prompt's hits they add up to about the probability of harm."""
    lines = [json.loads(line) for line in made.drawn.splitlines()[:-1]]
    examples = [example for line in lines for example in line["examples"]]
    prompt = next(e["context"] for e in examples if e["prompt_id"] == "p0")
    total = sum(e["weight"] for e in examples if e["prompt_id"] == "p0")
    ids = torch.tensor(prompt)
    assert ids.tolist() == [1, 4, 9, 5, 1]
    answers, log_p = enumerate_answers(frequent.model, "ask red or blue ask")
    truth = float(log_p[is_harmful(answers)].exp().sum())
    assert truth / 2 < total < 2 * truth


def test_another_fit_needs_no_further_draws(
    frequent: World, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    prompts = write_prompts(tmp_path / "prompts.jsonl", PROMPTS[:4])

    def fit(rate: float) -> tuple[int, str]:
        """A fit that goes too far to be kept."""
        caplog.clear()
        config = settings_of(frequent, tmp_path, calibrate={"steps": 2, "learning_rate": rate})
        return shown(calibrate_lora, config, "unsafe", **GIVEN | {"prompts": prompts})

    code, screen = fit(3.0)
    assert code == 1
    assert "nothing was written" in screen
    assert ", not kept" in screen
    assert "drawing: 4 of 4" in caplog.text
    assert "the draws are kept in" in caplog.text
    assert fit(2.0)[0] == 1
    assert "drawing" not in caplog.text
    assert "fitting" in caplog.text
    prompts = write_prompts(tmp_path / "prompts.jsonl", PROMPTS[:5])
    assert fit(3.0)[0] == 1
    assert "4 of 5 prompts were drawn for before" in caplog.text
    assert "drawing: 1 of 1 ('p4'" in caplog.text


def test_one_harm_can_be_learnt_alone(frequent: World, tmp_path: Path) -> None:
    config = settings_of(frequent, tmp_path)
    prompts = write_prompts(tmp_path / "prompts.jsonl", PROMPTS[:2])
    with pytest.raises(
        InputError, match=r"no draw for 2 prompts was harmful \(drawn from unsafe, 400 each\)"
    ):
        shown(calibrate_lora, config, "unsafe", **GIVEN | {"prompts": prompts, "harm": "never"})
    assert list(config.calibrate.folder.iterdir()) == []  # what holds nothing is not kept
    with pytest.raises(ConfigError, match="no harm 'nonesuch'; it has slip, never"):
        shown(calibrate_lora, config, "unsafe", **GIVEN | {"prompts": prompts, "harm": "nonesuch"})


def test_written_answers_need_no_draws(
    frequent: World, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    pairs = write_pairs(tmp_path / "pairs.jsonl")
    config = settings_of(frequent, tmp_path)
    code, screen = shown(calibrate_lora, config, "written", **GIVEN | {"pairs": pairs})
    assert code == 0
    assert "16 answers to 4 prompts (effective number 16), 4 of them held out" in screen
    assert "drawing" not in caplog.text
    assert "SECRET" not in screen + caplog.text
    folder = config.calibrate.folder / "written"
    assert exact_cross_entropy(folder) < exact_cross_entropy(None)
    assert json.loads((folder / "lineage.json").read_text())["origin"]["source"] == "pairs"
    with pytest.raises(InputError, match="--pairs brings prompts and answers of its own"):
        shown(calibrate_lora, config, "written", **GIVEN | {"pairs": pairs, "prompts": pairs})


def test_without_files_the_stores_prompts_are_drawn_for(
    frequent: World, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    config = settings_of(frequent, tmp_path, calibrate={"steps": 10})
    with pytest.raises(InputError, match=r"holds no sampled prompts .* --prompts FILE"):
        shown(calibrate_lora, config, "unsafe", **GIVEN)
    with open_store(config.store) as store:
        items = [sampled(i, i / 9, stratum=CHAT, text=text) for i, text in enumerate(PROMPTS[:6])]
        store.write_intake(batch(items), keep=99, now=NOW)
    # An expert that is named already, but is only about to be made, draws nothing.
    experts = [
        {"name": "other", "kind": "checkpoint", "path": str(frequent.experts["unsafe"])},
        {"name": "unsafe", "kind": "lora", "path": "proposals/unsafe"},
    ]
    config = settings_of(frequent, tmp_path, calibrate={"steps": 10}, experts=experts)
    code, screen = shown(calibrate_lora, config, "unsafe", **GIVEN)
    assert code == 0
    assert "drawing: 6 of 6" in caplog.text
    assert (
        "Expert 'unsafe' of the configuration points there: restarting 'riskmon run' takes it up." in screen
    )
    assert open_session(config).contrasts["unsafe"] > 0


def test_the_device_budget_ends_the_draws_for_stored_prompts(
    frequent: World, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    config = settings_of(frequent, tmp_path, calibrate={"steps": 1, "learning_rate": 3.0})
    tight = config.estimate.model_copy(update={"device_budget": timedelta(microseconds=1)})
    config = config.model_copy(update={"estimate": tight})
    with open_store(config.store) as store:
        items = [sampled(i, i / 9, text=text) for i, text in enumerate(PROMPTS[:6])]
        store.write_intake(batch(items), keep=99, now=NOW)
    assert shown(calibrate_lora, config, "unsafe", **GIVEN)[0] == 1
    assert "estimate.device_budget is spent: 5 prompts are left out" in caplog.text
    file = config.calibrate.folder / ".partial-unsafe-draws.jsonl"
    draws = DrawsFile(file, digest_of(config, "store"))
    assert len(draws.prompts) == 1
    assert draws.judges


@pytest.mark.parametrize("name", ["../unsafe", "Unsafe", ""])
def test_a_variant_cannot_be_named_out_of_its_folder(frequent: World, tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="a variant cannot be named"):
        shown(calibrate_lora, settings_of(frequent, tmp_path), name, **GIVEN)
