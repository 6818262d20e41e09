"""From estimates to figures, lines and a table; worked out by hand."""

import dataclasses
import io
import json
from collections import Counter

import pytest
from rich.console import Console
from sensitivity.wordings import estimate, result

from riskmon.records import Flag, Prompt, PromptResult, Stratum
from riskmon.sensitivity.families import Measured, Wordings
from riskmon.sensitivity.lines import wording_lines
from riskmon.sensitivity.summary import prompt_sensitivities, stratum_sensitivities
from riskmon.sensitivity.table import ranked, sensitivity_table
from riskmon.sensitivity.variants import Variant

CHAT = Stratum((("route", "chat"),))
NAMES = ("a~case-1", "a~case-2", "a~typos-1", "a~typos-2", "a~politeness-1")


def measured(base, variants, *, stratum=CHAT, failed=0, dropped=None, prompt_id="a"):
    prompt = Prompt(prompt_id, "SECRET text", stratum)
    rewordings = [Prompt(e.prompt_id, "SECRET words", stratum) for e in variants]
    kinds = tuple(Variant(p, p.id.split("~")[1].split("-")[0]) for p in rewordings)
    results = [
        result(p, dataclasses.replace(e, stratum=stratum)) for p, e in zip(rewordings, variants, strict=True)
    ]
    lost = [PromptResult(prompt, failure="too_long", message="too long")] * failed
    return Measured(
        Wordings(prompt, kinds, Counter(dropped or {})),
        result(prompt, dataclasses.replace(base, stratum=stratum)),
        (*results, *lost),
    )


def family():
    values = ((1e-4, 1e-5), (2e-4, 2e-5), (4e-4, 4e-5), (3e-3, 3e-4), (0.0, None))
    variants = [estimate(name, p, error, upper=0.01) for name, (p, error) in zip(NAMES, values, strict=True)]
    variants[2] = dataclasses.replace(variants[2], flags=(Flag.COVERAGE_GAP, Flag.FEW_HITS))
    return measured(estimate("a", 1e-4, 1e-6), variants, failed=2, dropped={"empty": 1, "altered": 2})


def test_figures_of_a_prompt():
    (row,) = prompt_sensitivities(family())
    assert (row.prompt_id, row.harm, row.stratum) == ("a", "misuse", CHAT)
    assert (row.variants, row.with_hits, row.doubtful, row.failed, row.dropped) == (5, 4, 1, 2, 3)
    assert row.mean == pytest.approx(3.7e-3 / 5)
    assert row.mean_stderr == pytest.approx((1e-10 + 4e-10 + 16e-10 + 9e-8) ** 0.5 / 5)
    assert row.mean_upper == pytest.approx((3.7e-3 + 0.01) / 5)
    assert row.quantiles == ((0.1, 0.0), (0.5, 2e-4), (0.9, 3e-3))
    assert 1e-5 < row.geometric_mean < 1e-3
    assert row.log10_sd_low < row.log10_sd < row.log10_sd_high
    assert row.worst_observed == pytest.approx(30)
    assert row.worst_variant == "a~typos-2"
    assert row.worst == pytest.approx(30)  # nothing else comes near, but for the one that was not seen
    assert row.worst_low < 30 < row.worst_high
    assert row.base_to_mean == pytest.approx(1e-4 / (3.7e-3 / 5))
    assert row.worst_share == pytest.approx(3 / 3.7)


def test_what_is_unknown_is_none_and_not_zero():
    variants = [estimate(name, stderr=None, upper=0.01) for name in NAMES]
    (row,) = prompt_sensitivities(measured(estimate("a", stderr=None, upper=0.02), variants))
    assert (row.base_p, row.base_upper, row.mean, row.mean_upper) == (None, 0.02, 0.0, 0.01)
    for name in ("mean_stderr", "geometric_mean", "log10_sd", "log10_sd_low", "log10_sd_high", "worst"):
        assert getattr(row, name) is None
    for name in ("worst_high", "worst_observed", "worst_variant", "base_to_mean", "worst_share"):
        assert getattr(row, name) is None
    assert row.worst_low == 0
    json.dumps(row.as_contract(), allow_nan=False)


def test_a_prompt_without_estimates_has_a_reason_and_no_figures():
    prompt = Prompt("a", "SECRET text", CHAT)
    gone = PromptResult(prompt, failure="too_long", message="too long")
    lost = Measured(Wordings(prompt, ()), gone, ())
    assert (lost.failure, prompt_sensitivities(lost)) == ("too_long", [])
    alone = dataclasses.replace(family(), variants=(gone, gone))
    assert (alone.failure, prompt_sensitivities(alone)) == ("too_long", [])
    assert family().failure is None


def test_strata_have_the_largest_amplification_and_the_median_spread():
    code = Stratum((("route", "code"),))
    steady = [estimate(name, 1e-4, 1e-6) for name in NAMES]
    items = [
        family(),
        measured(estimate("b", 1e-4, 1e-6), steady, prompt_id="b"),
        measured(estimate("c", 1e-4, 1e-6), steady, prompt_id="c"),
        measured(estimate("d", 1e-4, 1e-6), steady, prompt_id="d", stratum=code),
    ]
    chat, other = stratum_sensitivities(items)
    assert (chat.stratum, chat.prompts, other.stratum, other.prompts) == (CHAT, 3, code, 1)
    assert chat.worst == pytest.approx(30)
    assert chat.worst_low < 30 < chat.worst_high
    assert chat.log10_spread < 0.05  # two of three prompts do not move
    assert other.worst == pytest.approx(1.0, abs=0.05)


def test_lines_per_wording_carry_their_kind():
    lines = list(wording_lines(family()))
    assert [(line["wording_id"], line["kind"]) for line in lines] == [
        ("a", "base"), *((name, name.split("~")[1].split("-")[0]) for name in NAMES)
    ]  # fmt: skip
    assert {line["prompt_id"] for line in lines} == {"a"}
    assert list(lines[0])[:5] == ["prompt_id", "wording_id", "kind", "harm", "stratum"]
    assert "SECRET" not in json.dumps(lines)


def test_the_table_ranks_by_amplification_and_shows_bounds_as_bounds():
    steady = [estimate(name, 1e-4, 1e-6) for name in NAMES]
    rows = [
        *prompt_sensitivities(measured(estimate("b", 1e-4, 1e-6), steady, prompt_id="b")),
        *prompt_sensitivities(family()),
        *prompt_sensitivities(measured(estimate("c", stderr=None, upper=2e-6), steady, prompt_id="[c]")),
    ]
    assert [row.prompt_id for row in ranked(rows)] == ["[c]", "a", "b"]
    screen = io.StringIO()
    Console(file=screen, width=120, highlight=False).print(sensitivity_table("misuse", rows))
    lines = screen.getvalue().splitlines()
    first = [line.split()[0] for line in lines if line.strip()]
    assert [word for word in first if word in {"[c]", "a", "b"}] == ["[c]", "a", "b"]
    shown = next(line for line in lines if "typos-2" in line)
    assert "30" in shown
    assert "1e-4  7.4e-4" in shown
    assert "< 2e-6" in screen.getvalue()
    assert "∞" in screen.getvalue()
    assert "SECRET" not in screen.getvalue()
