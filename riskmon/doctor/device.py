"""Model, experts, judges, and the price of a prompt: the checks that take a device.

Everything is loaded once and part by part, so that every fault shows and not only the first; if there is none, the
parts make the session that one built-in prompt is then estimated with.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

import numpy as np

from riskmon.config import CascadeJudge, Config, ExpertConfig, HarmConfig, JudgeConfig
from riskmon.doctor.finding import Check, Finding, Level, guarded
from riskmon.doctor.sharing import check_sharing
from riskmon.errors import ModelUnavailable
from riskmon.publish.figures import exact, number, span
from riskmon.statistics import false_alarm_floor, load_judge_error, sensitivity

if TYPE_CHECKING:
    from riskmon.estimate.experts import Expert
    from riskmon.estimate.experts.base import TargetWeights
    from riskmon.estimate.judges import Judge
    from riskmon.estimate.meter import Meter
    from riskmon.estimate.model import LanguageModel

log = logging.getLogger(__name__)

_HARMLESS = "Once upon a time a friendly dog found a ball in the garden."


def check_device(config: Config) -> Check[None]:
    """Load all there is, compare, judge, and estimate one prompt."""
    yield from guarded("sharing", check_sharing(config))
    meter = _meter(config)
    judges = yield from _judges(config, meter)
    log.info("loading the model")
    model = yield from guarded("model", _model(config))
    if model is None:
        return
    experts = yield from _experts(config, model)
    if None in judges or None in experts:
        yield Finding(Level.WARNING, "cost", "not measured, since a part of the estimate is missing")
        return
    log.info("estimating one prompt")
    parts = (model, [e for e in experts if e], [j for j in judges if j])
    yield from guarded("cost", _cost(config, *parts, meter))


def check_calibration(harm: HarmConfig, judge: Judge | None) -> Check[None]:
    """Whether the file with the judge's errors fits the judge; without a judge, whether it fits the harm."""
    if harm.calibration is None:
        return
    error = load_judge_error(harm.calibration, None if judge is None else judge.id, harm.cut, harm.name)
    yield Finding(
        Level.OK,
        f"calibration {harm.name}",
        f"{'fits the judge' if judge is not None else 'fits the harm'}: sensitivity "
        f"{number(sensitivity(error).value)}, floor {number(false_alarm_floor(error))}",
    )


def _model(config: Config) -> Check[LanguageModel]:
    from riskmon.estimate.model import load_model

    model = load_model(config.model)
    length = (
        "unlimited context" if model.context_length is None else f"context of {model.context_length} tokens"
    )
    template = "the tokenizer's chat template" if model.chat_template else "no chat template"
    dtype = str(next(model.module.parameters()).dtype).removeprefix("torch.")
    yield Finding(
        Level.OK, "model", f"{config.model.target} on {model.device}, {dtype}, {length}, {template}"
    )
    if model.context_length is not None and config.model.max_new_tokens >= model.context_length:
        yield Finding(
            Level.FAILED,
            "model",
            f"model.max_new_tokens is {config.model.max_new_tokens}, which leaves no room for a prompt in a context of "
            f"{model.context_length} tokens; lower it",
        )
    return model


def _experts(config: Config, model: LanguageModel) -> Check[list[Expert | None]]:
    """The target and every expert, None where one cannot be used."""
    from riskmon.estimate.experts.base import TargetWeights
    from riskmon.estimate.experts.target import TargetExpert

    weights = TargetWeights(model)
    target = TargetExpert(weights)
    experts: list[Expert | None] = [target]
    for expert in config.experts:
        subject = f"expert {expert.name}"
        log.info("loading %s", subject)
        experts.append((yield from guarded(subject, _expert(config, expert, weights, target))))
    return experts


def _expert(config: Config, settings: ExpertConfig, weights: TargetWeights, target: Expert) -> Check[Expert]:
    from riskmon.estimate.contrast import require_contrast
    from riskmon.estimate.experts import BUILDERS

    expert = BUILDERS[settings.kind](settings, weights, config.model)
    contrast = require_contrast(weights.model, [target, expert])[expert.name]
    ladder = ", ".join(f"{rung:g}" for rung in settings.ladder)
    yield Finding(
        Level.OK,
        f"expert {expert.name}",
        f"kind {settings.kind}, mean log-prob difference from the target {number(contrast)} nats, strengths {ladder}",
    )
    return expert


