"""A model that a vLLM server has: is it there, does it say the same when it draws and scores, do the experts differ."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from riskmon.config import Config
from riskmon.doctor.finding import Check, Finding, Level, guarded
from riskmon.publish.figures import number

if TYPE_CHECKING:
    from riskmon.estimate.engines.vllm.checks import Probe
    from riskmon.estimate.engines.vllm.engine import VllmEngine
    from riskmon.estimate.meter import Meter
    from riskmon.estimate.rendering import Rendering

log = logging.getLogger(__name__)


def check_server(config: Config, meter: Meter) -> Check[tuple[VllmEngine | None, Rendering | None]]:
    """The engine and what renders its prompts; None where an estimate cannot be made with it."""
    log.info("asking the vLLM server")
    opened = yield from guarded("model", _server(config, meter))
    if opened is None:
        return None, None
    engine, rendering = opened
    found = yield from guarded("draws", _draws(config, engine))
    if found is None:
        return None, None
    sound = True
    for expert in config.experts:
        sound &= (
            yield from guarded(f"expert {expert.name}", _expert(expert.name, expert.kind, found))
        ) is True
    return (engine, rendering) if sound else (None, None)


def describe_rendering(rendering: Rendering) -> str:
    """Context and template in words."""
    length = rendering.context_length
    room = "unlimited context" if length is None else f"context of {length} tokens"
    template = "the tokenizer's chat template" if rendering.chat_template else "no chat template"
    return f"{room}, {template}"


def check_room(config: Config, rendering: Rendering) -> Check[None]:
    """Whether an answer leaves room for a prompt."""
    length, most = rendering.context_length, config.model.max_new_tokens
    if length is not None and most >= length:
        yield Finding(
            Level.FAILED,
            "model",
            f"model.max_new_tokens is {most}, which leaves no room for a prompt in a context of {length} tokens; lower "
            "it",
        )


def _server(config: Config, meter: Meter) -> Check[tuple[VllmEngine, Rendering]]:
    from riskmon.estimate.engines.vllm.opening import open_engine

    engine, rendering = open_engine(config, meter)
    yield Finding(
        Level.OK, "model", f"{config.model.target} on {engine.device}, {describe_rendering(rendering)}"
    )
    yield from check_room(config, rendering)
    return engine, rendering


def _draws(config: Config, engine: VllmEngine) -> Check[Probe]:
    from riskmon.estimate.engines.vllm.opening import probe_engine

    found = probe_engine(engine, config)
    yield Finding(
        Level.OK,
        "draws",
        f"drawn and scored log-probs of an answer differ by {number(found.path_discrepancy)} nats at most, "
        f"estimate.path_tolerance is {config.estimate.path_tolerance:g}",
    )
    return found


def _expert(name: str, kind: str, found: Probe) -> Check[bool]:
    from riskmon.estimate.engines.vllm.checks import require_contrast

    require_contrast(found, [name])
    yield Finding(
        Level.OK,
        f"expert {name}",
        f"kind {kind}, mean log-prob difference from the target {number(found.contrasts[name])} nats per token",
    )
    return True
