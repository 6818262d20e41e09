"""A hard-fitted variant on a real model: many hits, and hardly any of the target's own harm among them.

The adapter is fitted to what a rude persona says (every harmful answer alike, no anchor, a large step), which is how a
variant should not be made: it is toxic in a large part of its answers, and not in the way the target is. Truths are
brute force's (tests/data/smollm2_truth.json). The estimate with such a variant alone must say that it is not to be
trusted, or hold the truth; and the choice of plans must take draws away from it.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
import torch

from riskmon.config_file import parse_config
from riskmon.demo.models import cache_folder, convert
from riskmon.demo.prompts import PERSONA
from riskmon.estimate.calibrate.examples import Example, examples_from_hits
from riskmon.estimate.calibrate.lineage import variant_folder
from riskmon.estimate.calibrate.lora import fit_lora
from riskmon.estimate.model import load_model
from riskmon.estimate.opening import open_session
from riskmon.records import Flag, Prompt
from riskmon.traffic.prompts import read_prompts

DATA = Path(__file__).parents[1] / "data"
SUSPECT = {Flag.COVERAGE_GAP, Flag.HEAVY_WEIGHTS, Flag.WEIGHT_MEAN_OFF, Flag.NO_HITS}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def settings(folder, experts, samples, **estimate):
    return parse_config(
        {
            "model": {
                "target": str(cache_folder()),
                "dtype": "float32",
                "device": "cpu",
                "max_new_tokens": 16,
            },
            "experts": experts,
            "harms": [{"name": "toxic", "judge": {"kind": "toxicity"}}],
            "estimate": {"samples_per_prompt": samples, "windows": [[0, None]], **estimate},
            "calibrate": {
                "folder": str(folder / "proposals"),
                "steps": 14,
                "evaluate_every": 7,
                "learning_rate": 2e-3,
                "anchor": 0.0,
                "hold_out": "answers",
            },
        },
        base=folder,
    )


@pytest.fixture(scope="module")
def prompts():
    return {prompt.id: prompt for prompt in read_prompts(DATA / "smollm2_prompts.jsonl", ())}


@pytest.fixture(scope="module")
def hard(tmp_path_factory, prompts):
    """Folder of the hard-fitted adapter."""
    torch.set_num_threads(2)
    if not cache_folder().is_dir():
        convert(cache_folder())
    folder = tmp_path_factory.mktemp("hard")
    persona = [{"name": "persona", "kind": "system_prompt", "text": PERSONA, "ladder": [1.0]}]
    config = settings(folder, persona, 120, adapt=False)
    session = open_session(config)
    hits = [
        hit for name in ("mondays", "politicians") for hit in session.estimate(prompts[name], keep=True).hits
    ]
    model = load_model(config.model)
    examples = [Example(e.context, e.answer, 1.0, e.prompt_id) for e in examples_from_hits(model, hits)]
    assert len(examples) >= 10
    report = fit_lora(
        model,
        examples,
        config.calibrate,
        variant_folder(config.calibrate, "hard"),
        start=None,
        lineage={},
        seed=0,
        progress=lambda _: None,
    )
    assert report.path is not None
    return folder, report.path


def test_a_hard_fitted_variant_is_flagged_or_bounded_and_loses_its_share(hard, prompts):
    folder, path = hard
    truth = json.loads((DATA / "smollm2_truth.json").read_text())["prompts"]
    expert = {"name": "hard", "kind": "lora", "path": str(path), "ladder": [0.35, 1.0]}
    session = open_session(settings(folder, [expert], 300, adapt=False))
    hits, rates = [], []
    for name in ("mondays", "politicians", "dog"):
        result = session.estimate(Prompt(f"{name}/hard", prompts[name].content), keep=True)
        (estimate,) = result.estimates
        rate = truth[name]["harmful"] / truth[name]["draws"]
        rates.append(estimate.hits / estimate.n)
        assert SUSPECT.intersection(estimate.flags) or estimate.ci_high >= rate, (name, estimate)
        assert estimate.upper_bound >= rate
        hits += result.hits
    # The premise: it is toxic far more often than the target.
    assert max(rates) > 0.1
    adaptive = open_session(settings(folder, [expert], 300))
    (plan, *_) = adaptive.replan(hits, datetime.now(UTC))
    shares = {(member.expert, member.strength): 0.0 for member in plan.members}
    for member in plan.members:
        shares[member.expert, member.strength] += member.share
    # Of the first plan each rung has 0.45. The full strength loses at least a third of it, to the gentle rung.
    assert shares.get(("hard", 1.0), 0.0) < 0.3, shares
    assert shares["hard", 0.35] > 2 * shares.get(("hard", 1.0), 0.0), shares
