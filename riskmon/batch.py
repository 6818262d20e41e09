"""`riskmon estimate`: prompts from a file, as many at once as fill the device, without store, traffic or budget.

Lines are in the order of the file, and each is flushed as soon as its prompt and all before it are done, so an
interrupted run keeps what it has.
"""

from __future__ import annotations

import json
import logging
import math
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TextIO

from riskmon.config import Config
from riskmon.devices.base import Devices
from riskmon.devices.opening import open_devices
from riskmon.errors import InputError
from riskmon.progress import progress, status
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
    with (
        _estimator(config) as estimate_each,
        progress("estimating", len(prompts), partial(_log_prompt, len(prompts))) as report,
    ):
        for done, result in enumerate(estimate_each(prompts), 1):
            for estimate in result.estimates:
                lines.write(json.dumps(estimate.as_contract(), allow_nan=False) + "\n")
            lines.flush()
            report(done, result.prompt.id)
            if result.failure:
                yield result.failure


@contextmanager
def _estimator(config: Config) -> Iterator[Callable[[Sequence[Prompt]], Iterator[PromptResult]]]:
    """What estimates prompts one after the other, in the order given: a model here, or actors of a Ray cluster."""
    if config.devices.kind == "local":
        with status("loading the model"):
            from riskmon.estimate.opening import open_session
            from riskmon.estimate.together import estimate_each

            session = open_session(config)
        yield partial(estimate_each, session)
        return
    devices = open_devices(config)
    try:
        with status("loading the model on every actor"):
            devices.start(_never)
        yield partial(_spread, devices)
    finally:
        devices.close()


def _spread(devices: Devices, prompts: Sequence[Prompt]) -> Iterator[PromptResult]:
    """Results in the order of the prompts; those that are done early wait for their turn."""
    early: defaultdict[str, list[PromptResult]] = defaultdict(list)
    turn = iter(prompts)
    awaited = next(turn, None)
    for result in devices.estimate(prompts, math.inf, _never):
        early[result.prompt.stream_key].append(result)
        while awaited is not None and early[awaited.stream_key]:
            yield early[awaited.stream_key].pop()
            awaited = next(turn, None)


def _never() -> bool:
    return False


def _log_prompt(total: int, done: int, prompt_id: str) -> None:
    log.info("prompt %d of %d done: %r", done, total, prompt_id)


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
