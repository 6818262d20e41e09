"""The body of an actor: a session on one device, asked by a daemon that may be on another machine.

Questions come and replies go as bytes, so that nothing of Ray's, which prints arguments and errors in many places, ever
holds a prompt. Whatever goes wrong is a reply as well. Log lines travel with the replies to the daemon, which writes
them among its own; Ray's files on the nodes get none.
"""

from __future__ import annotations

import logging
import os
import pickle
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from riskmon import __version__, logs
from riskmon.config import Config
from riskmon.devices.base import WorkerInfo
from riskmon.errors import UserError, WorkerLost
from riskmon.records import Prompt

if TYPE_CHECKING:
    from riskmon.estimate.session import Session

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Reply:
    """What an actor sends back.

    Attributes:
        answer: to the question; a `UserError` or a `WorkerLost` where there is none.
        device_seconds, paused_seconds: of this question.
        lines: what was logged on the way.
    """

    answer: object
    device_seconds: float = 0.0
    paused_seconds: float = 0.0
    lines: tuple[logging.LogRecord, ...] = ()


@dataclass(frozen=True, slots=True)
class Arrival:
    """What an actor says of itself once the model is loaded.

    Attributes:
        node: name of the machine. pid: of the process there.
        version: of riskmon there.
    """

    info: WorkerInfo
    node: str
    pid: int
    version: str


class Estimator:
    """Loads a session and answers for it."""

    def __init__(self) -> None:
        self._session: Session | None = None
        self._lines = _Lines()

    def open(self, packed: bytes) -> bytes:
        """Load the model.

        Args:
            packed: pickled (`Config`, the actor's name in log lines). Not an argument of the constructor, which Ray
                would keep: the configuration may hold the key of a judge's endpoint.

        Returns:
            A pickled `Reply` whose answer is an `Arrival`.
        """
        config, name = pickle.loads(packed)
        self._lines.attach(name)
        # Must be set before torch is loaded; see riskmon.devices.serving.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        return pickle.dumps(self._reply("load the model", self._open, config))

    def ask(self, packed: bytes) -> bytes:
        """Answer a question.

        Args:
            packed: pickled (verb, its arguments).

        Returns:
            A pickled `Reply`.
        """
        verb, *arguments = pickle.loads(packed)
        about = f" on prompt {arguments[0].id!r}" if isinstance(arguments[0], Prompt) else ""
        return pickle.dumps(self._reply(f"{verb}{about}", getattr(self, f"_{verb}"), *arguments))
