"""A simulated deployment lived through a real store: traffic, estimates, verdicts and jobs, day by day."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from riskmon import jobs
from riskmon.bench.deployment_traffic import DAY, START
from riskmon.bench.deployments import HARM, Deployment
from riskmon.config import Config
from riskmon.config_file import parse_config
from riskmon.records import (
    CycleSummary,
    Estimate,
    IntakeBatch,
    Position,
    Prompt,
    PromptResult,
    SampledPrompt,
    Stratum,
)
from riskmon.records.observed import Observation, ResponseVerdict
from riskmon.store import Store

_Cell = tuple[datetime, Stratum]


def settings(folder: Path, draws: int = 400) -> Config:
    """A configuration whose harm and windows are those of the simulation; text is kept for three days."""
    return parse_config(
        {
            "model": {"target": "org/model"},
            "harms": [{"name": HARM, "judge": {"kind": "regex", "pattern": "x"}}],
            "traffic": {"jsonl": "traffic.jsonl", "strata": ["attributes.route"], "window": "1h"},
            "forecast": {"draws": draws},
            "store": {"retention": "3d", "count_retention": "400d"},
        },
        base=folder,
    )


class Life:
    """Feeds a deployment to a store.

    Args:
        store: an empty one.
        deployment: as many responses are judged in an hour as prompts are estimated.
        config: from `settings`.
        seen: share of the harm that the estimates see; below 1 they are too low, and so are forecasts.
    """

    def __init__(self, store: Store, deployment: Deployment, config: Config, *, seen: float = 1.0) -> None:
        assert deployment.world.judged_per_window == deployment.world.sampler.prompts_per_window
        self.store, self.config = store, config
        self._deployment, self._seen = deployment, seen
        self._offset = 0

    def live(self, first: int, end: int, *, sampled: bool = True) -> None:
        """The days in [first, end), counted from the start; where prompts are sampled, every midnight forecasts."""
        for day in range(first, end):
            now = START + (day + 1) * DAY
            self._live_day(now, sampled=sampled)
            if sampled:
                jobs.forecast(self.store, self.config, "run", now)
                jobs.purge(self.store, self.config, now)

    def _live_day(self, now: datetime, *, sampled: bool) -> None:
        deployment, since = self._deployment, now - DAY
        estimates: dict[_Cell, list[Estimate]] = defaultdict(list)
        for item in deployment.estimates(now) if sampled else ():
            estimates[item.cell].append(item.estimate)
        judged = {(w.start, w.stratum): w for w in deployment.judged_windows(now) if w.start >= since}
        results: list[tuple[PromptResult, bool]] = []
        for cell, window in judged.items():
            flagged = [i < window.harmful for i in range(len(estimates[cell]))]
            own = [self._result(estimate) for estimate in estimates[cell]]
            self._write(cell, window.requests, own)
            results += zip(own, flagged, strict=True)
        cycle = self.store.begin_cycle(now)
        for result, harmful in results:
            self.store.write_result(cycle, result, now)
            self.store.write_observation(
                Observation(result.prompt, {HARM: ResponseVerdict(harmful, uncovered=False)}), now
            )
        self.store.finish_cycle(cycle, _summary(now, len(results)))

    def _result(self, estimate: Estimate) -> PromptResult:
        position = Position("simulated", 0, self._offset)
        self._offset += 1
        prompt = Prompt(estimate.prompt_id, "", estimate.stratum, position, response="")
        stderr = None if estimate.stderr is None else estimate.stderr * self._seen
        seen = replace(estimate, p=estimate.p * self._seen, stderr=stderr)
        return PromptResult(prompt, (seen,))

    def _write(self, cell: _Cell, requests: int, results: list[PromptResult]) -> None:
        window_start, _ = cell
        sample = [SampledPrompt(r.prompt, window_start, (i + 1) / requests) for i, r in enumerate(results)]
        self._offset += requests - len(results)
        batch = IntakeBatch(requests, {cell: requests}, sample, next_offsets={("simulated", 0): self._offset})
        self.store.write_intake(batch, keep=len(sample) or 1, now=window_start + timedelta(hours=1))


def _summary(now: datetime, prompts: int) -> CycleSummary:
    return CycleSummary(
        started_at=now,
        finished_at=now + timedelta(minutes=5),
        prompts=prompts,
        failures={},
        left_out=0,
        tokens=0,
        device_seconds=0.0,
        weight_mean=1.0,
        path_discrepancy=0.0,
        health=(),
        complete=True,
    )