def _meter(config: Config) -> Meter:
    """The clock of the model's device; of any other where that is not there, which the model's own check says."""
    from riskmon.estimate.meter import Meter
    from riskmon.estimate.model import pick_device

    try:
        return Meter.on(pick_device(config.model.device))
    except ModelUnavailable:
        return Meter()


def _judges(config: Config, meter: Meter) -> Check[list[Judge | None]]:
    """The judge of every harm, None where one cannot be used; harms that differ in the threshold only share one."""
    built: dict[str, Judge | None] = {}
    for harm in config.all_harms:
        if harm.judge_key not in built:
            log.info("loading the judge of harm %s", harm.name)
            built[harm.judge_key] = yield from guarded(f"judge {harm.name}", _judge(harm, meter))
        judge = built[harm.judge_key]
        if judge is not None:
            yield from guarded(f"calibration {harm.name}", check_calibration(harm, judge))
    return [built[harm.judge_key] for harm in config.all_harms]


def _judge(harm: HarmConfig, meter: Meter) -> Check[Judge]:
    """Build a judge and have it, or each part of a cascade, judge a harmless sentence."""
    from riskmon.estimate.judges import build_judge
    from riskmon.estimate.judges.cascade import build_cascade

    parts: list[tuple[Judge, float]] = []

    def build(part: JudgeConfig) -> Judge:
        parts.append((build_judge(part, meter), part.threshold))
        return parts[-1][0]

    if isinstance(harm.judge, CascadeJudge):
        judge: Judge = build_cascade(harm.judge, build)
    else:
        judge = build(harm.judge)
        parts = [(judge, harm.cut)]
    for part, cut in parts:
        yield _verdict(f"judge {harm.name}", part, cut)
    return judge


def _verdict(subject: str, judge: Judge, cut: float) -> Finding:
    from riskmon.estimate.contrast import CALIBRATION_PROMPTS

    score = float(judge.judge(CALIBRATION_PROMPTS[0], [_HARMLESS]).scores[0])
    if np.isnan(score):
        return Finding(
            Level.FAILED,
            subject,
            f"{judge.id} loads, but gives no readable verdict on a harmless sentence; see the log for why, and check "
            "that the model is the one that the judge's kind and preset expect",
        )
    text = f"{judge.id} gives a harmless sentence {number(score)}, threshold {cut:g}"
    if score >= cut:
        return Finding(
            Level.WARNING, subject, f"{text}: it counts as harmful; look at the threshold and the judge"
        )
    return Finding(Level.OK, subject, text)


def _cost(
    config: Config, model: LanguageModel, experts: list[Expert], judges: list[Judge], meter: Meter
) -> Check[None]:
    """What one prompt costs, and how many the device budget holds."""
    from riskmon.estimate.contrast import CALIBRATION_PROMPTS
    from riskmon.estimate.opening import assemble_session

    session = assemble_session(config, model, experts, judges, {}, meter=meter)
    started = time.monotonic()
    result = session.estimate(CALIBRATION_PROMPTS[0])
    wall = time.monotonic() - started
    if not result.estimates:
        yield Finding(Level.FAILED, "cost", f"a plain prompt has no estimate: {result.message}")
        return
    one, settings = result.estimates[0], config.estimate
    budget = settings.device_budget
    prompts = int(budget.total_seconds() / one.device_seconds)
    held_back = settings.refine_share if config.experts and settings.pilot_samples else 0.0
    text = (
        f"{exact(one.n)} draws for one prompt took {exact(one.tokens)} tokens and {number(one.device_seconds)} device "
        f"seconds ({number(wall)} with all it waited for); estimate.device_budget of {span(budget)} holds "
        f"{exact(prompts)} prompts at that price, {exact(int(prompts * (1 - held_back)))} of them before further "
        "draws; drawn several at once they cost less"
    )
    if prompts < 1:
        yield Finding(
            Level.FAILED,
            "cost",
            f"{text}; raise it, or lower estimate.samples_per_prompt or model.max_new_tokens",
        )
        return
    yield Finding(Level.OK, "cost", text)
