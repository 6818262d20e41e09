"""From a configuration to a session: judges, and model and experts here or at a server, checked against one another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from riskmon.config import Config, VllmEngine
from riskmon.estimate.contrast import require_contrast
from riskmon.estimate.engines.local.engine import LocalEngine
from riskmon.estimate.engines.local.fixed.decoding import decoding_for
from riskmon.estimate.engines.vllm.opening import SERVER, check_engine, open_engine
from riskmon.estimate.experts import Expert, build_experts
from riskmon.estimate.experts.lora import Lora
from riskmon.estimate.judges import Judge, build_judge
from riskmon.estimate.meter import Meter
from riskmon.estimate.model import LanguageModel, load_model, pick_device
from riskmon.estimate.proposals import voices_of
from riskmon.estimate.sampler import Sampler
from riskmon.estimate.session import Session
from riskmon.estimate.sharing.opening import open_gate
from riskmon.records import JudgeError
from riskmon.statistics import load_judge_error


def open_session(config: Config) -> Session:
    """Load the model, experts and judges, and check that each expert differs from the target.

    Raises:
        UserError: something configured cannot be loaded or used; the message says what to do.
    """
    served = isinstance(config.model.engine, VllmEngine)
    device = pick_device(config.model.device)
    meter = Meter(SERVER) if served else Meter.on(device)
    built: dict[str, Judge] = {}
    for harm in config.all_harms:
        if harm.judge_key not in built:
            built[harm.judge_key] = build_judge(harm.judge, meter)
    judges = [built[harm.judge_key] for harm in config.all_harms]
    judge_errors = {
        harm.name: load_judge_error(harm.calibration, judge.id, harm.cut, harm.name)
        for harm, judge in zip(config.all_harms, judges, strict=True)
        if harm.calibration is not None
    }
    if served:
        engine, rendering = open_engine(config, meter)
        return Session(config, rendering, engine, judges, check_engine(engine, config), judge_errors)
    model = load_model(config.model)
    experts = build_experts(config.experts, model, config.model)
    with meter.working():
        contrasts = require_contrast(model, experts)
    # From here on only: whoever waits for a model to load waits without a deadline.
    meter.gate = open_gate(config.estimate.sharing, device)
    return assemble_session(config, model, experts, judges, contrasts, judge_errors, meter)


def assemble_session(
    config: Config,
    model: LanguageModel,
    experts: Sequence[Expert],
    judges: Sequence[Judge],
    contrasts: dict[str, float],
    judge_errors: Mapping[str, JudgeError] = MappingProxyType({}),
    meter: Meter | None = None,
) -> Session:
    """A session with the local engine, from parts that are loaded already.

    Args:
        experts: the target first. judges: one per harm.
        contrasts: expert name -> mean absolute log-prob difference from the target.
        meter: the clock that the judges were built with.
    """
    engine = LocalEngine(
        model,
        experts,
        voices_of([expert.ladder for expert in config.experts]),
        Sampler(config.model.sampler),
        config.model.max_new_tokens,
        config.model.batch_rows,
        meter,
        config.model.memory_share,
        decoding_for(config.model.decoding, model.device),
    )
    rounded = [expert.name for expert in experts if isinstance(expert, Lora) and expert.rounded]
    return Session(config, model, engine, judges, contrasts, judge_errors, rounded)
