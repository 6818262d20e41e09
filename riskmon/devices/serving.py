"""The body of the device process: loads the model, then answers question after question."""

from __future__ import annotations

import logging
import os
from multiprocessing.connection import Connection

from riskmon import logs
from riskmon.config import Config
from riskmon.devices.answering import Pulse, answers
from riskmon.devices.base import WorkerInfo
from riskmon.devices.child import settle
from riskmon.errors import UserError, WorkerLost
from riskmon.records import Prompt

log = logging.getLogger(__name__)


def serve(pipe: Connection, config: Config, role: str | None) -> None:
    """Body of the worker process."""
    settle()
    logs.speak_as(role)
    logs.configure(config.logging)
    # Must be set before torch is loaded. Threads that spin while they wait take the CPU from the intake, and on busy
    # cores make the model itself many times slower.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from riskmon.estimate.opening import open_session

    try:
        session = open_session(config)
    except UserError as exc:
        pipe.send(exc)
        return
    pipe.send(
        WorkerInfo(session.engine.device, tuple(judge.id for judge in session.judges), session.contrasts)
    )
    session.meter.tell = lambda: pipe.send(Pulse(session.meter.seconds, session.meter.paused))
    while True:
        try:
            question = pipe.recv()
        except EOFError:
            return
        if question[0] == "log":
            logs.configure(question[1])
            continue
        try:
            for answer in answers(session, *question):
                pipe.send(answer)
        except Exception as exc:  # noqa: BLE001 - the daemon's side logs it and starts a fresh worker
            subject = about(question[1])
            log.error("the device worker failed to %s%s: %s", question[0], subject, logs.describe(exc))
            pipe.send(
                WorkerLost(str(exc) if isinstance(exc, WorkerLost) else f"{type(exc).__name__}{subject}")
            )
            return


def about(subject: object) -> str:
    """Names the prompt that a question is about, if it is about a single one."""
    if isinstance(subject, tuple) and len(subject) == 1:
        (subject,) = subject
        if isinstance(subject, tuple):  # a prompt and further draws
            subject = subject[0]
    return f" on prompt {subject.id!r}" if isinstance(subject, Prompt) else ""
