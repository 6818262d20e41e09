"""`riskmon estimate`: prompts from a file, one after the other, without store, traffic or budget.

Every line is flushed as soon as its prompt is done, so an interrupted run keeps what it has.
"""

from __future__ import annotations

import json
import logging
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from riskmon.config import Config
from riskmon.errors import InputError
from riskmon.records import Prompt, PromptResult
from riskmon.traffic.prompts import read_prompts

log = logging.getLogger(__name__)


def estimate_file(config: Config, prompts: Path, out: Path | None) -> int:
    """Estimate every prompt of a file; returns the exit code, 1 where a prompt has no estimate.

    Args:
        out: file to write; standard output if None.

    Raises:
        UserError: the prompts, the output or the model cannot be used.
    """
    strata = config.traffic.strata if config.traffic is not None else ()
    todo = read_prompts(prompts, strata)
    with _output(out) as lines:
        failures = Counter(_estimate_all(config, todo, lines))
    if not failures:
        return 0
    reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(failures.items()))
    log.error("%d of %d prompts have no estimate (%s)", failures.total(), len(todo), reasons)
    return 1


def _estimate_all(config: Config, prompts: Sequence[Prompt], lines: TextIO) -> Iterator[str]:
    """Write a line per estimate; yields the reason of each failure."""
    console = Console(stderr=True)
    with console.status("loading the model") if console.is_terminal else nullcontext():
        from riskmon.estimate.session import open_session

        session = open_session(config)
    for result in _with_progress((session.estimate(prompt) for prompt in prompts), len(prompts), console):
        for estimate in result.estimates:
            lines.write(json.dumps(estimate.as_contract(), allow_nan=False) + "\n")
        lines.flush()
        if result.failure:
            yield result.failure


def _with_progress(results: Iterator[PromptResult], total: int, console: Console) -> Iterator[PromptResult]:
    """A bar on a terminal, a log line per prompt elsewhere."""
    if not console.is_terminal:
        for done, result in enumerate(results, 1):
            log.info("prompt %d of %d done: %r", done, total, result.prompt.id)
            yield result
        return
    columns = (
        TextColumn("estimating"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=total)
        for result in results:
            progress.update(task, advance=1, description=result.prompt.id)
            yield result


@contextmanager
def _output(path: Path | None) -> Iterator[TextIO]:
    """Standard output, or a file that is opened before any work is done."""
    if path is None:
        yield sys.stdout
        return
    try:
        file = path.open("w", encoding="utf-8")
    except OSError as exc:
        raise InputError(f"cannot write {path}: {exc.strerror}") from exc
    with file:
        yield file
