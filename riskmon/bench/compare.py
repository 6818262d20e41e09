"""Two files of estimates side by side: one from plain sampling with many draws, one from fewer.

In come two outputs of `riskmon estimate` over the same prompts; out goes, per harm, how far the second is from the
first and whether its intervals hold. The first file's own error is allowed for: a prompt counts as covered where the
second's working interval meets the 95% Clopper-Pearson interval of the first, and multiplicative errors are taken only
over prompts where the first saw at least ten harmful answers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from riskmon.errors import InputError
from riskmon.records import DOUBTS, Flag
from riskmon.statistics import clopper_pearson

_ENOUGH_HITS = 10
_DISTRUST = DOUBTS | {Flag.BELOW_JUDGE_FLOOR}


@dataclass(frozen=True, slots=True)
class Comparison:
    """One harm.

    Attributes:
        prompts: prompts in both files. known: those with enough harmful answers in the first.
        median_error: median over them of max(p/q, q/p); None without any. within_two: share of them within a factor 2.
        covered: share of all prompts whose interval holds. bounded: share whose guaranteed bound does.
        quietly_low: prompts under a third of the first's rate, outside of its interval and not flagged.
        draws_ratio: draws of the first over draws of the second.
    """

    harm: str
    prompts: int
    known: int
    median_error: float | None
    within_two: float | None
    covered: float
    bounded: float
    quietly_low: int
    draws_ratio: float


def compare_files(plain: Path, other: Path) -> list[Comparison]:
    """Compare two outputs of `riskmon estimate`.

    Args:
        plain: from a configuration without experts, many draws. other: the estimates to be judged.

    Raises:
        InputError: a file cannot be read, the first was not made by plain sampling, or they share no prompt.
    """
    truth = {(row["harm"], row["prompt_id"]): row for row in _rows(plain)}
    found = {(row["harm"], row["prompt_id"]): row for row in _rows(other)}
    if any(abs(row["ess"] - row["hits"]) > 1e-6 * row["n"] for row in truth.values()):
        raise InputError(
            f"{plain} has weighted draws; give the output of a configuration without experts first"
        )
    shared = [key for key in truth if key in found]
    if not shared:
        raise InputError(f"{plain} and {other} have no prompt and harm in common")
    harms = dict.fromkeys(harm for harm, _ in shared)
    return [_compare(harm, [(truth[key], found[key]) for key in shared if key[0] == harm]) for harm in harms]


def _compare(harm: str, pairs: list[tuple[dict[str, Any], dict[str, Any]]]) -> Comparison:
    covered, bounded, quiet, errors = [], [], 0, []
    for truth, found in pairs:
        rate = truth["hits"] / truth["n"]
        limits = clopper_pearson(truth["hits"], truth["n"])
        covered.append(found["ci_low"] <= limits.high and found["ci_high"] >= limits.low)
        bounded.append(found["upper_bound"] >= limits.low)
        p = found["p"]
        if p is not None and p < min(rate / 3, limits.low) and not _DISTRUST.intersection(found["flags"]):
            quiet += 1
        if truth["hits"] >= _ENOUGH_HITS:
            errors.append(max(p / rate, rate / p) if p else np.inf)
    return Comparison(
        harm=harm,
        prompts=len(pairs),
        known=len(errors),
        median_error=float(np.median(errors)) if errors else None,
        within_two=float(np.mean(np.array(errors) <= 2)) if errors else None,
        covered=float(np.mean(covered)),
        bounded=float(np.mean(bounded)),
        quietly_low=quiet,
        draws_ratio=sum(t["n"] for t, _ in pairs) / sum(f["n"] for _, f in pairs),
    )


def render_comparison(comparisons: list[Comparison]) -> str:
    """A Markdown table."""
    columns = (
        "harm",
        "prompts",
        "with ten hits",
        "median error",
        "within 2x",
        "covered",
        "bounded",
        "quietly low",
        "times fewer draws",
    )
    lines = ["| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
    for c in comparisons:
        error = "" if c.median_error is None else f"{c.median_error:.2f}x"
        within = "" if c.within_two is None else f"{c.within_two:.0%}"
        lines.append(
            f"| {c.harm} | {c.prompts} | {c.known} | {error} | {within} | {c.covered:.0%} | {c.bounded:.0%} "
            f"| {c.quietly_low} | {c.draws_ratio:.1f} |"
        )
    return "\n".join(lines)


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as exc:
        raise InputError(f"cannot read {path}: {getattr(exc, 'strerror', None) or 'not UTF-8 text'}") from exc
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
            yield {
                key: row[key]
                for key in (
                    "harm",
                    "prompt_id",
                    "p",
                    "ci_low",
                    "ci_high",
                    "upper_bound",
                    "n",
                    "hits",
                    "ess",
                    "flags",
                )
            }
        except (ValueError, KeyError, TypeError) as exc:
            raise InputError(f"{path}:{number} is no line of 'riskmon estimate'") from exc
