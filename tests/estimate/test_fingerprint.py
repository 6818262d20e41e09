import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from support.directions import random_direction, write_direction
from support.estimates import world_config

from riskmon.estimate.fingerprint import voices_fingerprint


@pytest.fixture
def folders(world, lora_folder, tmp_path):
    """Copies of target, checkpoint, adapter and direction that a test may change."""
    sources = {"target": world.target, "checkpoint": world.experts["unsafe"], "lora": lora_folder}
    copies = {name: shutil.copytree(source, tmp_path / name) for name, source in sources.items()}
    copies["direction"] = write_direction(tmp_path / "d.safetensors", random_direction())
    return copies


def config_of(folders, **changes):
    experts = [
        {"name": "other", "kind": "checkpoint", "path": str(folders["checkpoint"])},
        {"name": "adapter", "kind": "lora", "path": str(folders["lora"])},
        {"name": "steered", "kind": "steering", "path": str(folders["direction"])},
        {"name": "hot", "kind": "temperature", "temperature": 2.0},
    ]
    return world_config(folders["target"], changes.pop("experts", experts), **changes)


def fingerprint(folders, **changes):
    return voices_fingerprint(config_of(folders, **changes))


def nudge_file(path):
    weights = load_file(path)
    first = sorted(weights)[0]
    weights[first] = weights[first] + torch.full_like(weights[first], 1e-3)
    save_file(weights, path, metadata={"format": "pt"})


def test_it_is_the_same_each_time_and_short(folders):
    assert fingerprint(folders) == fingerprint(folders)
    assert len(fingerprint(folders)) == 16
    assert int(fingerprint(folders), 16) >= 0


@pytest.mark.parametrize(
    "changed",
    [
        "lora/adapter_model.safetensors",
        "checkpoint/model.safetensors",
        "target/model.safetensors",
    ],
)
def test_it_changes_with_the_bytes_of_any_network(folders, changed):
    """Also where a new version is written over the old one under the same name."""
    before = fingerprint(folders)
    nudge_file(folders["target"].parent / changed)
    assert fingerprint(folders) != before


def test_it_changes_with_the_bytes_of_a_direction(folders):
    before = fingerprint(folders)
    write_direction(folders["direction"], random_direction(1))
    assert fingerprint(folders) != before


def test_it_changes_with_an_adapter_s_settings(folders):
    """The same weights at twice the scale are another variant."""
    before = fingerprint(folders)
    file = folders["lora"] / "adapter_config.json"
    settings = json.loads(file.read_text())
    file.write_text(json.dumps({**settings, "lora_alpha": 2 * settings["lora_alpha"]}))
    assert fingerprint(folders) != before


def test_it_changes_with_the_chat_template(folders):
    before = fingerprint(folders)
    (folders["target"] / "chat_template.jinja").write_text("{{ messages[0].content }}")
    assert fingerprint(folders) != before


def test_it_changes_with_the_sampler_and_with_any_expert(folders):
    base = config_of(folders)
    experts = [expert.model_dump() for expert in base.experts]
    hotter = [*experts[:3], {**experts[3], "temperature": 2.5}]
    ladder = [*experts[:3], {**experts[3], "ladder": (0.25, 1.0)}]
    found = [
        voices_fingerprint(base),
        fingerprint(folders, sampler={"temperature": 0.9}),
        fingerprint(folders, sampler={"top_k": 5}),
        fingerprint(folders, experts=experts[:3]),
        fingerprint(folders, experts=experts[::-1]),
        fingerprint(folders, experts=hotter),
        fingerprint(folders, experts=ladder),
    ]
    assert len(set(found)) == len(found)


def test_it_does_not_change_with_what_leaves_log_probs_alone(folders):
    base = config_of(folders)
    how = {
        "device": "auto",
        "batch_rows": 7,
        "memory_share": 0.2,
        "decoding": "graphs",
        "merge_adapters": "never",
    }
    elsewhere = base.model.model_copy(update=how)
    same = [
        base.model_copy(update={"model": elsewhere}),
        config_of(folders, samples=999, seed=5, windows=((0, 2),)),
        config_of(folders, harms=[{"name": "other", "judge": {"kind": "regex", "pattern": "calm"}}]),
    ]
    assert {voices_fingerprint(config) for config in same} == {voices_fingerprint(base)}


def test_a_hub_id_is_told_apart_by_its_revision(folders):
    """Nothing of it is on this machine to be read."""
    expert = {"name": "hub", "kind": "checkpoint", "path": "someone/some-model"}
    found = [fingerprint(folders, experts=[{**expert, "revision": letter * 40}]) for letter in "ab"]
    assert found[0] != found[1]
