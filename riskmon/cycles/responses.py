"""Production responses, judged within a cycle: in an order of which any prefix is a fair sample."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from riskmon.config import Config
from riskmon.cycles.device import CycleDevices
from riskmon.jobs import Clock, Stop
from riskmon.records import SampledPrompt
from riskmon.store import Store

log = logging.getLogger(__name__)

# Part of a cycle's deadline, and of its device budget, that judging production responses may take: draws come first.
_RESPONSES_SHARE = 0.1
# Responses in a row without anything readable: the judge is away, and the rest waits for it instead of being given up.
_JUDGE_AWAY = 3


def judge_responses(
    store: Store,
    device: CycleDevices,
    config: Config,
    responses: Sequence[SampledPrompt],
    clock: Clock,
    stop: Stop,
) -> None:
    """Judge responses in the order given, of which any prefix is a fair sample; every verdict is stored at once."""
    until = time.monotonic() + _RESPONSES_SHARE * config.estimate.deadline.total_seconds()
    most = device.spent() + _RESPONSES_SHARE * device.budget_s
    judged = away = 0
    for item in responses:
        if stop() or time.monotonic() > until or device.spent() >= most:
            break
        seen = device.observe(item.prompt)
        away = away + 1 if seen.away else 0
        if away == _JUDGE_AWAY:
            log.warning(
                "no judge reads production responses; %d wait for the next cycle",
                len(responses) - judged,
                extra={"job": "estimate", "responses": len(responses) - judged},
            )
            break
        store.write_observation(seen, clock())
        judged += 1
    if responses:
        log.info(
            "%d of %d production responses judged",
            *(judged, len(responses)),
            extra={"judged": judged, "responses": len(responses)},
        )
