"""The stages of a prompt's estimate: a pilot where there is one, the main draws, and further ones.

Each stage is a job for the engine, judged and weighed as soon as its draws are there; a later stage is planned from an
earlier one. Out come the evidence that estimates are made from, and the hits that later plans are chosen from, scored
under every voice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from riskmon.config import EstimateConfig, HarmConfig
from riskmon.estimate.control import control_slope
from riskmon.estimate.courses import Course
from riskmon.estimate.engines.base import Engine
from riskmon.estimate.engines.jobs import Job
from riskmon.estimate.evidence import Reading, Stage
from riskmon.estimate.judges import Judge
from riskmon.estimate.keeping import incomplete, kept_hits, rescored
from riskmon.estimate.planning import Planner
from riskmon.estimate.proposals import Mixture, count_draws
from riskmon.estimate.recollection import Evidence
from riskmon.estimate.streams import prompt_stream
from riskmon.estimate.weights import Weights, balance_weights
from riskmon.records import Draws, Hit, IntArray, Prompt


@dataclass(frozen=True, slots=True, eq=False)
class _Drawn:
    """One stage before it is boiled down."""

    draws: Draws
    weights: Weights
    readings: tuple[Reading, ...]
    judged_seconds: float

    def stage(self, *, counted: bool, slope: tuple[float, ...]) -> Stage:
        """What is kept of it, with what its judges have cost."""
        stage = Stage.of(self.draws, self.weights, counted=counted, slope=slope)
        return replace(stage, device_seconds=stage.device_seconds + self.judged_seconds)


class Staging:
    """Draws, judges and weighs, stage by stage."""

    def __init__(
        self,
        engine: Engine,
        planner: Planner,
        config: EstimateConfig,
        tokenizer: Any,
        harms: Sequence[HarmConfig],
        judges: Sequence[Judge],
    ) -> None:
        """Take the parts.

        Args:
            harms, judges: one judge for each harm; several harms may have the same.
        """
        self._engine = engine
        self._planner = planner
        self._config = config
        self._tokenizer = tokenizer
        self._harms = tuple(harms)
        self._judges = tuple(judges)

    def first_draws(self, prompt: Prompt, keep: bool) -> Course[tuple[Evidence, tuple[Hit, ...]]]:
        """The pilot, where there is one, and the main stage; asks for each stage's draws as it comes to it."""
        mixture = self._planner.mixture(prompt.stratum)
        samples = self._config.samples_per_prompt
        pilot_samples = self._config.pilot_samples if len(mixture.proposals) > 1 else 0
        stages: list[Stage] = []
        drawn: list[_Drawn] = []
        slope = (0.0,) * len(self._harms)
        if pilot_samples:
            pilot = self._read(prompt, (yield self.job(prompt, mixture, pilot_samples, 0)))
            drawn.append(pilot)
            stages.append(pilot.stage(counted=False, slope=slope))
            mixture = self._planner.after_pilot(mixture, self._hits(prompt, [pilot], pilot_samples))
            stages[0] = self._with_overhead(stages[0])
            counts = count_draws(mixture, samples - pilot_samples, self._config.defensive_share)
            slope = tuple(
                control_slope(pilot.draws, reading.events, mixture.proposals, counts)
                for reading in pilot.readings
            )
        main = self._read(prompt, (yield self.job(prompt, mixture, samples - pilot_samples, len(stages))))
        drawn.append(main)
        stages.append(main.stage(counted=True, slope=slope))
        hits = self._hits(prompt, drawn, samples, voices=self._planner.fingerprint) if keep else ()
        stages[-1] = self._with_overhead(stages[-1])
        return Evidence(tuple(stages), tuple(part.readings for part in drawn), mixture), hits

    def further_draws(
        self, prompt: Prompt, before: Evidence, samples: int
    ) -> Course[tuple[Evidence, tuple[Hit, ...]]]:
        """Another stage, from the plan of the stages before."""
        drawn = self._read(prompt, (yield self.job(prompt, before.mixture, samples, len(before.stages))))
        stage = drawn.stage(counted=True, slope=before.stages[-1].slope)
        hits = self._hits(prompt, [drawn], before.draws + samples, voices=self._planner.fingerprint)
        evidence = replace(
            before,
            stages=(*before.stages, self._with_overhead(stage)),
            readings=(*before.readings, drawn.readings),
        )
        return evidence, hits

    def texts(self, draws: Draws) -> list[str]:
        """The draws as a user would read them, without special tokens."""
        rows = [row[:length] for row, length in zip(draws.tokens, draws.lengths, strict=True)]
        texts: list[str] = self._tokenizer.batch_decode(rows, skip_special_tokens=True)
        return texts

    def job(self, prompt: Prompt, mixture: Mixture, samples: int, stage: int) -> Job:
        """What a stage asks of the engine; each stage has a random stream of its own."""
        counts: IntArray = count_draws(mixture, samples, self._config.defensive_share)
        stream = prompt_stream(self._config.seed, prompt.stream_key, stage)
        return Job(prompt, mixture.proposals, counts, stream)

    def judged(self, prompt: Prompt, outputs: Sequence[str]) -> tuple[Reading, ...]:
        """Every harm's verdicts; a judge that serves several harms reads once."""
        verdicts = {id(judge): judge.judge(prompt, outputs) for judge in dict.fromkeys(self._judges)}
        return tuple(
            Reading.of(verdicts[id(judge)], harm.cut)
            for harm, judge in zip(self._harms, self._judges, strict=True)
        )

    def _with_overhead(self, stage: Stage) -> Stage:
        """The stage with what the scoring of hits has cost."""
        tokens, seconds = self._engine.take_overhead()
        return replace(stage, tokens=stage.tokens + tokens, device_seconds=stage.device_seconds + seconds)

    def _read(self, prompt: Prompt, draws: Draws) -> _Drawn:
        weights, before = balance_weights(draws), self._engine.meter.seconds
        readings = self.judged(prompt, self.texts(draws))
        return _Drawn(draws, weights, readings, self._engine.meter.seconds - before)

    def _hits(
        self, prompt: Prompt, drawn: Sequence[_Drawn], total: int, *, voices: str = ""
    ) -> tuple[Hit, ...]:
        """Hits of some stages, scored under every voice; those that leave the session name the voices."""
        rng = prompt_stream(self._config.seed, f"hits/{prompt.stream_key}", len(drawn))
        hits = [
            hit
            for part in drawn
            for harm, reading in zip(self._harms, part.readings, strict=True)
            for hit in kept_hits(
                prompt,
                harm.name,
                part.draws,
                part.weights,
                reading,
                total=total,
                voices=voices,
                rng=rng,
            )
        ]
        missing = incomplete(hits)
        if missing:
            scores = self._engine.score(prompt, [hits[i].tokens for i in missing])
            for row, i in enumerate(missing):
                hits[i] = rescored(hits[i], scores, row)
        return tuple(hits)
