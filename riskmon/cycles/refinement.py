"""Further draws, for the prompts of a cycle that matter most to the forecast."""

from __future__ import annotations

import dataclasses
import logging
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime

from riskmon.config import Config
from riskmon.cycles.device import CycleDevices
from riskmon.estimate.cycle import plan_refinement
from riskmon.estimate.feed import Feed
from riskmon.jobs import Clock, Stop
from riskmon.records import Prompt, PromptResult, SampledPrompt, Stratum
from riskmon.store import Store

log = logging.getLogger(__name__)


def refine(
    store: Store,
    device: CycleDevices,
    feed: Feed,
    config: Config,
    cycle: int,
    waiting: Sequence[SampledPrompt],
    results: list[PromptResult],
    clock: Clock,
    stop: Stop,
) -> None:
    """Give the prompts that matter most further draws, until the device budget is spent."""
    if stop() or not results or feed.late():
        return
    requests = _requests(store, waiting[: len(results)])
    chosen = plan_refinement(results, requests, device.budget_s - device.spent(), config.estimate)
    under_way: list[tuple[int, int]] = []

    def asked() -> Iterator[tuple[Prompt, int]]:
        for place, draws in chosen:
            ahead = [*under_way, (place, draws)]
            seconds = sum(_seconds(results[other], more) for other, more in under_way)
            late = feed.late(sum(more for _, more in ahead) / config.estimate.samples_per_prompt)
            if stop() or late or device.spent() + seconds >= device.budget_s:
                return
            under_way.append((place, draws))
            yield results[place].prompt, draws

    refined = 0
    for result in device.devices.refine(asked(), device.deadline, device.give_up):
        place, _ = under_way.pop(0)
        if result is not None:
            store.refine_result(cycle, result, clock())
            results[place] = dataclasses.replace(result, hits=())
            refined += 1
    log.info(
        "estimate cycle: %d of %d prompts got further draws",
        *(refined, len(results)),
        extra={"refined": refined, "prompts": len(results)},
    )


def _seconds(result: PromptResult, draws: int) -> float:
    """Device seconds that further draws of a prompt will take, as it was so far."""
    estimate = result.estimates[0]
    return draws * estimate.device_seconds / estimate.n


def _requests(store: Store, done: Sequence[SampledPrompt]) -> list[float]:
    """Requests that each prompt of a cycle stands for: those of its cell, shared with the cell's other prompts.

    Shared alike, or where prompts are sampled by risk by the inverse of their chance to be among those done.
    """
    cells = [(item.window_start, item.prompt.stratum) for item in done]
    reached: dict[tuple[datetime, Stratum], float] = defaultdict(float)
    for cell, item in zip(cells, done, strict=True):
        reached[cell] = max(reached[cell], item.priority)
    parts = [
        item.stands_for / min(1.0, item.size * reached[cell]) for cell, item in zip(cells, done, strict=True)
    ]
    wholes: dict[tuple[datetime, Stratum], float] = defaultdict(float)
    for cell, part in zip(cells, parts, strict=True):
        wholes[cell] += part
    counted = {(window.start, window.stratum): window.requests for window in store.volume(min(cells)[0])}
    return [counted.get(cell, 0) * part / wholes[cell] for cell, part in zip(cells, parts, strict=True)]
