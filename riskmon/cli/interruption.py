"""Ctrl-C on the command line: exit code 130, and a word on how to go on where work can be resumed."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import NoReturn

import typer

INTERRUPTED = 130


class Interrupted(BaseException):
    """Ctrl-C, under a name that the command-line library does not take for its own."""


def watch_interrupt() -> None:
    """From now on Ctrl-C raises `Interrupted` in the main thread."""
    signal.signal(signal.SIGINT, _interrupt)


def ignore_hangup() -> None:
    """From now on SIGHUP does nothing, until the daemon takes it for a reload.

    A reload that a supervisor asks for while the daemon starts would else end it.
    """
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def resumable(work: Callable[[], int]) -> NoReturn:
    """Do work that goes on where it stopped when it is asked for again, and say so if it is interrupted."""
    try:
        code = work()
    except Interrupted:
        code = INTERRUPTED
    if code == INTERRUPTED:
        typer.echo("riskmon: interrupted; the same command goes on from here", err=True)
    raise typer.Exit(code)


def _interrupt(*_: object) -> None:
    raise Interrupted
