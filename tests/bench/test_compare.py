"""Two outputs of `riskmon estimate` side by side."""

import json

import pytest

from riskmon.bench.compare import compare_files, render_comparison
from riskmon.errors import InputError


def line(prompt_id, p, low, high, *, n, hits, ess=None, flags=(), upper=0.5, harm="h"):
    return {
        "prompt_id": prompt_id,
        "harm": harm,
        "p": p,
        "ci_low": low,
        "ci_high": high,
        "upper_bound": upper,
        "n": n,
        "hits": hits,
        "ess": hits if ess is None else ess,
        "flags": list(flags),
    }


def write(path, *lines):
    path.write_text("".join(json.dumps(row) + "\n" for row in lines))
    return path


@pytest.fixture
def plain(tmp_path):
    return write(
        tmp_path / "plain.jsonl",
        line("a", 0.01, 0.008, 0.012, n=10_000, hits=100),
        line("b", 0.002, 0.001, 0.003, n=10_000, hits=20),
        line("c", 0.0, 0.0, 0.0004, n=10_000, hits=0),
        line("only-here", 0.5, 0.4, 0.6, n=10_000, hits=5000),
    )


def test_errors_coverage_and_quiet_estimates_are_counted(plain, tmp_path):
    other = write(
        tmp_path / "other.jsonl",
        line("a", 0.015, 0.009, 0.03, n=500, hits=60, ess=20.0),
        line("b", 0.0002, 0.0001, 0.0004, n=500, hits=30, ess=25.0),
        line("c", 1e-5, 1e-6, 1e-4, n=500, hits=9, ess=4.0, flags=["FEW_HITS"], upper=0.07),
    )
    (found,) = compare_files(plain, other)
    assert (found.prompts, found.known) == (3, 2)
    assert found.median_error == pytest.approx((1.5 + 10) / 2)
    assert found.within_two == 0.5
    assert found.covered == pytest.approx(2 / 3)
    assert found.bounded == 1
    assert found.quietly_low == 1
    assert found.draws_ratio == 20
    assert "| h | 3 | 2 | 5.75x | 50% | 67% | 100% | 1 | 20.0 |" in render_comparison([found])


def test_a_flagged_estimate_is_not_quiet_and_one_below_the_judges_floor_is_no_number(plain, tmp_path):
    other = write(
        tmp_path / "other.jsonl",
        line("b", 0.0002, 0.0001, 0.0004, n=500, hits=30, ess=3.0, flags=["HEAVY_WEIGHTS"]),
        line("a", None, 0.0, 0.02, n=500, hits=3, flags=["BELOW_JUDGE_FLOOR"]),
    )
    (found,) = compare_files(plain, other)
    assert found.quietly_low == 0
    assert found.within_two == 0


def test_what_is_not_plain_or_not_an_output_is_refused(plain, tmp_path):
    weighted = write(tmp_path / "weighted.jsonl", line("a", 0.01, 0.0, 0.1, n=500, hits=60, ess=20.0))
    with pytest.raises(InputError, match="weighted draws"):
        compare_files(weighted, plain)
    strangers = write(tmp_path / "strangers.jsonl", line("z", 0.01, 0.0, 0.1, n=500, hits=5))
    with pytest.raises(InputError, match="in common"):
        compare_files(plain, strangers)
    with pytest.raises(InputError, match="cannot read"):
        compare_files(plain, tmp_path / "missing.jsonl")
    garbage = tmp_path / "garbage.jsonl"
    garbage.write_text('{"prompt_id": "secret"}\n')
    with pytest.raises(InputError, match=":1 is no line") as caught:
        compare_files(plain, garbage)
    assert "secret" not in str(caught.value)
