"""`riskmon calibrate refit`: further on with the hits in a store."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from support.calibration import NOW, settings_of, shown, write_prompts
from support.variants import weights_of
from support.worlds import World

from riskmon.calibration.variant import calibrate_lora, calibrate_refit
from riskmon.config import Config
from riskmon.errors import ConfigError, InputError
from riskmon.estimate.calibrate.lineage import digest_of_adapter
from riskmon.store import open_store


@pytest.fixture(scope="module")
def first_adapter(frequent: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cold start that ended early."""
    folder = tmp_path_factory.mktemp("first")
    file = write_prompts(folder / "prompts.jsonl")
    config = settings_of(frequent, folder, calibrate={"steps": 10})
    code, _ = shown(calibrate_lora, config, "unsafe", harm=None, pairs=None, prompts=file, now=NOW)
    assert code == 0
    return config.calibrate.folder / "unsafe"


@pytest.fixture
def config(frequent: World, first_adapter: Path, store_url: str, tmp_path: Path) -> Config:
    shutil.copytree(first_adapter, tmp_path / "proposals" / "unsafe")
    return settings_of(frequent, tmp_path, store={"url": store_url}, calibrate={"steps": 20})


def test_a_refit_goes_on_from_the_adapter_in_the_folder(
    config: Config, first_adapter: Path, store_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    code, screen = shown(calibrate_refit, config, "unsafe", harm=None, now=NOW)
    assert code == 0
    folder = config.calibrate.folder
    assert sorted(path.name for path in folder.iterdir()) == ["unsafe", "unsafe-1"]
    assert digest_of_adapter(folder / "unsafe-1") == digest_of_adapter(first_adapter)
    lineage = json.loads((folder / "unsafe" / "lineage.json").read_text())
    assert lineage["parent_sha256"] == digest_of_adapter(first_adapter)
    assert lineage["origin"] == {"source": "store", "harms": "slip"}
    assert lineage["cross_entropy_kept"] < lineage["cross_entropy_start"]
    with open_store(config.store) as store:
        hits = store.hits(NOW - config.store.retention, 500)
    assert len(hits) > 50
    assert lineage["examples"] == len(hits)
    assert lineage["prompts"] == len({hit.prompt.id for hit in hits})
    total = sum(hit.weight for hit in hits)
    assert lineage["effective_examples"] == pytest.approx(total**2 / sum(hit.weight**2 for hit in hits))
    assert "SECRET" not in screen + caplog.text


def test_an_expert_of_the_configuration_is_where_it_begins(
    frequent: World, config: Config, first_adapter: Path, store_url: str, tmp_path: Path
) -> None:
    """The expert lies elsewhere; what is in the folder under its name is another variant."""
    other = config.calibrate.folder / "unsafe"
    (other / "adapter_model.safetensors").write_bytes(b"not an adapter")
    expert = {"name": "unsafe", "kind": "lora", "path": str(first_adapter)}
    config = settings_of(
        frequent, tmp_path, experts=[expert], store={"url": store_url}, calibrate={"steps": 10}
    )
    code, screen = shown(calibrate_refit, config, "unsafe", harm="slip", now=NOW)
    assert code == 0
    lineage = json.loads((other / "lineage.json").read_text())
    assert lineage["parent_sha256"] == digest_of_adapter(first_adapter)
    assert f"point expert 'unsafe' of the configuration there:\n  path: {other}\n" in screen


def test_a_refit_that_helps_nothing_leaves_all_as_it_was(
    frequent: World, config: Config, store_url: str, tmp_path: Path
) -> None:
    before = weights_of(config.calibrate.folder / "unsafe")
    wild = settings_of(
        frequent, tmp_path, store={"url": store_url}, calibrate={"steps": 2, "learning_rate": 3.0}
    )
    code, screen = shown(calibrate_refit, wild, "unsafe", harm=None, now=NOW)
    assert code == 0
    assert "nothing was written" in screen
    assert [path.name for path in config.calibrate.folder.iterdir()] == ["unsafe"]
    after = weights_of(config.calibrate.folder / "unsafe")
    assert all(bool((after[name] == before[name]).all()) for name in before)


def test_what_is_missing_is_said(frequent: World, config: Config, tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match="make the first adapter with 'riskmon calibrate lora --name other'"
    ):
        shown(calibrate_refit, config, "other", harm=None, now=NOW)
    with pytest.raises(InputError, match="the store holds no harmful answer of the harm 'never' to learn"):
        shown(calibrate_refit, config, "unsafe", harm="never", now=NOW)
    empty = settings_of(frequent, tmp_path)
    with pytest.raises(InputError, match="the store holds no harmful answer to learn from"):
        shown(calibrate_refit, empty, "unsafe", harm=None, now=NOW)
