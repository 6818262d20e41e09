"""Lines to paste are valid configuration."""

from __future__ import annotations

from pathlib import Path

import yaml

from riskmon.calibration.snippet import expert_snippet
from riskmon.config_file import parse_config


def test_a_snippet_can_be_pasted_and_clashes_with_no_expert(tmp_path: Path) -> None:
    long = "a" * 40
    data = {
        "model": {"target": "none"},
        "judge": {"kind": "toxicity"},
        "experts": [
            {"name": name, "kind": "system_prompt", "text": "x"} for name in ("unsafe", "unsafe_2", long)
        ],
    }
    config = parse_config(data, base=tmp_path)
    path = str(tmp_path / "a, b: {c} #1")
    given = {"kind": "lora", "path": path, "ladder": [0.35, 1.0]}
    pasted = yaml.safe_load(expert_snippet(config, ("unsafe", given), (long, given)))["experts"]
    assert [entry["name"] for entry in pasted] == ["unsafe_3", f"{'a' * 38}_2"]
    both = parse_config(data | {"experts": data["experts"] + pasted}, base=tmp_path)
    assert str(both.experts[-1].path) == path
    assert both.experts[-1].ladder == (0.35, 1.0)
