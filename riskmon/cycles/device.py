"""The devices as one cycle uses them: its deadline and budget, and what they have cost it so far."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from riskmon.config import Config
from riskmon.devices.base import Devices
from riskmon.errors import WorkerLost
from riskmon.jobs import Stop
from riskmon.records import Prompt, PromptResult
from riskmon.records.observed import Observation
from riskmon.store import Store

log = logging.getLogger(__name__)

# Losses of the device while it judges responses after which the fault is no longer taken for a single response's.
_WORKER_LOSSES = 3


class CycleDevices:
    """The devices as one cycle uses them.

    Attributes:
        deadline: on the clock of `time.monotonic`. budget_s: device seconds of the cycle.
        broken_off: whether the cycle ended because of a loss.
        paused: seconds at rest for others, as counted so far.
    """

    def __init__(self, devices: Devices, config: Config, give_up: Stop) -> None:
        self.devices = devices
        self.deadline = time.monotonic() + config.estimate.deadline.total_seconds()
        self.budget_s = config.estimate.device_budget.total_seconds()
        self.give_up = give_up
        self.broken_off = False
        self.paused = 0.0
        self._before = devices.device_seconds
        self._paused_before = devices.paused_seconds
        self._losses = 0

    def spent(self) -> float:
        """Device seconds of the cycle so far."""
        return self.devices.device_seconds - self._before

    def count_paused(self, store: Store) -> None:
        """Count the time at rest since this was last called."""
        paused = self.devices.paused_seconds - self._paused_before
        if paused > self.paused:
            store.count_paused_seconds(paused - self.paused)
            self.paused = paused

    def count_overhead(self, store: Store, results: Sequence[PromptResult]) -> None:
        """Count the device time that no stored result states: plans, responses, failures, what was lost, and rests."""
        stated = sum(result.estimates[0].device_seconds for result in results if result.estimates)
        store.count_device_seconds(max(0.0, self.spent() - stated))
        self.count_paused(store)

    def observe(self, prompt: Prompt) -> Observation:
        """A response that costs the device its life is given up without a verdict: it would cost the next one too."""
        try:
            return self.devices.observe(prompt, self.deadline, self.give_up)
        except WorkerLost as exc:
            self._losses += 1
            if self.hopeless() or self._losses >= _WORKER_LOSSES:
                raise
            log.error(
                "response to prompt %r left out: %s",
                *(prompt.id, exc),
                extra={"prompt_id": prompt.id, "reason": WorkerLost.reason},
            )
            return Observation(prompt, {})

    def hopeless(self) -> bool:
        """Whether a loss of the device is the end of the cycle: told to stop, or out of time."""
        return self.give_up() or time.monotonic() > self.deadline
