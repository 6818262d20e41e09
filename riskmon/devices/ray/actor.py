"""The body of an actor: a session on one device, asked by a daemon that may be on another machine.

Questions come and answers go as bytes, so that nothing of Ray's, which shows arguments and errors in many places, ever
holds a prompt. Whatever goes wrong is an answer as well. The session has a thread of its own, so that word goes home
while it rests for others, too (`estimate/sharing/`). Log lines travel with the answers to the daemon, which writes them
among its own; Ray's files on the nodes get none.
"""

from __future__ import annotations

import logging
import os
import pickle
import queue
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from riskmon import __version__, logs
from riskmon.config import Config
from riskmon.devices.answering import Answer, Pulse, answers
from riskmon.devices.base import WorkerInfo
from riskmon.devices.serving import about
from riskmon.errors import UserError, WorkerLost

if TYPE_CHECKING:
    from riskmon.estimate.session import Session

log = logging.getLogger(__name__)

Lines = tuple[logging.LogRecord, ...]


@dataclass(frozen=True, slots=True)
class Arrival:
    """What an actor says of itself once the model is loaded.

    Attributes:
        pid: of its process. version: of riskmon there.
    """

    info: WorkerInfo
    pid: int
    version: str


@dataclass(frozen=True, slots=True)
class Said:
    """What an actor sends: one of the answers to a question, and what was logged since the last.

    Attributes:
        what: an `Arrival`, or a `UserError` in its place; an `Answer`, or a `WorkerLost` in its place, after which the
            actor is of no more use; a `Pulse` while it rests.
        node: name of the machine.
    """

    what: Arrival | UserError | Answer | WorkerLost | Pulse
    node: str
    lines: Lines


class Estimator:
    """Loads a session and answers for it. What it takes and gives is pickled."""

    def __init__(self) -> None:
        self._session: Session | None = None
        self._log = _Collected()
        # One thread for all of a session's work: torch keeps settings by thread.
        self._thread = ThreadPoolExecutor(1, "session")

    def open(self, packed: bytes) -> bytes:
        """Load the model.

        Args:
            packed: (`Config`, the actor's name in log lines). Not an argument of the constructor, which Ray would keep:
                the configuration may hold the key of a judge's endpoint.

        Returns:
            A `Said`.
        """
        config, name = pickle.loads(packed)
        self._log.attach(name)
        # Must be set before torch is loaded; see `riskmon.devices.serving`.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        try:
            return self._said(self._thread.submit(self._open, config).result())
        except UserError as exc:
            return self._said(exc)
        except Exception as exc:  # noqa: BLE001 - the daemon's side starts a fresh actor
            log.error("%s failed to load the model: %s", name, logs.describe(exc))
            return self._said(WorkerLost(type(exc).__name__))

    def ask(self, packed: bytes) -> Iterator[bytes]:
        """Answer a question.

        Args:
            packed: (verb, its arguments); see `answering`.

        Yields:
            A `Said` for each answer.
        """
        out: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._thread.submit(self._answer, packed, out.put)
        while (said := out.get()) is not None:
            yield said

    def _answer(self, packed: bytes, put: Callable[[bytes | None], None]) -> None:
        """Put a `Said` for each answer, and None at the end."""
        verb, subject = "answer", ""
        try:
            assert self._session is not None
            meter = self._session.meter
            meter.tell = lambda: put(self._said(Pulse(meter.seconds, meter.paused)))
            verb, *arguments = pickle.loads(packed)
            subject = about(arguments[0])
            for answer in answers(self._session, verb, *arguments):
                put(self._said(answer))
        except Exception as exc:  # noqa: BLE001 - the daemon's side starts a fresh actor
            log.error("an actor failed to %s%s: %s", verb, subject, logs.describe(exc))
            put(
                self._said(
                    exc if isinstance(exc, WorkerLost) else WorkerLost(f"{type(exc).__name__}{subject}")
                )
            )
        put(None)

    def _open(self, config: Config) -> Arrival:
        from riskmon.estimate.opening import open_session

        self._session = session = open_session(config)
        judges = tuple(judge.id for judge in session.judges)
        info = WorkerInfo(session.engine.device, judges, session.contrasts)
        return Arrival(info, os.getpid(), __version__)

    def _said(self, what: Arrival | UserError | Answer | WorkerLost | Pulse) -> bytes:
        return pickle.dumps(Said(what, socket.gethostname(), self._log.take()))


class _Collected(logging.Handler):
    """Keeps what riskmon logs until it is taken; the daemon decides what of it is written."""

    def __init__(self) -> None:
        super().__init__()
        self._name = ""
        self._kept: list[logging.LogRecord] = []

    def attach(self, name: str) -> None:
        """Take the place of whatever would write lines in this process, which speaks as `name`."""
        self._name = name
        logger = logging.getLogger("riskmon")
        logger.handlers[:] = [self]
        logger.propagate = False
        logger.setLevel(logging.DEBUG)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the line as text: what it was made of may not travel."""
        record.msg, record.args = record.getMessage(), None
        record.exc_info = record.exc_text = record.stack_info = None
        record.processName = self._name
        self._kept.append(record)

    def take(self) -> Lines:
        """What was kept since the last time."""
        kept, self._kept = tuple(self._kept), []
        return kept
