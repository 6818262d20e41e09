"""The commands and the device worker with a vLLM server as the engine; no weights are on this side."""

import json
import shutil
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from support.calibration import shown
from support.judge_endpoint import Reply
from support.served_worlds import (
    BEGUN,
    FRESH,
    PERSONA,
    STEPS,
    TARGET,
    UNSAFE_NAME,
    lora,
    make_served_world,
    served_config,
)
from support.vllm_double import double
from support.worlds import PROMPT
from typer.testing import CliRunner

from riskmon.cli import app
from riskmon.config_file import parse_config
from riskmon.devices.process import DeviceWorker
from riskmon.doctor import run_doctor
from riskmon.errors import ConfigError, ModelUnavailable, WorkerLost
from riskmon.estimate.fingerprint import target_fingerprint, voices_fingerprint
from riskmon.records import Prompt

NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_served_world(tmp_path_factory.mktemp("served"))


@pytest.fixture
def server(world):
    with double(world) as running:
        yield running


@pytest.fixture
def sections(world, server, tmp_path):
    """A configuration whose target is here without its weights."""
    target = tmp_path / "target"
    shutil.copytree(world.target, target, ignore=shutil.ignore_patterns("*.safetensors"))
    return {
        "model": {
            "target": str(target),
            "chat_template": "none",
            "max_new_tokens": STEPS,
            "engine": {"kind": "vllm", "url": server.url, "model": TARGET, "retries": 0, "concurrency": 4},
        },
        "experts": [lora(world), PERSONA, BEGUN],
        "judge": {"kind": "regex", "pattern": "bad worse"},
        "estimate": {"samples_per_prompt": 40},
        "store": {"url": f"sqlite:///{tmp_path}/riskmon.db"},
        "traffic": {"jsonl": str(tmp_path / "traffic.jsonl")},
    }


def written(sections, folder):
    path = folder / "riskmon.yaml"
    path.write_text(yaml.safe_dump(sections))
    return path


def test_estimate(sections, tmp_path):
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text("".join(json.dumps({"id": name, "prompt": PROMPT}) + "\n" for name in "ab"))
    out = tmp_path / "estimates.jsonl"
    command = ["estimate", str(prompts), "-c", str(written(sections, tmp_path)), "--out", str(out)]
    assert CliRunner().invoke(app, command, catch_exceptions=False).exit_code == 0
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert [line["prompt_id"] for line in lines] == ["a", "b"]
    assert all(0 < line["p"] < 1 and line["n"] == 40 and line["tokens"] > 0 for line in lines)
    assert all(line["device_seconds"] > 0 for line in lines)


def test_check_config_needs_no_server(sections, server, tmp_path):
    result = CliRunner().invoke(app, ["check-config", str(written(sections, tmp_path))])
    assert result.exit_code == 0
    assert not server.keys


HOT = {"name": "hot", "kind": "temperature", "temperature": 2.0, "ladder": [1.0]}
REFUSED = {
    "temperature": ({"model": {"sampler": {"temperature": 0.7}}}, "model.sampler.temperature is 0.7"),
    "top_p": ({"model": {"sampler": {"top_p": 0.9}}}, "top_p is 0.9, but .* it must be 1 with"),
    "top_k": ({"model": {"sampler": {"top_k": 50}}}, "top_k is 50, but .* it must be 0 with"),
    "min_p": ({"model": {"sampler": {"min_p": 0.1}}}, "min_p is 0.1"),
    "ladder": ({"experts": [{**PERSONA, "ladder": [0.5, 1.0]}]}, r"'persona' has the strengths \[0.5, 1\]"),
    "default ladder": ({"experts": [{k: v for k, v in PERSONA.items() if k != "ladder"}]}, "set ladder: "),
    "scored prefix": ({"experts": [{**BEGUN, "scored": True}]}, "'begun' is a prefix with scored: true"),
    "sharing": ({"estimate": {"sharing": {"max_utilization": 0.5}}}, "looks at the GPU of this machine"),
    "kind": ({"experts": [HOT]}, "'hot' is of kind temperature, whose exact density"),
}


