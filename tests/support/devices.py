"""Devices that answer at once, for tests of what is asked of them; a real one is `riskmon.devices.process`."""

from __future__ import annotations

from riskmon.devices.queue import PromptQueue
from riskmon.errors import WorkerLost


class PlainDevices:
    """Answers chunk after chunk with what `result_of` makes of each prompt, and counts the device time it states.

    Args:
        at_once: prompts taken at once.
    """

    def __init__(self, at_once=1):
        self.device_seconds = 0.0
        self.paused_seconds = 0.0
        self.at_once = at_once
        self.asked = []

    def result_of(self, prompt):
        """The result of one prompt; WorkerLost where it costs the device its life."""
        raise NotImplementedError

    def estimate(self, prompts, deadline, stop):
        """As `Devices.estimate`, with one device."""
        queue = PromptQueue(prompts)
        while (chunk := queue.take(self.at_once)) is not None:
            try:
                for place, prompt in enumerate(chunk.prompts):
                    self.asked.append(prompt.id)
                    result = self.result_of(prompt)
                    self.work(result)
                    queue.answer(chunk, place, result)
                    yield result
            except WorkerLost as exc:
                yield from queue.lose(chunk, exc)

    def work(self, result, less=0.0):
        """Count what a result says that it took."""
        self.device_seconds += (result.estimates[0].device_seconds if result.estimates else 0.0) - less
