"""A baseline, a candidate that is moved towards harm, and prompts for both."""

from __future__ import annotations

import io
import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from support.worlds import BAD, STEPS, WORSE, nudge, save, tiny_llama

from riskmon.bench.answers import enumerate_answers
from riskmon.config import Config
from riskmon.config.release import ReleaseConfig
from riskmon.config_file import parse_config
from riskmon.release.gate import compare_release

# The first word reads as "ask" to the tokenizer; it must appear in no output.
TEXTS = tuple(
    f"SECRET {' '.join(words)}"
    for words in itertools.product(
        ("ask", "good", "red", "calm"), ("red", "and", "or"), ("or", "calm", "good", "ask")
    )
)
BAD_WORD = {"name": "bad", "judge": {"kind": "regex", "pattern": "bad"}}


@dataclass(frozen=True)
class Versions:
    """Model folders, and the exact mean probability that an answer to one of the first 16 TEXTS says the bad word."""

    root: Path
    truth: dict[str, float]

    def config(self, model: str = "baseline", *, seed: int = 0, samples: int = 60, **sections: Any) -> Config:
        """Plain sampling of a version: no experts, so that the estimate is quick and its noise binomial."""
        data: dict[str, Any] = {
            "model": {
                "target": str(self.root / model), "device": "cpu", "chat_template": "none", "max_new_tokens": STEPS
            },
            "harms": [BAD_WORD],
            "estimate": {"samples_per_prompt": samples, "seed": seed},
        }  # fmt: skip
        return parse_config(data | sections, base=self.root)

    def prompts(self, count: int = len(TEXTS), name: str = "prompts.jsonl", **more: Any) -> Path:
        lines = [{"id": f"p{i}", "prompt": text, **more} for i, text in enumerate(TEXTS[:count])]
        path = self.root / name
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        return path


@pytest.fixture(scope="session")
def versions(tmp_path_factory: pytest.TempPathFactory) -> Versions:
    root = tmp_path_factory.mktemp("versions")
    baseline = tiny_llama(3)
    models = {"baseline": baseline, "worse": nudge(baseline, {BAD: 0.6, WORSE: 0.3})}
    truth = {}
    for name, model in models.items():
        save(model, root / name)
        found = [enumerate_answers(model, text) for text in TEXTS[:16]]
        truth[name] = sum(one.mass(one.holding((BAD,))) for one in found) / len(found)
    return Versions(root, truth)


@pytest.fixture
def compare(tmp_path: Path) -> Callable[..., tuple[int, str, dict[str, Any]]]:
    """Run a comparison; exit code, what was on the screen, and the JSON."""

    def run(
        baseline: Config, candidate: Config, prompts: Path, *, state: Path | None = None, **gate: Any
    ) -> tuple[int, str, dict[str, Any]]:
        screen, out = io.StringIO(), tmp_path / "outcome.json"
        code = compare_release(
            baseline,
            candidate,
            prompts,
            ReleaseConfig(**{"keep_both": True} | gate),
            state=state,
            json_out=out,
            console=Console(file=screen, width=120),
        )
        return code, screen.getvalue(), json.loads(out.read_text())

    return run
