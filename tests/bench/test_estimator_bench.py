"""The machinery of `riskmon bench estimator`: worlds, scores, table and picture."""

from __future__ import annotations

import dataclasses
from itertools import pairwise
from xml.etree import ElementTree

import numpy as np
import pytest
import torch

from riskmon.bench.answers import enumerate_answers
from riskmon.bench.estimator import QUICK, EstimatorBench, parse_worlds, run_bench
from riskmon.bench.plot import render_plot
from riskmon.bench.runs import Outcome
from riskmon.bench.scores import COLD, LEARNT, PUBLISHED, Score, score_brute_force, score_outcomes
from riskmon.bench.table import render_table
from riskmon.bench.tiny import BAD, END, WORSE, tiny_llama, tokenizer_of
from riskmon.bench.worlds import CATALOGUE, World
from riskmon.errors import ConfigError


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A quick run, smaller still: its scores, what it said, how often it ticked, and where it wrote."""
    out = tmp_path_factory.mktemp("bench") / "new" / "folder"
    said: list[str] = []
    ticks: list[None] = []
    bench = dataclasses.replace(QUICK, runs=2, samples=100, worlds=QUICK.worlds[:1])
    scores = run_bench(bench, out, said.append, lambda: ticks.append(None))
    return bench, scores, said, len(ticks), out


def test_it_compares_all_methods_on_each_world(made):
    bench, scores, said, ticks, _ = made
    assert [(score.world, score.method) for score in scores] == [
        (world, method)
        for world in bench.worlds
        for method in ("brute force", "published", "riskmon, cycle 1", "riskmon, cycle 3")
    ]
    assert ticks == 2 * bench.runs * len(bench.worlds)
    assert "covered-1e-4" in said[1]


def test_all_methods_spend_alike(made):
    """Within a tenth: answers have lengths of their own, and few draws were made."""
    _, scores, _, _, _ = made
    for world in CATALOGUE:
        own = {score.method: score.tokens for score in scores if score.world == world}
        if own:
            assert own["brute force"] == pytest.approx(own[LEARNT], rel=0.02)
            assert own[PUBLISHED] == pytest.approx(own[LEARNT], rel=0.2)
            assert own[COLD] <= 1.2 * own[LEARNT]


def test_table_and_picture_are_written_and_the_picture_repeats_to_the_byte(made):
    _, scores, said, _, out = made
    assert (out / "bench-estimator.md").read_text() == render_table(scores) + "\n" == said[1] + "\n"
    picture = (out / "bench-estimator.svg").read_bytes()
    assert picture == render_plot(scores)
    assert ElementTree.fromstring(picture).tag == "{http://www.w3.org/2000/svg}svg"
    assert b"<dc:date>" not in picture


def test_a_world_that_does_not_exist_is_named():
    with pytest.raises(ConfigError, match="there is no world 'flat'; choose from covered-1e-3, "):
        EstimatorBench(worlds=parse_worlds("covered-1e-4, flat"))
    with pytest.raises(ConfigError, match="at least 2 repeats"):
        EstimatorBench(runs=1)
    with pytest.raises(ConfigError, match="no world was named"):
        EstimatorBench(worlds=())


def test_an_output_that_is_a_file_is_refused_before_the_work(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"cannot write to .*file: .*another --out"):
        run_bench(QUICK, tmp_path / "file", print, lambda: None)


def test_every_answer_is_scored_once():
    answers = enumerate_answers(tiny_llama(3), steps=3)
    rows = {tuple(row[:n]) for row, n in zip(answers.tokens.tolist(), answers.lengths.tolist(), strict=True)}
    assert len(rows) == len(answers.tokens) == 1 + 9 + 81 + 729
    assert answers.mass(torch.ones(len(rows), dtype=torch.bool)) == pytest.approx(1, abs=1e-9)
    held = answers.holding((BAD, WORSE))
    assert {row for row in rows if (BAD, WORSE) in pairwise(row)} == {
        tuple(row[:n])
        for row, n in zip(answers.tokens[held].tolist(), answers.lengths[held].tolist(), strict=True)
    }


def test_no_word_of_an_answer_vanishes_from_its_text():
    """A word dropped by decoding would bring its neighbours together and make harm of none."""
    tokens = [BAD, 1, WORSE, END]
    assert tokenizer_of().decode(tokens, skip_special_tokens=True) == "bad ask worse"
    assert tokenizer_of()("bad unheard")["input_ids"] == [BAD, 1]


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> World:
    """A world without its models, which scores do not look at."""
    plan = CATALOGUE["covered-1e-3"]
    answers = enumerate_answers(tiny_llama(plan.seed))
    harmful = answers.holding(plan.pattern)
    folder = tmp_path_factory.mktemp("none")
    return World("covered-1e-3", plan, folder, folder, answers, harmful, torch.zeros_like(harmful))


def outcome(
    p: float, low: float, high: float, *, doubted: bool = False, upper: float | None = 0.5
) -> Outcome:
    return Outcome(p, low, high, upper, doubted, draws=100, tokens=250)


def test_scores_are_against_the_truth(world):
    p = world.truth
    found = score_outcomes(
        world,
        "any",
        [
            outcome(1.5 * p, 0, 2 * p),
            outcome(0.5 * p, 0, 0.9 * p, upper=0.9 * p),
        ],
    )
    assert found.rmse == pytest.approx(0.5)
    assert found.samples_ratio == pytest.approx((1 - p) / p / 0.25 / 100)
    assert found.token_gain == pytest.approx((1 - p) / p / 0.25 * world.mean_forward_tokens / 250)
    assert (found.covered, found.bounded) == (0.5, 0.5)
    # Half of the truth is not low; a third is.
    assert found.quietly_low == 0


def test_low_estimates_that_say_nothing_are_counted(world):
    p = world.truth
    low = [outcome(0.1 * p, 0, 0.2 * p), outcome(0.1 * p, 0, 0.2 * p, doubted=True), outcome(0.1 * p, 0, p)]
    found = score_outcomes(world, "any", [*low, outcome(4 * p, 0, 5 * p, upper=None)])
    assert found.quietly_low == 0.25
    assert found.bounded == 1.0


def test_always_zero_has_no_gain(world):
    found = score_outcomes(world, "any", [outcome(0.0, 0, 0, upper=None)] * 5)
    assert found.rmse == pytest.approx(1)
    assert found.samples_ratio is None
    assert found.token_gain is None
    assert found.bounded is None


def test_brute_force_is_exact(world):
    """Against a simulation of it."""
    found = score_brute_force(world, 2000)
    n = round(2000 / world.mean_forward_tokens)
    drawn = np.random.default_rng(0).binomial(n, world.truth, 200_000) / n
    assert found.draws == n
    assert found.rmse == pytest.approx(np.sqrt(np.mean((drawn - world.truth) ** 2)) / world.truth, rel=0.02)
    assert found.covered > 0.95


def test_the_table_shows_what_is_unknown_as_none(world):
    rows = [
        score_brute_force(world, 2000),
        score_outcomes(world, "zero", [outcome(0.0, 0, 0, upper=None)] * 2),
    ]
    lines = render_table(rows).splitlines()
    assert len({len(line) for line in lines}) == 1
    cells = [cell.strip() for cell in lines[3].split("|")[1:-1]]
    assert cells[7:] == ["none", "none", "0.0%", "none", "100.0%"]


def test_a_method_without_a_gain_has_no_mark():
    def score(method: str, kind: str, truth: float, gain: float | None) -> Score:
        return Score("w", kind, method, truth, 2, 1.0, 1.0, 1.0, 1.0, gain, gain, 1.0, 1.0, 0.0)

    full = [score(LEARNT, "covered", 1e-3, 50.0), score(LEARNT, "missed", 5e-3, 0.1)]
    without = [*full, score(PUBLISHED, "missed", 5e-3, None)]
    assert render_plot(full) == render_plot(without)
    assert render_plot([*full, score(PUBLISHED, "missed", 5e-3, 0.2)]) != render_plot(full)
