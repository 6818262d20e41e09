"""`riskmon calibrate judge`: how often a judge is wrong, counted on answers that people have labelled.

In comes a labelled set (`labels.py`), out go a table and the file for `harms[].calibration`. Only the judge is loaded,
no model. `riskmon.statistics.judge_error` says which labels are fit for it. A judge that reads only a random part (a
cascade) is measured as it is used: what it reads stands for what it does not.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.table import Table

from riskmon.calibration.harms import choose_harm
from riskmon.calibration.labels import Label, read_labels
from riskmon.config import Config, HarmConfig
from riskmon.console import say, standard_output
from riskmon.errors import InputError
from riskmon.publish.figures import number
from riskmon.records import Prompt
from riskmon.records.judging import JudgeError
from riskmon.statistics import (
    count_class,
    false_alarm_floor,
    informative,
    sensitivity,
    specificity,
    write_judge_error,
)
from riskmon.traffic.content import Content

if TYPE_CHECKING:
    from riskmon.estimate.judges import Judge

log = logging.getLogger(__name__)

LEAST_LABELS = 10  # of each class; with fewer nothing can be said
_LOG_EVERY = 100  # prompts judged between two log lines


def calibrate_judge(
    config: Config,
    labels: Path,
    harm: str | None,
    out: Path | None,
    *,
    now: datetime,
    console: Console | None = None,
) -> int:
    """Measure the judge of a harm and write what was found.

    Args:
        config: the configuration; its harm says which judge at which threshold.
        labels: the labelled set.
        harm: name of the harm; None where there is only one.
        out: file to write; None is `judge-error-HARM.json` in the current folder.
        now: aware UTC time, written into the file.
        console: where the table goes; standard output if None.

    Returns:
        Exit code: 0, or 1 where the judge is no better than chance; nothing is written then.

    Raises:
        ConfigError: there is no such harm, or several and none is named.
        InputError: the labelled set or the output file cannot be used.
        ModelUnavailable: the judge cannot be loaded.
    """
    chosen = choose_harm(config, harm)
    out = Path(f"judge-error-{chosen.name}.json") if out is None else out
    if not out.parent.is_dir():
        raise InputError(f"cannot write {out}: its folder does not exist")
    answers, digest = read_labels(labels, chosen.name)
    _require_both(labels, [answer.harmful for answer in answers], "holds")

    from riskmon.estimate.judges import build_judge

    judge = build_judge(chosen.judge)
    error = _measure(judge, chosen, answers, labels, digest, now)
    console = console or standard_output()
    console.print(_table(error))
    if not informative(error):
        say(
            console, f"By these labels the judge {error.judge} is no better than chance: nothing was written."
        )
        say(console, "Use another judge or threshold, or label more answers.")
        return 1
    write_judge_error(out, error)
    _explain(console, error, out)
    return 0


def _require_both(labels: Path, harmful: list[bool], verb: str) -> None:
    found = {"harmful": sum(harmful), "harmless": len(harmful) - sum(harmful)}
    if min(found.values()) < LEAST_LABELS:
        counts = " and ".join(f"{count} {name}" for name, count in found.items())
        raise InputError(
            f"the labelled set {labels} {verb} {counts} answers; at least {LEAST_LABELS} of each are needed"
        )


def _measure(
    judge: Judge, harm: HarmConfig, answers: list[Label], labels: Path, digest: str, now: datetime
) -> JudgeError:
    """Judge every answer and count."""
    weights = np.array([answer.weight for answer in answers])
    harmful = np.array([answer.harmful for answer in answers])
    flagged, unreadable = np.zeros_like(harmful), np.zeros_like(harmful)
    for prompt, rows in _with_progress(answers):
        verdicts = judge.judge(prompt, [answers[row].response for row in rows])
        flagged[rows], unreadable[rows] = verdicts.harmful(harm.cut), verdicts.unreadable
        if verdicts.multiplicity is not None:
            weights[rows] *= verdicts.multiplicity
    read = weights > 0  # what a cascade passes over has multiplicity 0
    if not read.all():
        _require_both(labels, harmful[read].tolist(), f"was read in part by the judge {judge.id}, which left")
    bad, good = (
        count_class(flagged[part], unreadable[part], weights[part])
        for part in (harmful & read, ~harmful & read)
    )
    return JudgeError(
        harm=harm.name,
        judge=judge.id,
        threshold=harm.cut,
        true_positive=bad.flagged,
        false_negative=bad.passed,
        true_negative=good.passed,
        false_positive=good.flagged,
        unreadable_harmful=bad.unreadable,
        unreadable_harmless=good.unreadable,
        labelled_harmful=int((harmful & read).sum()),
        labelled_harmless=int((~harmful & read).sum()),
        labels_sha256=digest,
        made_at=now,
    )


def _with_progress(answers: list[Label]) -> Iterator[tuple[Prompt, list[int]]]:
    """Distinct prompts with the rows that answer them; a bar on a terminal, log lines elsewhere."""
    rows: dict[Content, list[int]] = {}
    for row, answer in enumerate(answers):
        rows.setdefault(answer.content, []).append(row)
    prompts = [(Prompt(answers[mine[0]].id, content), mine) for content, mine in rows.items()]
    console = Console(stderr=True)
    if console.is_terminal:
        yield from track(prompts, description="judging", console=console)
        return
    for done, item in enumerate(prompts, start=1):
        yield item
        if done % _LOG_EVERY == 0 or done == len(prompts):
            log.info("answers to %d of %d prompts judged", done, len(prompts))


def _table(error: JudgeError) -> Table:
    table = Table(
        title=escape(f"Judge {error.judge} at {error.threshold:g}, harm {error.harm}"),
        title_justify="left",
        box=box.SIMPLE_HEAD,
        caption="95% Clopper-Pearson limits; an unreadable verdict is wrong in the low one, right in the high one",
        caption_justify="left",
    )
    table.add_column("")
    for heading in ("value", "low", "high", "labels", "effective", "unreadable"):
        table.add_column(heading, justify="right", no_wrap=True)
    se, sp = sensitivity(error), specificity(error)
    rows = (
        ("sensitivity", se, error.labelled_harmful, error.harmful, error.unreadable_harmful),
        ("specificity", sp, error.labelled_harmless, error.harmless, error.unreadable_harmless),
    )
    for name, rate, labels, effective, lost in rows:
        limits = (f"{value:.5f}" for value in (rate.value, rate.low, rate.high))
        table.add_row(name, *limits, str(labels), number(effective), number(lost))
    return table


def _explain(console: Console, error: JudgeError, out: Path) -> None:
    floor = number(false_alarm_floor(error))
    say(
        console,
        f"Floor: {floor}. A judged probability up to it may be false alarms alone (BELOW_JUDGE_FLOOR).",
    )
    say(
        console,
        f"Written to {out}. To correct for these errors, give harm {error.harm} in the configuration:",
    )
    say(console, f"  calibration: {out.resolve()}")
