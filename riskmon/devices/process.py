"""The device worker: one process that holds the model and estimates prompts, several at once.

It is a process and not a thread, so that a hung kernel or an out-of-memory kill takes neither the intake nor the
metrics with it, and so that it can be ended at a deadline. It is spawned, never forked: CUDA does not survive a fork.
Questions (`answering.py`) and word of how to log go in, and answers come out, through a pipe; the store is never
touched from here. A question about several prompts has an answer for each, so what was answered before a loss is kept.
"""

from __future__ import annotations

import logging
import multiprocessing
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess

from riskmon import logs
from riskmon.config import Config
from riskmon.devices.answering import Answer, Pulse
from riskmon.devices.base import Loss, WorkerInfo
from riskmon.devices.queue import PromptQueue
from riskmon.devices.serving import serve
from riskmon.devices.tally import Tally
from riskmon.errors import UserError, WorkerLost
from riskmon.records import Hit, Plan, Prompt, PromptResult
from riskmon.records.observed import Observation

log = logging.getLogger(__name__)

_POLL_S = 0.2


class DeviceWorker:
    """Starts, asks and ends the worker process, and starts it again after a loss; see `Devices`.

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
        self._tally = Tally()
        self._owed = 0  # answers to a question that nobody waited for to the end

    @property
    def device_seconds(self) -> float:
        """Time that the device has worked, for whatever question, lost work included."""
        return self._tally.device_seconds

    @property
    def paused_seconds(self) -> float:
        """Time that the device has waited for other users of it."""
        return self._tally.paused_seconds

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

    def estimate(
        self, prompts: Iterable[Prompt | None], deadline: float, stop: Callable[[], bool]
    ) -> Iterator[PromptResult]:
        """Estimate prompts, as many at once as fill the device; a process that was lost before is started again.

        Args:
            prompts: see `Devices.estimate`.
            deadline: on the clock of `time.monotonic`; beyond it the process is killed.
            stop: asked while waiting; after a True the process is killed, and what is under way stays unestimated.

        Raises:
            WorkerLost: the process was lost too often, did not start, overran the deadline, or the caller stopped
                waiting.
            UserError: a process that was started again can no longer load the model.
        """
        queue = PromptQueue(prompts)
        while (chunk := queue.take(self._tally.at_once)) is not None:
            self._ready(deadline, stop)
            try:
                for answer in self._ask(("estimate", chunk.prompts), len(chunk), deadline, stop):
                    result = answer.value
                    assert isinstance(result, PromptResult)
                    queue.answer(chunk, answer.place, result)
                    yield result
            except WorkerLost as exc:
                if stop() or time.monotonic() > deadline:
                    raise
                yield from queue.lose(chunk, exc)

    def refine(
        self, prompts: Iterable[tuple[Prompt, int]], deadline: float, stop: Callable[[], bool]
    ) -> Iterator[PromptResult | None]:
        """Add draws to prompts that this process has estimated; None where the first estimate stands.

        Raises:
            WorkerLost: the process was lost, and with it what further draws would be added to; or as `estimate`.
        """
        asked = iter(prompts)
        while chunk := tuple(self._filling(asked)):
            if self._process is None:
                yield from [None] * len(chunk)
                continue
            for answer in self._ask(("refine", chunk), len(chunk), deadline, stop):
                result = answer.value
                assert result is None or isinstance(result, PromptResult)
                yield result

    def _filling(self, asked: Iterator[tuple[Prompt, int]]) -> Iterator[tuple[Prompt, int]]:
        """Pairs until their draws are as many as those of a chunk of first estimates, at least one."""
        room = self._tally.at_once * self._config.estimate.samples_per_prompt
        while room > 0 and (pair := next(asked, None)) is not None:
            room -= pair[1]
            yield pair

    def observe(self, prompt: Prompt, deadline: float, stop: Callable[[], bool]) -> Observation:
        """Have the response that production gave to a prompt judged.

        Raises:
            WorkerLost, UserError: as `estimate`.
        """
        self._ready(deadline, stop)
        (answer,) = self._ask(("observe", prompt), 1, deadline, stop)
        assert isinstance(answer.value, Observation)
        return answer.value

    def replan(
        self, hits: Sequence[Hit], now: datetime, deadline: float, stop: Callable[[], bool]
    ) -> tuple[Plan, ...]:
        """Choose the plans of a cycle; a process that is lost later chooses them again when it is restarted.

        Raises:
            WorkerLost, UserError: as `estimate`.
        """
        self._plan_basis = None  # a restart on the way here needs no plan: this call makes one
        self._ready(deadline, stop)
        (answer,) = self._ask(("replan", tuple(hits), now), 1, deadline, stop)
        assert isinstance(answer.value, tuple)
        self._plan_basis = (tuple(hits), now)
        return answer.value

    def _ready(self, deadline: float, stop: Callable[[], bool]) -> None:
        """See to it that there is a process that waits for a question."""
        if self._process is None:
            self.start(stop)
            if self._plan_basis is not None:
                list(self._ask(("replan", *self._plan_basis), 1, deadline, stop))

    def _ask(
        self, question: tuple[object, ...], expected: int, deadline: float, stop: Callable[[], bool]
    ) -> Iterator[Answer]:
        """Send a question, and yield its answers as they come.

        Raises:
            WorkerLost: the process is gone, and ended if it was not.
        """
        self._collect_owed(deadline, stop)
        self._send(question)
        self._owed = expected
        self._tally.ask()
        while self._owed:
            yield self._hear(deadline, stop)

    def _collect_owed(self, deadline: float, stop: Callable[[], bool]) -> None:
        """Wait for the answers to a question that was given up half-way, so that they are not taken for others."""
        while self._owed:
            self._hear(deadline, stop)

    def _hear(self, deadline: float, stop: Callable[[], bool]) -> Answer:
        while isinstance(answer := self._receive(deadline, stop), Pulse):
            self._tally.hear(answer)
            self._check_patience(deadline, stop)
        if not isinstance(answer, Answer):
            raise self._lost(Loss.FAILED, f"the device worker failed: {answer}")
        self._tally.hear(answer)
        self._owed -= 1
        if not self._owed:
            self._tally.rest()
        return answer

    def _send(self, question: tuple[object, ...]) -> None:
        assert self._pipe is not None
        logging_now = self._config.logging
        try:
            if logging_now != self._told:
                self._pipe.send(("log", logging_now))
                self._told = logging_now
            self._pipe.send(question)
        except OSError as exc:
            raise self._lost(Loss.DIED, "the device worker died") from exc

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
            self._check_patience(deadline, stop)

    def _check_patience(self, deadline: float | None, stop: Callable[[], bool]) -> None:
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
        self._owed = 0
        self._tally.end()
        if pipe is not None:
            pipe.close()
        if process is not None:
            process.terminate()
            process.join(2)
            if process.is_alive():
                process.kill()
                process.join()
