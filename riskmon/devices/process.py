"""The device worker: one process that holds the model and estimates prompt after prompt.

It is a process and not a thread, so that a hung kernel or an out-of-memory kill takes neither the intake nor the
metrics with it, and so that it can be ended at a deadline. It is spawned, never forked: CUDA does not survive a fork.
Questions (estimate, observe, refine, replan) and word of how to log go in, and answers come out, through a pipe; the
store is never touched from here.
"""

from __future__ import annotations

import logging
import multiprocessing
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess

from riskmon import logs
from riskmon.config import Config
from riskmon.devices.base import Loss, WorkerInfo
from riskmon.devices.serving import serve
from riskmon.errors import UserError, WorkerLost
from riskmon.records import Hit, Plan, Prompt, PromptResult
from riskmon.records.observed import Observation

log = logging.getLogger(__name__)

_POLL_S = 0.2


class DeviceWorker:
    """Starts, asks and ends the worker process; restarts it after a loss.

    Args:
        on_loss: told of each process that was lost without anybody asking for its end.
    """

    def __init__(self, config: Config, on_loss: Callable[[Loss], None] = lambda _: None) -> None:
        self._config = config
        self._on_loss = on_loss
        self._told = config.logging
        self._process: SpawnProcess | None = None
        self._pipe: Connection | None = None
        self._plan_basis: tuple[tuple[Hit, ...], datetime] | None = None

    def configure(self, config: Config) -> None:
        """Take over settings that were reloaded: how to log, from the next question on; the model's own stay."""
        self._config = config

    def start(self, stop: Callable[[], bool]) -> WorkerInfo:
        """Spawn the process and wait until the model is loaded.

        Args:
            stop: asked while waiting; a True ends the wait.

        Raises:
            UserError: the model, an expert or a judge cannot be used; the same class as raised in the worker.
            WorkerLost: the process died, or the caller stopped waiting.
        """
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        config = self._config
        process = context.Process(
            target=serve, args=(theirs, config, logs.role()), name="riskmon-device", daemon=True
        )
        process.start()
        theirs.close()
        self._process, self._pipe = process, ours
        self._told = config.logging
        answer = self._receive(deadline=None, stop=stop)
        if isinstance(answer, WorkerInfo):
            return answer
        if isinstance(answer, UserError):
            self.close()
            raise answer
        raise self._lost(Loss.FAILED, "the device worker gave no account of itself")

    def estimate(self, prompt: Prompt, deadline: float, stop: Callable[[], bool]) -> PromptResult:
        """Have one prompt estimated; a worker that was lost before is started again.

        Args:
            deadline: on the clock of `time.monotonic`; beyond it the worker is killed.
            stop: asked while waiting; after a True the worker is killed and the prompt stays unestimated.

        Raises:
            WorkerLost: the process died, overran the deadline, or the caller stopped waiting.
            UserError: a restarted worker can no longer load the model.
        """
        answer = self._ask(("estimate", prompt), deadline, stop)
        if not isinstance(answer, PromptResult):
            raise self._lost(Loss.FAILED, f"the device worker failed: {answer}")
        return answer

    def refine(
        self, prompt: Prompt, samples: int, deadline: float, stop: Callable[[], bool]
    ) -> PromptResult | None:
        """Add draws to a prompt that this process has estimated; None where its first estimate stands.

        Raises:
            WorkerLost, UserError: as `estimate`.
        """
        answer = self._ask(("refine", prompt, samples), deadline, stop)
        if answer is not None and not isinstance(answer, PromptResult):
            raise self._lost(Loss.FAILED, f"the device worker failed: {answer}")
        return answer

    def observe(self, prompt: Prompt, deadline: float, stop: Callable[[], bool]) -> Observation:
        """Have the response that production gave to a prompt judged.

        Raises:
            WorkerLost, UserError: as `estimate`.
        """
        answer = self._ask(("observe", prompt), deadline, stop)
        if not isinstance(answer, Observation):
            raise self._lost(Loss.FAILED, f"the device worker failed: {answer}")
        return answer

    def replan(
        self, hits: Sequence[Hit], now: datetime, deadline: float, stop: Callable[[], bool]
    ) -> tuple[Plan, ...]:
        """Choose the plans of a cycle; a worker that is lost later chooses them again when it is restarted.

        Raises:
            WorkerLost, UserError: as `estimate`.
        """
        self._plan_basis = None  # a restart on the way here needs no plan: this call makes one
        answer = self._ask(("replan", tuple(hits), now), deadline, stop)
        if not isinstance(answer, tuple):
            raise self._lost(Loss.FAILED, f"the device worker failed: {answer}")
        self._plan_basis = (tuple(hits), now)
        return answer

    def _ask(self, question: tuple[object, ...], deadline: float, stop: Callable[[], bool]) -> object:
        """Send a question and wait for its answer, in a worker that may first have to be started."""
        if self._process is None:
            self.start(stop)
            if self._plan_basis is not None:
                self._put(("replan", *self._plan_basis), deadline, stop)
        return self._put(question, deadline, stop)

    def _put(self, question: tuple[object, ...], deadline: float, stop: Callable[[], bool]) -> object:
        assert self._pipe is not None
        logging_now = self._config.logging
        try:
            if logging_now != self._told:
                self._pipe.send(("log", logging_now))
                self._told = logging_now
            self._pipe.send(question)
        except OSError as exc:
            raise self._lost(Loss.DIED, "the device worker died") from exc
        return self._receive(deadline, stop)

    def close(self) -> None:
        """End the process at once."""
        self._end()

    def _receive(self, deadline: float | None, stop: Callable[[], bool]) -> object:
        assert self._pipe is not None
        assert self._process is not None
        while True:
            ready = wait([self._pipe, self._process.sentinel], timeout=_POLL_S)
            try:
                if self._pipe in ready:
                    return self._pipe.recv()
                died = bool(ready)
            except (EOFError, OSError):
                died = True
            if died:
                self._process.join(1)  # the pipe may close a moment before there is an exit code
                code = self._process.exitcode
                raise self._lost(Loss.DIED, f"the device worker died (exit code {code})")
            if stop():
                self._end()
                raise WorkerLost("stopped while the device worker was busy")
            if deadline is not None and time.monotonic() > deadline:
                raise self._lost(Loss.DEADLINE, "the device worker overran its deadline and was ended")

    def _lost(self, why: Loss, message: str) -> WorkerLost:
        """End what is left of the process, say that it was lost, and give the error to raise."""
        self._end()
        self._on_loss(why)
        return WorkerLost(message)

    def _end(self) -> None:
        process, pipe = self._process, self._pipe
        self._process = self._pipe = None
        if pipe is not None:
            pipe.close()
        if process is not None:
            process.terminate()
            process.join(2)
            if process.is_alive():
                process.kill()
                process.join()
