"""The dashboards against Grafana's own types (`tests/data/grafana/README.md`)."""

import json
from typing import Any

import pytest
from jsonschema import Draft7Validator
from support.boards import BOARDS, ROOT, panels, read

SCHEMAS = ROOT / "tests" / "data" / "grafana"
# What the Prometheus data source reads of an annotation, beside what every annotation has.
OF_PROMETHEUS = {"expr", "tagKeys", "textFormat", "titleFormat"}

every_board = pytest.mark.parametrize("uid", BOARDS)


def faults(schema: str, value: Any, *, whole: bool = True) -> list[str]:
    """What the schema objects to; without `whole`, what is missing is no fault."""
    validator = Draft7Validator(json.loads((SCHEMAS / f"{schema}.schema.json").read_text(encoding="utf-8")))
    return [
        f"{'/'.join(map(str, error.path))}: {error.message[:200]}"
        for error in validator.iter_errors(value)
        if whole or error.validator != "required"
    ]


@every_board
def test_a_dashboard_is_one_to_grafana(uid):
    board = read(uid)
    for annotation in board["annotations"]["list"]:
        for key in OF_PROMETHEUS:
            del annotation[key]
    assert faults("Whole", board) == []


@every_board
def test_every_panel_has_options_and_fields_that_its_kind_knows(uid):
    for panel in panels(read(uid)):
        kind = panel["type"].capitalize()
        assert faults(f"Of{kind}", panel["options"]) == [], panel["title"]
        if (custom := panel["fieldConfig"]["defaults"].get("custom")) is not None:
            assert faults(f"Of{kind}Field", custom) == [], panel["title"]


def test_overrides_set_what_the_kind_of_panel_knows():
    seen = 0
    for panel in [panel for uid in BOARDS for panel in panels(read(uid))]:
        for override in panel["fieldConfig"]["overrides"]:
            own = {
                item["id"].removeprefix("custom."): item["value"]
                for item in override["properties"]
                if item["id"].startswith("custom.")
            }
            if own:
                seen += 1
                schema = f"Of{panel['type'].capitalize()}Field"
                assert faults(schema, own, whole=False) == [], panel["title"]
    assert seen > 5


def test_the_schemas_notice_a_fault():
    board = read("riskmon-pipeline")
    panel = panels(board)[0]
    assert faults("OfStat", {**panel["options"], "colorMode": "rainbow"})
    assert faults("OfTimeseriesField", {"lineWidths": 2})
    assert faults("Whole", {**board, "graphTooltip": "crosshair"})
