"""What estimates are asked of: one device or many, behind one set of questions.

Prompts go in as a stream, and each comes back with its result as soon as it is done. A device may take several prompts
at once and be lost with them; what is lost is asked again elsewhere, one by one, so that one prompt that costs a
device its life is told from those that merely shared it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from riskmon.config import Config
from riskmon.records import Hit, Plan, Prompt, PromptResult
from riskmon.records.observed import Observation


class Loss(StrEnum):
    """Why a worker was lost; a stop that was asked for is no loss."""

    DIED = "died"
    DEADLINE = "deadline"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """What a loaded worker says of itself.

    Attributes:
        device: where the model runs.
        judges: id of each harm's judge.
        contrasts: expert name -> mean absolute log-prob difference from the target, in nats.
    """

    device: str
    judges: tuple[str, ...]
    contrasts: dict[str, float]


class Devices(Protocol):
    """Where estimates are made.

    Deadlines are on the clock of `time.monotonic`; beyond one what is under way is ended. `stop` is asked while
    waiting; after a True what is under way is ended too.
    """

    @property
    def device_seconds(self) -> float:
        """Time that devices have worked since this was made, all devices added up, for whatever question."""

    @property
    def paused_seconds(self) -> float:
        """Time that devices have waited for other users of theirs since this was made."""

    def configure(self, config: Config) -> None:
        """Take over settings that were reloaded: how to log, from the next question on; the model's own stay."""

    def start(self, stop: Callable[[], bool]) -> WorkerInfo:
        """Load the model and wait for it.

        Raises:
            UserError: the model, an expert or a judge cannot be used.
            WorkerLost: no device came up, or the caller stopped waiting.
        """

    def estimate(
        self, prompts: Iterable[Prompt | None], deadline: float, stop: Callable[[], bool]
    ) -> Iterator[PromptResult]:
        """Estimate prompts, several at once; yields a result for each as it is done, in any order.

        Args:
            prompts: asked for the next one only when there is a device for it, so that whoever feeds it can stop; every
                prompt that was taken is yielded, as a failure if it cost a device its life. None says that no prompt
                can be had until another result is out, and ends the stream if none is under way (see `queue.py`).

        Raises:
            WorkerLost: devices were lost so often that no single prompt can be to blame, none came up again, time is up
                or the caller stopped waiting.
            UserError: a device that had to be started again can no longer load the model.
        """

    def refine(
        self, prompts: Iterable[tuple[Prompt, int]], deadline: float, stop: Callable[[], bool]
    ) -> Iterator[PromptResult | None]:
        """Add draws to prompts that were estimated here; a result for each, in the order given, None where the first
        estimate stands.

        Raises:
            WorkerLost, UserError: as `estimate`.
        """

    def observe(self, prompt: Prompt, deadline: float, stop: Callable[[], bool]) -> Observation:
        """Have the response that production gave to a prompt judged.

        Raises:
            WorkerLost, UserError: as `estimate`.
        """

    def replan(
        self, hits: Sequence[Hit], now: datetime, deadline: float, stop: Callable[[], bool]
    ) -> tuple[Plan, ...]:
        """Choose the plans of a cycle, the same on every device; one that is started later chooses them again.

        Raises:
            WorkerLost, UserError: as `estimate`.
        """

    def close(self) -> None:
        """End everything at once."""
