"""The file of a cold start's draws: what it holds, what it forgives, what it passes over."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from support.calibration import settings_of
from support.worlds import World

from riskmon.calibration.draws import Drawn, DrawsFile, digest_of, key_of
from riskmon.config import Config
from riskmon.errors import ConfigError
from riskmon.estimate.calibrate.examples import Example
from riskmon.records import Message, Position, Prompt

HIT = Drawn(1.5, (Example((1, 4), (6, 7, 0), 0.1 + 0.2, "a"), Example((1, 4), (6, 7), 1e-300, "a")))
NONE = Drawn(0.25, ())


def written(path: Path, digest: str = "now") -> DrawsFile:
    draws = DrawsFile(path, digest)
    with draws.extending() as file:
        draws.add(file, "first", HIT)
        draws.add(file, "second", NONE)
    return draws


def test_what_was_drawn_comes_back_in_order_and_exactly(tmp_path: Path) -> None:
    path = tmp_path / "draws.jsonl"
    draws = written(path)
    again = DrawsFile(path, "now")
    assert list(again.prompts.items()) == list(draws.prompts.items()) == [("first", HIT), ("second", NONE)]
    assert again.seconds == 1.75
    assert again.judges == ()
    with again.extending() as file:
        again.finish(file, ["regex:1"])
    assert DrawsFile(path, "now").judges == ("regex:1",)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_line_that_was_cut_off_is_passed_over_and_not_run_into(tmp_path: Path) -> None:
    path = tmp_path / "draws.jsonl"
    written(path)
    path.write_bytes(path.read_bytes()[:-20])
    torn = DrawsFile(path, "now")
    assert list(torn.prompts) == ["first"]
    with torn.extending() as file:
        torn.add(file, "third", HIT)
    assert list(DrawsFile(path, "now").prompts) == ["first", "third"]


def test_draws_under_other_settings_do_not_count(tmp_path: Path) -> None:
    path = tmp_path / "draws.jsonl"
    written(path, "before")
    assert DrawsFile(path, "now").prompts == {}
    written(path, "now")
    assert list(DrawsFile(path, "before").prompts) == ["first", "second"]


def test_a_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "draws.jsonl"
    folder.mkdir()
    with pytest.raises(ConfigError, match=r"cannot use .*draws\.jsonl: Is a directory"):
        DrawsFile(folder, "now")


def test_prompts_are_told_apart_by_id_text_and_position() -> None:
    prompts = [
        Prompt("a", "red"),
        Prompt("b", "red"),
        Prompt("a", "blue"),
        Prompt("a", (Message("user", "red"),)),
        Prompt("a", (Message("system", "red"),)),
        Prompt("a", "red", position=Position("t", 0, 1)),
    ]
    assert len({key_of(prompt) for prompt in prompts}) == 6
    assert key_of(Prompt("a", "red")) == key_of(prompts[0])


def test_the_digest_follows_what_decides_the_draws(world: World, tmp_path: Path) -> None:
    def digest(**sections: object) -> str:
        return digest_of(settings_of(world, tmp_path, **sections), "file")

    base = settings_of(world, tmp_path)
    assert digest_of(base, "file") == digest(calibrate={"steps": 7}, estimate=estimate_of(base))
    shared = {"device_budget": "1m", "sharing": {"max_utilization": 0.3}}
    assert digest_of(base, "file") == digest(estimate=estimate_of(base, **shared))
    others = {
        digest_of(base, "store"),
        digest(estimate=estimate_of(base, seed=1)),
        digest(estimate=estimate_of(base, samples_per_prompt=40)),
        digest(experts=[]),
        digest(harms=[{"name": "slip", "judge": {"kind": "regex", "pattern": "bad"}}]),
    }
    assert len(others) == 5
    assert digest_of(base, "file") not in others


def estimate_of(config: Config, **changes: object) -> dict[str, object]:
    return {"samples_per_prompt": 400, "windows": [[0, None]], **changes}
