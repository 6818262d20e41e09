"""The daemon's job: how far the risk of the prompts that the forecast rests on moves under rewording.

The prompts with the largest share of weight * p behind the present forecast are taken, reworded and estimated by the
devices, under the plan in force. They were chosen because their estimates are large, so the prompt as it stands
is estimated anew as well, under an id of its own that gives it other draws. What is finished when the budget, the
deadline or a stop ends the job is stored; a prompt whose wordings are not all done is left out. The deadline covers the
rewording too.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Protocol

from riskmon.config import Config
from riskmon.config.sensitivity import SensitivityConfig
from riskmon.errors import RewordingEnded, WorkerLost
from riskmon.jobs import Clock, Stop
from riskmon.records import Prompt, PromptResult, WeightedEstimate
from riskmon.records.sensitivity import SampleKey, SensitivitySummary
from riskmon.sensitivity.contributors import top_contributors
from riskmon.sensitivity.families import NO_VARIANTS, Measured, Wordings, measure
from riskmon.sensitivity.rewording import reword_apart
from riskmon.sensitivity.summary import prompt_sensitivities, stratum_sensitivities

log = logging.getLogger(__name__)

# Losses of the worker in one job after which the fault is no longer taken for a single wording's.
_WORKER_LOSSES = 3


class SensitivityStore(Protocol):
    """What the job needs of a store."""

    def weighted_estimates(self, since: datetime) -> Sequence[WeightedEstimate]:
        """Estimates of windows that start at `since` or later, each with the requests it stands for."""

    def find_prompts(self, keys: Sequence[SampleKey]) -> Sequence[Prompt]:
        """Sampled prompts with their text, in the order of the keys; those that are gone are left out."""

    def write_sensitivity(self, summary: SensitivitySummary) -> None:
        """Stores what a job found, in one transaction."""


class SensitivityDevices(Protocol):
    """What the job needs of the devices; see `Devices`."""

    @property
    def device_seconds(self) -> float:
        """Time that devices have worked."""

    def estimate(
        self, prompts: Iterable[Prompt | None], deadline: float, stop: Callable[[], bool]
    ) -> Iterator[PromptResult]:
        """Estimate prompts, several at once; yields results in any order."""


def sensitivity_job(
    store: SensitivityStore,
    devices: SensitivityDevices,
    config: Config,
    settings: SensitivityConfig,
    clock: Clock,
    stop: Stop,
    give_up: Stop,
) -> SensitivitySummary | None:
    """Examine the prompts that contribute most to the forecast, within the job's device budget.

    Args:
        stop: asked while prompts are reworded, and before each wording; a True ends the job early.
        give_up: asked while wordings are under way; a True abandons them.

    Returns:
        What was found, as stored; None while no estimate has a hit.

    Raises:
        StoreUnavailable: the store cannot be read or written.
        UserError: the wrappers or the paraphrasing model cannot be used, or a worker that had to be restarted can no
            longer load the model.
    """
    started_at = clock()
    chosen = top_contributors(
        store.weighted_estimates(started_at - config.forecast.lookback), settings.prompts
    )
    prompts = store.find_prompts(chosen)
    if not prompts:
        return None
    log.info(
        "sensitivity: rewording the %d prompts that contribute most",
        len(prompts),
        extra={"job": "sensitivity", "prompts": len(prompts)},
    )
    run = _Run(devices, settings, stop, give_up)
    families = run.reworded(config, prompts)
    run.measure_all(families)
    # A failure of a prompt is part of the summary, and so is one that could not be reworded.
    failures = Counter(item.failure for item in run.measured if item.failure)
    bare = sum(not wordings.variants for wordings in families)
    failures[NO_VARIANTS] += bare
    summary = SensitivitySummary(
        started_at=started_at,
        finished_at=clock(),
        prompts=tuple(row for item in run.measured for row in prompt_sensitivities(item)),
        strata=tuple(stratum_sensitivities(run.measured)),
        failures=+failures,
        left_out=len(prompts) - len(run.measured) - bare,
        tokens=run.tokens,
        device_seconds=run.device_seconds,
        complete=not run.broken_off,
    )
    store.write_sensitivity(summary)
    examined = len(run.measured) - sum(bool(item.failure) for item in run.measured)
    log.info(
        "sensitivity: %d prompts examined, %d failed, %d left out, %.1f device seconds",
        *(examined, sum(summary.failures.values()), summary.left_out, summary.device_seconds),
        extra={
            "job": "sensitivity",
            "prompts": examined,
            "failed": sum(summary.failures.values()),
            "left_out": summary.left_out,
            "device_seconds": summary.device_seconds,
        },
    )
    return summary


class _Stopped(Exception):
    """The job ends between two wordings."""


class _Run:
    """The devices as one job uses them.

    Attributes:
        measured: prompts whose wordings are done. tokens: cost, unfinished prompts included.
        broken_off: whether the job was told to stop, ran out of time or lost the devices for good.
    """

    def __init__(
        self, devices: SensitivityDevices, settings: SensitivityConfig, stop: Stop, give_up: Stop
    ) -> None:
        self.measured: list[Measured] = []
        self.tokens = 0
        self.broken_off = False
        self._devices = devices
        self._before = devices.device_seconds
        self._settings = settings
        self._budget_s = settings.device_budget.total_seconds()
        self._deadline = time.monotonic() + settings.deadline.total_seconds()
        self._stop = stop
        self._give_up = give_up
        self._losses = 0

    @property
    def device_seconds(self) -> float:
        """What devices have worked for the job, unfinished prompts and lost work included."""
        return self._devices.device_seconds - self._before

    def reworded(self, config: Config, prompts: Sequence[Prompt]) -> list[Wordings]:
        """The prompts with their rewordings; none where the job was ended meanwhile."""
        try:
            return reword_apart(config, self._settings, prompts, self._deadline, self._stop)
        except RewordingEnded as exc:
            self.broken_off = True
            log.error("sensitivity job broken off: %s", exc)
            return []

    def measure_all(self, families: Sequence[Wordings]) -> None:
        """Estimate prompt after prompt until the budget is spent."""
        try:
            for wordings in families:
                if wordings.variants and self.device_seconds < self._budget_s:
                    self.measured.append(measure(wordings, fresh(wordings.prompt), self._estimate))
        except _Stopped:
            self.broken_off = True
        except WorkerLost as exc:
            self.broken_off = True
            log.error("sensitivity job broken off: %s", exc)

    def _estimate(self, prompts: Sequence[Prompt]) -> list[PromptResult]:
        done: dict[str, PromptResult] = {}
        for result in self._devices.estimate(self._until_stopped(prompts), self._deadline, self._give_up):
            if result.failure == WorkerLost.reason:
                self._losses += 1
                if self._losses >= _WORKER_LOSSES:
                    raise WorkerLost(result.message)
            self.tokens += result.estimates[0].tokens if result.estimates else 0
            done[result.prompt.stream_key] = replace(result, hits=())  # large, and of no use here
        if len(done) < len(prompts):
            raise _Stopped
        return [done[prompt.stream_key] for prompt in prompts]

    def _until_stopped(self, prompts: Sequence[Prompt]) -> Iterator[Prompt]:
        for prompt in prompts:
            if self._stop():
                return
            yield prompt


def fresh(prompt: Prompt) -> Prompt:
    """The prompt under an id that gives it other draws than those it was chosen by."""
    return replace(prompt, id=f"{prompt.id}~base-0", response=None)
