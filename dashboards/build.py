"""The three dashboards: `python -m dashboards.build` writes them anew; a test says when that is due.

`--strata` names the stratum labels of a deployment, `--docs-url` says where its people read `docs/`, and `--out` puts
the files elsewhere. Run it from the root of the repository.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard, table

from dashboards.estimator import estimator
from dashboards.links import Docs
from dashboards.overview import overview
from dashboards.pipeline import pipeline
from dashboards.strata import Strata


def render(strata: Strata, docs: Docs) -> dict[str, str]:
    """Each dashboard as JSON by the name of its file, the same on every run."""
    boards = {
        "riskmon-overview.json": overview(strata, docs),
        "riskmon-estimator.json": estimator(docs),
        "riskmon-pipeline.json": pipeline(docs),
    }
    return {name: _json(board) for name, board in boards.items()}


def _json(made: builders.Dashboard) -> str:
    """Panels are numbered in their order; what the SDK adds and newer Grafanas no longer know is left away."""
    board = made.build()
    for variable in board.templating.list_val or []:
        variable.auto = variable.auto_min = variable.auto_count = None
    for number, panel in enumerate(board.panels or [], start=1):
        panel.id_val = number
        if isinstance(panel, dashboard.Panel) and isinstance(panel.options, table.Options):
            panel.options.footer = None
    return json.dumps(board, cls=JSONEncoder, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def main(arguments: list[str]) -> None:
    """Write the files."""
    parser = argparse.ArgumentParser(
        prog="python -m dashboards.build", description="Write the Grafana dashboards."
    )
    parser.add_argument(
        "--strata",
        type=_strata,
        default=Strata(),
        metavar="LABEL,...",
        help="stratum labels, each with a variable of its own; without it the dashboards fit every configuration",
    )
    parser.add_argument(
        "--docs-url", default=Docs().url, metavar="URL", help="where docs/ is read (default: %(default)s)"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path(__file__).parent,
        metavar="DIR",
        help="folder of the files (default: here)",
    )
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    for name, text in render(options.strata, Docs(options.docs_url.rstrip("/"))).items():
        (options.out / name).write_text(text, encoding="utf-8")


def _strata(text: str) -> Strata:
    try:
        return Strata(tuple(label.strip() for label in text.split(",")))
    except ValueError as exc:
        raise argparse.ArgumentTypeError(str(exc)) from exc


if __name__ == "__main__":
    main(sys.argv[1:])
