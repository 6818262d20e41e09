"""A whole cycle over marked prompts and responses, at the most talkative level: no mark leaves in clear text.

Every prompt and every response carries a word of its own. What riskmon writes and serves is then searched for any of
them: logs of both formats, metrics, page, API, reports, and every file beside its source.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from support.daemon import run, running, write_config
from support.worlds import World

from riskmon.config_file import load_config
from riskmon.records import Prompt
from riskmon.store import open_store

MARK = re.compile(r"mk[pr]\d{4}x", re.IGNORECASE)
COUNT = 1000
REPORTS = {".html", ".md", ".json"}
PATHS = ("/", "/metrics", "/healthz", "/readyz")


def messages(now: datetime) -> list[Any]:
    """A thousand requests of all shapes, and some that nobody can use; each with a word of its own."""
    found: list[Any] = []
    for i in range(COUNT):
        text, answer = f"ask red mkp{i:04}x or blue", f"{'bad' if i % 3 else 'calm'} mkr{i:04}x"
        body: dict[str, Any] = {"prompt": text}
        if i % 50 == 7:  # cannot be rendered without a template
            body = {"messages": [{"role": "system", "content": "calm"}, {"role": "user", "content": text}]}
        elif i % 50 == 8:  # overruns the model's context
            body = {"prompt": text + " red" * 200}
        stamp = (now - timedelta(seconds=11 * i)).timestamp()
        found.append({"id": f"r{i}", "timestamp": stamp, "response": answer, **body})
    found += [
        f"mkp{COUNT:04}x is not JSON",
        {"id": ["mkp2000x"], "prompt": "ask"},
        {"id": "r-odd", "prompt": {"mkp2001x": 1}},
        {"id": "r-time", "prompt": "mkp2002x", "timestamp": "mkp2003x"},
        {"mkp2004x": "no prompt"},
    ]
    return found


@pytest.fixture
def folder(world: World, tmp_path: Path) -> Path:
    """Where riskmon works; the source and the model lie elsewhere."""
    source = tmp_path / "source" / "traffic.jsonl"
    source.parent.mkdir()
    lines = messages(datetime.now(UTC))
    source.write_text("".join((one if isinstance(one, str) else json.dumps(one)) + "\n" for one in lines))
    folder = tmp_path / "riskmon"
    folder.mkdir()
    write_config(
        folder,
        world.target,
        traffic={
            "jsonl": str(source),
            "sample_per_window": COUNT,
            "window": "1h",
            "responses": {"from_target": True},  # harmful ones are kept as hits
        },
        estimate={
            "samples_per_prompt": 20,
            "defensive_share": 0.25,
            "device_budget": "4s",
            "responses": {"judge_per_cycle": 100},  # most wait, with their text
        },
        report={"folder": str(folder / "reports"), "schedule": None},
        publish={"listen": "127.0.0.1:0", "reports": str(folder / "reports")},
        logging={"level": "debug", "format": "console"},
    )
    return folder


def as_json(config: Path) -> None:
    data = yaml.safe_load(config.read_text())
    config.write_text(yaml.safe_dump(data | {"logging": {"level": "debug", "format": "json"}}))


def api_paths(address: str) -> list[str]:
    description = httpx.get(f"http://{address}/api/v1/openapi.json", timeout=10).json()
    return [path for path in description["paths"] if "{" not in path]


def text_of(prompt: Prompt) -> str:
    """What was asked and answered; the repr would not tell."""
    turns = [prompt.content] if isinstance(prompt.content, str) else [turn.content for turn in prompt.content]
    return " ".join([*turns, prompt.response or ""])


@pytest.mark.slow
def test_no_mark_is_anywhere_in_clear_text(folder: Path) -> None:
    config = folder / "riskmon.yaml"
    shown: dict[str, str] = {}
    once = run("run", "-c", str(config), "--once")
    assert once.returncode == 0, once.stderr
    shown["run --once"] = once.stdout + once.stderr
    for command, *options in (("doctor", "--no-model"), ("report",)):
        done = run(command, "-c", str(config), *options)
        shown[command] = done.stdout + done.stderr
    reports = sorted(path.name for path in (folder / "reports").iterdir() if path.suffix in REPORTS)
    assert {Path(name).suffix for name in reports} == REPORTS

    as_json(config)
    with running(config) as daemon:
        daemon.wait_until(lambda: daemon.get("/readyz").status_code == 200, "it is ready")
        api = api_paths(daemon.address)
        assert len(api) >= 4
        for path in (*PATHS, *api, *(f"/reports/{name}" for name in reports)):
            answer = daemon.get(path)
            assert answer.status_code == 200, path
            shown[path] = answer.text
        assert daemon.end() == 0
        shown["the daemon's log"] = daemon.log
    assert all(json.loads(line) for line in shown["the daemon's log"].splitlines())
    assert "prompts estimated" in shown["run --once"]

    # The premise: the text is in the store, some of it was estimated and judged, and hits were kept.
    with open_store(load_config(config).store) as store:
        since = datetime.now(UTC) - timedelta(days=1)
        held = store.sampled_prompts(since)
        marks = {mark for one in held for mark in MARK.findall(text_of(one.prompt))}
        counters, hits = store.counters(), store.hits(since, 100)
    assert {f"mkp{i:04}x" for i in range(COUNT)} <= marks
    assert sum(mark.startswith("mkr") for mark in marks) > COUNT / 2
    assert counters.estimated_prompts >= 10
    assert counters.observed["bad"][0] >= 10
    assert hits
    assert len(counters.rejected) >= 3

    assert {name: MARK.findall(text)[:3] for name, text in shown.items() if MARK.search(text)} == {}
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert {"riskmon.db", "riskmon.db.key"} <= {path.name for path in files}
    assert [str(path) for path in files if MARK.search(path.read_bytes().decode("latin-1"))] == []
