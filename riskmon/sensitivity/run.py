"""`riskmon sensitivity`: rewordings of the prompts of a file, their risks, a table and lines.

A prompt's lines are written as soon as its last wording is done, so an interrupted run keeps what it has; what is
finished is also shown then.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TextIO

from rich.console import Console

from riskmon.config import Config
from riskmon.config.sensitivity import SensitivityConfig
from riskmon.console import say, standard_output
from riskmon.progress import progress, status
from riskmon.records import Prompt, PromptResult
from riskmon.records.sensitivity import PromptSensitivity
from riskmon.sensitivity.families import NO_VARIANTS, Measured, Wordings, measure
from riskmon.sensitivity.lines import PRIVATE, lines_file, text_lines, wording_lines, write_lines
from riskmon.sensitivity.rewording import reword_apart
from riskmon.sensitivity.summary import prompt_sensitivities
from riskmon.sensitivity.table import ranked, sensitivity_table
from riskmon.traffic.prompts import read_prompts

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outputs:
    """Where results go besides the screen; None is nowhere.

    Attributes:
        out: a line per prompt and harm. wordings: a line per wording and harm. texts: the wordings themselves, as a
            prompt file of mode 0600.
    """

    out: Path | None = None
    wordings: Path | None = None
    texts: Path | None = None


@dataclass(slots=True)
class _Found:
    """What a run has so far."""

    rows: list[PromptSensitivity] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)


def sensitivity_file(
    config: Config,
    settings: SensitivityConfig,
    prompts: Path,
    outputs: Outputs = Outputs(),
    *,
    as_json: bool = False,
    console: Console | None = None,
) -> int:
    """Measure how far each prompt's risk moves under rewording.

    Args:
        prompts: a prompt file; `-` is standard input.
        as_json: JSON lines on standard output instead of a table per harm.
        console: where tables go; standard output if None.

    Returns:
        Exit code: 0, or 1 where nothing can be said of a prompt.

    Raises:
        UserError: prompts, outputs, wrappers or a model cannot be used.
    """
    if settings.samples is not None:
        estimate = config.estimate.model_copy(update={"samples_per_prompt": settings.samples})
        config = config.model_copy(update={"estimate": estimate})
    todo = read_prompts(prompts, config.traffic.strata if config.traffic is not None else ())
    found = _Found()
    with (
        lines_file(outputs.out) as out,
        lines_file(outputs.wordings) as each,
        lines_file(outputs.texts, PRIVATE) as texts,
        _shown_at_the_end(found, as_json, console or standard_output()),
    ):
        families = reword_apart(config, settings, todo)
        for wordings in families:
            write_lines(texts, text_lines(wordings))
        _measure_all(config, families, found, out, each)
    if not found.failures:
        return 0
    reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(found.failures.items()))
    log.error("nothing can be said of %d of %d prompts (%s)", found.failures.total(), len(todo), reasons)
    return 1


def _measure_all(
    config: Config, families: Sequence[Wordings], found: _Found, out: TextIO | None, each: TextIO | None
) -> None:
    """Estimate all wordings, prompt by prompt, and write what comes out."""
    able = [wordings for wordings in families if wordings.variants]
    if len(able) < len(families):
        found.failures[NO_VARIANTS] += len(families) - len(able)
    if not able:
        return
    with status("loading the model"):
        from riskmon.estimate.opening import open_session
        from riskmon.estimate.together import estimate_each

        session = open_session(config)
    total = sum(map(len, able))
    with progress("estimating wordings", total) as report:
        finished = 0
        for wordings in able:
            counted = _counting(partial(estimate_each, session), finished, report)
            measured = measure(wordings, wordings.prompt, counted)
            _write(measured, found, out, each)
            finished += len(wordings)
            report(finished, repr(wordings.prompt.id))


def _counting(
    estimates: Callable[[Sequence[Prompt]], Iterator[PromptResult]],
    before: int,
    report: Callable[[int, str], None],
) -> Callable[[Sequence[Prompt]], list[PromptResult]]:
    """The same, with every wording reported; the last of a prompt is reported with its id by the caller."""
    done = before

    def counted(prompts: Sequence[Prompt]) -> list[PromptResult]:
        nonlocal done
        results = []
        for result in estimates(prompts):
            if done > before:
                report(done, "")
            results.append(result)
            done += 1
        return results

    return counted


def _write(measured: Measured, found: _Found, out: TextIO | None, each: TextIO | None) -> None:
    rows = prompt_sensitivities(measured)
    if measured.failure:
        found.failures[measured.failure] += 1
    write_lines(each, wording_lines(measured))
    write_lines(out, (row.as_contract() for row in rows))
    found.rows += rows


@contextmanager
def _shown_at_the_end(found: _Found, as_json: bool, console: Console) -> Iterator[None]:
    """Show what was found however the block ends: an interrupted run has something to show too."""
    try:
        yield
    finally:
        if as_json:
            for row in ranked(found.rows):
                print(json.dumps(row.as_contract(), allow_nan=False))  # noqa: T201 - standard output is the product
        else:
            _show(found.rows, console)


def _show(rows: Sequence[PromptSensitivity], console: Console) -> None:
    for harm in dict.fromkeys(row.harm for row in rows):
        console.print(sensitivity_table(harm, [row for row in rows if row.harm == harm]))
    doubtful = sum(row.doubtful for row in rows)
    if doubtful:
        say(
            console,
            f"{doubtful} estimates of rewordings are flagged as doubtful; --wordings FILE shows which.",
        )
