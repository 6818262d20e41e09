"""The process that holds the connection to Ray: it starts, asks and ends actors as the daemon says.

    in   ("start", number, device, packed config)   ("ask", number, packed question)   ("end", number)
    out  a `Resources`, or a `UserError` in its place; then
         ("said", number, packed `Said`)   ("lost", number, what happened)

An actor's number is never used again. What is packed is not looked into here.
"""

from __future__ import annotations

import logging
import os
import queue
import threading
from contextlib import redirect_stderr
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from riskmon import logs
from riskmon.config import DevicesConfig, LoggingConfig
from riskmon.devices.child import settle
from riskmon.devices.ray.actor import Estimator
from riskmon.devices.ray.cluster import join
from riskmon.errors import UserError

log = logging.getLogger(__name__)


def serve_hub(
    pipe: Connection, config: DevicesConfig, logging_config: LoggingConfig, role: str | None, folder: Path
) -> None:
    """Body of the process."""
    settle()
    _only_our_lines(logging_config, role)
    try:
        resources = join(config, folder)
    except UserError as exc:
        pipe.send(exc)
        return
    except Exception as exc:  # noqa: BLE001 - nobody would see it: standard error is closed to all but our log
        log.error("Ray cannot be used: %s", logs.describe(exc))
        return
    pipe.send(resources)
    _Hub(pipe, config.cpus).run()
    import ray

    ray.shutdown()


def _only_our_lines(logging_config: LoggingConfig, role: str | None) -> None:
    """Keep standard error to our own log: Ray writes there of every actor that ends, from Python and from C++."""
    with redirect_stderr(os.fdopen(os.dup(2), "w", buffering=1)):
        logs.speak_as(role)
        logs.configure(logging_config)
    logging.getLogger("ray").setLevel(logging.CRITICAL)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)


class _Hub:
    def __init__(self, pipe: Connection, cpus: int) -> None:
        self._pipe = pipe
        self._cpus = cpus
        self._actors: dict[int, _Actor] = {}
        # The daemon reads while it waits for something; until then nothing of Ray's may be held up.
        self._out: queue.SimpleQueue[tuple[object, ...]] = queue.SimpleQueue()

    def run(self) -> None:
        """Until the daemon closes its end."""
        threading.Thread(target=self._send, name="send", daemon=True).start()
        while True:
            try:
                verb, number, *rest = self._pipe.recv()
            except (EOFError, OSError):
                return
            if verb == "start":
                gpu, packed = rest
                self._actors[number] = _Actor(number, self._out, packed, gpus=int(gpu), cpus=self._cpus)
            elif verb == "ask":
                self._actors[number].ask(*rest)
            else:
                self._actors.pop(number).end()

    def _send(self) -> None:
        while True:
            self._pipe.send(self._out.get())


class _Actor:
    """One actor, and the thread that follows it."""

    def __init__(
        self, number: int, out: queue.SimpleQueue[tuple[object, ...]], packed: bytes, *, gpus: int, cpus: int
    ) -> None:
        import ray

        self._number = number
        self._out = out
        self._packed = packed
        self._questions: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        # Neither started again nor asked again by Ray: the daemon must know of every loss.
        self._handle: Any = (
            ray.remote(Estimator)
            .options(
                num_cpus=cpus,
                num_gpus=gpus,
                max_restarts=0,
                max_task_retries=0,
                scheduling_strategy="SPREAD",
            )
            .remote()
        )
        threading.Thread(target=self._follow, name=f"actor-{number}", daemon=True).start()

    def ask(self, packed: bytes) -> None:
        """Give it a question; it may be at another."""
        self._questions.put(packed)

    def end(self) -> None:
        """Kill its process, whatever it is at."""
        import ray

        ray.kill(self._handle, no_restart=True)
        self._questions.put(None)

    def _follow(self) -> None:
        import ray

        try:
            self._say(ray.get(self._handle.open.remote(self._packed)))
            while (question := self._questions.get()) is not None:
                for said in self._handle.ask.options(num_returns="streaming").remote(question):
                    self._say(ray.get(said))
        except Exception as exc:  # noqa: BLE001 - whatever it was, the daemon has to start another
            self._out.put(("lost", self._number, _cause(exc)))

    def _say(self, packed: bytes) -> None:
        self._out.put(("said", self._number, packed))


def _cause(exc: Exception) -> str:
    """What Ray calls it. Of what Ray says about it only that riskmon is missing is of use to people."""
    if "No module named 'riskmon" in str(exc):
        return "riskmon is not installed on its node"
    return type(exc).__name__
