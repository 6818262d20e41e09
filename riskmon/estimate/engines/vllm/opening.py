"""From a configuration to an engine at a server: reached, known by its names, and reading the same tokens."""

from __future__ import annotations

from dataclasses import replace

from riskmon.config import Config, VllmEngine
from riskmon.errors import ModelUnavailable, PromptFailed, WorkerLost
from riskmon.estimate.engines.vllm.checks import (
    Probe,
    check_frequencies,
    check_names,
    check_vocabulary,
    probe,
    require_agreement,
    require_contrast,
)
from riskmon.estimate.engines.vllm.engine import VllmEngine as Engine
from riskmon.estimate.engines.vllm.server import VllmServer
from riskmon.estimate.engines.vllm.speakers import adapters_of, build_speakers
from riskmon.estimate.meter import Meter
from riskmon.estimate.rendering import Rendering, load_rendering

SERVER = "server"
"""Kind of device that the clock of work counts: neither this machine's CPU nor its GPU."""


def open_engine(config: Config, meter: Meter) -> tuple[Engine, Rendering]:
    """Reach the server and check what it serves; draws are checked by `check_engine`.

    Args:
        meter: the clock of all work.

    Raises:
        ModelUnavailable: the server is away, has not what is configured, reads text as other tokens, or draws by
            other log-probs than it tells; or the
            target's tokenizer cannot be loaded here.
        ExpertUnusable: an adapter is none, or a begun answer has no tokens.
    """
    settings = config.model.engine
    assert isinstance(settings, VllmEngine)
    server = VllmServer(settings)
    target = settings.model or config.model.target
    served = server.models()
    check_names(served, target, adapters_of(config.experts), server.place)
    rendering = _within(load_rendering(config.model), served[target].context_length)
    try:
        check_vocabulary(server, target, rendering)
        check_frequencies(server, rendering, target, config.model.max_new_tokens, config.estimate.seed)
    except WorkerLost as exc:
        raise _gone(exc) from exc
    except PromptFailed as exc:
        raise ModelUnavailable(f"the vLLM server at {server.place} cannot read a plain text: {exc}") from exc
    speakers = build_speakers(config, rendering)
    cap = config.model.max_new_tokens
    return Engine(server, rendering, speakers, cap, settings.concurrency, meter), rendering


def check_engine(engine: Engine, config: Config) -> dict[str, float]:
    """Expert name -> how far it is from the target, where drawing and scoring agree; see `checks`.

    Raises:
        ModelUnavailable: as `probe_engine`.
        ExpertUnusable: an expert equals the target.
    """
    found = probe_engine(engine, config)
    require_contrast(found, engine.expert_names[1:])
    return found.contrasts


def probe_engine(engine: Engine, config: Config) -> Probe:
    """What a few answers show, where drawing and scoring agree.

    Raises:
        ModelUnavailable: they do not agree, a plain prompt cannot be drawn from, or the server is away.
    """
    try:
        found = probe(engine, config.model.max_new_tokens, config.estimate.seed)
    except PromptFailed as exc:
        raise ModelUnavailable(f"{engine.device} cannot read a plain prompt: {exc}") from exc
    except WorkerLost as exc:
        raise _gone(exc) from exc
    require_agreement(found, config.estimate.path_tolerance, engine.device)
    return found


def _within(rendering: Rendering, length: int | None) -> Rendering:
    """The same with the server's context, in which scoring makes one token more than the answer has."""
    lengths = [limit for limit in (rendering.context_length, length) if limit is not None]
    return replace(rendering, context_length=min(lengths) - 1 if lengths else None)


def _gone(exc: WorkerLost) -> ModelUnavailable:
    return ModelUnavailable(f"{exc}; see its log, and start it again")