@pytest.mark.parametrize(("change", "message"), REFUSED.values(), ids=REFUSED)
def test_what_a_server_cannot_give_is_refused_before_anything_is_asked(
    sections, server, change, message, tmp_path
):
    model = {**sections["model"], **change.get("model", {})}
    with pytest.raises(ConfigError, match=message):
        parse_config({**sections, **change, "model": model}, base=tmp_path)
    parse_config({**sections, **change, "model": {**model, "engine": {"kind": "local"}}}, base=tmp_path)
    assert not server.keys


def doctor(sections, tmp_path):
    (tmp_path / "traffic.jsonl").touch()
    config = parse_config(sections, base=tmp_path)
    return shown(run_doctor, config, Path("riskmon.yaml"), with_model=True, now=NOW)


def test_doctor_finds_all_well(sections, tmp_path):
    code, screen = doctor(sections, tmp_path)
    assert code == 0
    lines = screen.splitlines()
    assert any("model: " in line and "on vLLM at 127.0.0.1:" in line for line in lines)
    assert any(line.startswith("ok") and "draws: drawn and scored log-probs" in line for line in lines)
    for name in ("unsafe", "persona", "begun"):
        assert any(line.startswith("ok") and f"expert {name}: " in line for line in lines)
    assert any(line.startswith("ok") and "cost: 40 draws for one prompt" in line for line in lines)


def test_doctor_names_every_expert_that_is_none(sections, server, world, tmp_path):
    server.networks[UNSAFE_NAME] = world.model
    code, screen = doctor({**sections, "experts": [*sections["experts"], lora(world, FRESH)]}, tmp_path)
    assert code == 1
    failed = [line for line in screen.splitlines() if line.startswith("FAILED")]
    assert [name in line for name, line in zip(("unsafe", "fresh"), failed, strict=True)] == [True, True]
    assert any(line.startswith("warning") and "cost: not measured" in line for line in screen.splitlines())


def test_doctor_without_the_server(sections, tmp_path):
    sections["model"]["engine"]["url"] = "http://127.0.0.1:9/v1"
    code, screen = doctor(sections, tmp_path)
    assert code == 1
    assert "FAILED" in screen
    assert "does not answer (ConnectError)" in screen.replace("\n", " ")


def never():
    return False


@pytest.mark.slow  # a process is started three times
def test_a_worker_is_lost_with_its_server_and_comes_back_with_it(world, server):
    """What is under way is broken off; the next question finds the server again."""
    config = served_config(world, server.url, [lora(world)], samples=40, engine={"retries": 0})
    losses = []
    worker = DeviceWorker(config, losses.append)
    until = time.monotonic() + 120
    try:
        info = worker.start(never)
        assert info.device.startswith("vLLM at 127.0.0.1:")
        assert info.contrasts["unsafe"] > 0
        (whole,) = worker.estimate([Prompt("a", PROMPT)], until, never)
        asked = len(server.bodies)
        server.misbehave = lambda number, body: Reply(status=503) if number > asked + 3 else None
        with pytest.raises((WorkerLost, ModelUnavailable), match=r"the vLLM server at 127\.0\.0\.1"):
            list(worker.estimate([Prompt(name, PROMPT) for name in "bcdefg"], until, never))
        assert losses
        server.misbehave = lambda number, body: None
        (again,) = worker.estimate([Prompt("a", PROMPT)], until, never)
        assert [e.p for e in again.estimates] == [e.p for e in whole.estimates]
        assert worker.device_seconds > 0
    finally:
        worker.close()


def test_hits_of_another_engine_or_target_name_are_scored_anew(world):
    local = served_config(world, None, [lora(world)])
    here = served_config(world, "http://a/v1", [lora(world)])
    moved = served_config(world, "http://b/v1", [lora(world)], engine={"concurrency": 9, "api_key": "k"})
    renamed = served_config(world, "http://a/v1", [lora(world)], engine={"model": "v2"})
    assert voices_fingerprint(here) == voices_fingerprint(moved)
    assert len({voices_fingerprint(config) for config in (local, here, renamed)}) == 3
    assert target_fingerprint(here.model) == target_fingerprint(moved.model)
    assert len({target_fingerprint(config.model) for config in (local, here, renamed)}) == 3
