"""Pictures of the dashboards: `PYTHONPATH=.:tests python tests/dashboards/picture/take.py`, from the repository's root.

A real Prometheus holds two days of riskmon's metrics (`history.py`, a simulated deployment) and scrapes a running
riskmon for the last minute. Every expression of the three dashboards is put to it (`asking.py`). The answers are drawn
by Grafana's own panels (`@grafana/ui`, `page.jsx`) in a headless Chromium, in light and dark, into docs/images/. Bars,
menus and tooltips of Grafana are not part of that package, and so not of the pictures; the marks of annotations are
drawn by `page.jsx`.

It needs npm and 700 MB in `--work` (installed on the first run), Chromium and Prometheus.
"""

from __future__ import annotations

import argparse
import json
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asking
import history
import httpx
from support.boards import BOARDS, OVER_BUDGET, ROOT, read
from support.browser import QUIET
from support.prometheus import PrometheusServer
from support.snapshots import FACTS
from support.two_days import TwoDays

from riskmon.publish import Server, build_app

HERE = Path(__file__).parent
WIDTH = 1600
# A cell of Grafana's grid is 30 pixels high, with a gap of 8.
CELL = 38


def main() -> None:
    """Ask, build the page, take the pictures."""
    parser = argparse.ArgumentParser(description="Take pictures of the dashboards.")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "riskmon-pictures")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images")
    parser.add_argument(
        "--again", action="store_true", help="draw the answers of the last run, without asking"
    )
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    answers = options.work / "answers.json"
    if not options.again:
        answers.write_text(json.dumps(_ask(options.work)))
    boards = json.loads(answers.read_text())
    _bundle(options.work)
    for uid, board in boards.items():
        for mode in ("light", "dark"):
            _draw(
                options.work,
                board,
                mode,
                options.out / f"dashboard-{uid.removeprefix('riskmon-')}-{mode}.png",
            )


def _ask(work: Path) -> dict[str, Any]:
    """The answers of a Prometheus with a past, by dashboard."""
    started = datetime.now(UTC)
    life = TwoDays(started)
    listen = _free_address()
    folder = work / "prometheus"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    history.write(life, started, {"job": "riskmon", "instance": listen}, folder / "data", work)
    app = build_app(lambda: life.snapshot(datetime.now(UTC)), lambda: FACTS, lambda: {"publish": True}, list)
    with Server(app, listen), _prometheus(folder, listen) as watcher:
        watcher.wait_for("ALERTS")
        # Alerts are young, and a mark of one minute can be seen.
        time.sleep(60)
        now = datetime.now(UTC)
        harms = [harm.name for harm in FACTS.harms]
        return {uid: asking.answered(read(uid), watcher, harms, now) for uid in BOARDS}


@contextmanager
def _prometheus(folder: Path, scraped: str) -> Iterator[PrometheusServer]:
    """One that goes on from the blocks in `folder / "data"`."""
    (folder / "rules.yml").write_text(OVER_BUDGET)
    (folder / "prometheus.yml").write_text(
        "global: {scrape_interval: 5s, evaluation_interval: 5s}\n"
        "rule_files: [rules.yml]\n"
        f"scrape_configs: [{{job_name: riskmon, static_configs: [{{targets: ['{scraped}']}}]}}]\n"
    )
    address = _free_address()
    files = (f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}")
    process = subprocess.Popen(
        ["prometheus", *files, f"--web.listen-address={address}"], stderr=(folder / "log").open("wb")
    )
    try:
        deadline = time.monotonic() + 60
        while not _ready(f"http://{address}"):
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"Prometheus did not become ready: see {folder / 'log'}")
            time.sleep(0.2)
        yield PrometheusServer(f"http://{address}")
    finally:
        process.terminate()
        process.wait(30)


def _ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/-/ready").status_code == 200
    except httpx.TransportError:
        return False


def _free_address() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"127.0.0.1:{listener.getsockname()[1]}"


def _bundle(work: Path) -> None:
    """The page's program, with Grafana's panels in it."""
    for name in ("package.json", "page.jsx", "frames.js"):
        shutil.copy(HERE / name, work / name)
    if not (work / "node_modules").exists():
        quiet = ("--ignore-scripts", "--no-audit", "--no-fund", "--legacy-peer-deps")
        subprocess.run(["npm", "install", *quiet], cwd=work, check=True)
    subprocess.run(
        [
            "npx",
            "esbuild",
            "page.jsx",
            "--bundle",
            "--outfile=page.js",
            "--loader:.svg=dataurl",
            "--loader:.ttf=empty",
            "--log-level=error",
        ],
        cwd=work,
        check=True,
    )


def _draw(work: Path, board: dict[str, Any], mode: str, out: Path) -> None:
    height = CELL * max(p["gridPos"]["y"] + p["gridPos"]["h"] for p in board["panels"]) + 90
    page = work / "page.html"
    data = json.dumps({**board, "mode": mode, "width": WIDTH}).replace("</", "<\\/")
    page.write_text(
        f'<!doctype html><meta charset="utf-8"><link rel="stylesheet" href="page.css">'
        f'<body style="margin:0"><div id="root"></div>'
        f'<script>window.board = {data}</script><script src="page.js"></script>',
        encoding="utf-8",
    )
    with tempfile.TemporaryDirectory() as profile:
        subprocess.run(
            [
                *("chromium", *QUIET, f"--user-data-dir={profile}", "--hide-scrollbars"),
                *(f"--window-size={WIDTH},{height}", "--virtual-time-budget=15000"),
                *(f"--screenshot={out}", page.as_uri()),
            ],
            check=True,
            capture_output=True,
            timeout=180,
        )


if __name__ == "__main__":
    main()
