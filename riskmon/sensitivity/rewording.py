"""Rewording with a model that writes paraphrases, in a process of its own that can be ended at any moment.

An endpoint may take minutes to answer, and a thread that waits for it cannot be ended: Ctrl-C would hang, and the
daemon could not be stopped or keep a deadline. Without such a model rewording is a matter of milliseconds, and is done
in place. Prompts go in, wordings come out through a pipe; what the process holds is gone with it.
"""

from __future__ import annotations

import logging
import multiprocessing
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess

from riskmon import logs
from riskmon.config import Config
from riskmon.config.sensitivity import SensitivityConfig
from riskmon.devices.child import settle
from riskmon.errors import RewordingEnded, UserError
from riskmon.records import Prompt
from riskmon.sensitivity.families import Wordings, reword

log = logging.getLogger(__name__)

_POLL_S = 0.2


def reword_apart(
    config: Config,
    settings: SensitivityConfig,
    prompts: Sequence[Prompt],
    deadline: float = float("inf"),
    stop: Callable[[], bool] = lambda: False,
) -> list[Wordings]:
    """Every prompt with its rewordings; with none where it has no user turn to reword.

    Args:
        deadline: on the clock of `time.monotonic`; beyond it the process is ended.
        stop: asked while waiting; after a True the process is ended.

    Raises:
        ConfigError: the file of polite wrappers cannot be used.
        ModelUnavailable: the paraphrasing model cannot be used.
        RewordingEnded: told to stop, out of time, or the process died.
    """
    if "paraphrase" not in settings.active_kinds:
        return reword(config, settings, prompts)
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    # Not a daemonic process: those may not start the one that holds a local model.
    process = context.Process(
        target=_serve, args=(theirs, config, settings, tuple(prompts)), name="riskmon-rewording"
    )
    process.start()
    theirs.close()
    try:
        answer = _receive(ours, process, deadline, stop)
    finally:
        ours.close()
        _end(process)
    if isinstance(answer, UserError):
        raise answer
    if not isinstance(answer, list):
        raise RewordingEnded(f"the rewording of prompts failed: {answer}")
    return answer


def _receive(pipe: Connection, process: SpawnProcess, deadline: float, stop: Callable[[], bool]) -> object:
    while True:
        ready = wait([pipe, process.sentinel], timeout=_POLL_S)
        try:
            if pipe in ready:
                return pipe.recv()
            died = bool(ready)
        except (EOFError, OSError):
            died = True
        if died:
            process.join(1)  # the pipe may close a moment before there is an exit code
            raise RewordingEnded(f"the process that rewords prompts died (exit code {process.exitcode})")
        if stop():
            raise RewordingEnded("stopped while prompts were being reworded")
        if time.monotonic() > deadline:
            raise RewordingEnded("the rewording of prompts overran the deadline and was ended")


def _end(process: SpawnProcess) -> None:
    process.terminate()
    process.join(2)
    if process.is_alive():
        process.kill()
        process.join()


def _serve(
    pipe: Connection, config: Config, settings: SensitivityConfig, prompts: tuple[Prompt, ...]
) -> None:
    """Body of the process."""
    settle()
    logs.configure(config.logging)
    try:
        pipe.send(reword(config, settings, prompts))
    except UserError as exc:
        pipe.send(exc)
    except Exception as exc:  # noqa: BLE001 - the parent decides what its end means
        log.error("the rewording of prompts failed: %s", logs.describe(exc))
        pipe.send(type(exc).__name__)
