"""Experts as a server has them: the name of a network there, and the context that it reads.

The contexts are those of the local experts of the same kinds (`riskmon.estimate.experts`), made without weights.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from riskmon.config import Config, ExpertConfig, LoraExpert, PrefixExpert, SystemPromptExpert, VllmEngine
from riskmon.estimate.experts.prefix import begun_ids
from riskmon.estimate.rendering import Rendering
from riskmon.records import Prompt


@dataclass(frozen=True, slots=True, eq=False)
class Speaker:
    """An expert.

    Attributes:
        name: of the expert. model: name of its network at the server.
        context: token ids that an answer to a prompt is conditioned on; raises `PromptFailed` where there are none.
    """

    name: str
    model: str
    context: Callable[[Prompt], list[int]]


def build_speakers(config: Config, rendering: Rendering) -> tuple[Speaker, ...]:
    """The target, then every configured expert.

    Args:
        config: one whose experts a server can give (`riskmon.config.engines`).

    Raises:
        ExpertUnusable: a begun answer has no tokens.
    """
    assert isinstance(config.model.engine, VllmEngine)
    target = config.model.engine.model or config.model.target
    return (
        Speaker("target", target, rendering.render),
        *(_speaker(expert, target, rendering) for expert in config.experts),
    )


def _speaker(expert: ExpertConfig, target: str, rendering: Rendering) -> Speaker:
    if isinstance(expert, LoraExpert):
        return Speaker(expert.name, served_name(expert), rendering.render)
    if isinstance(expert, SystemPromptExpert):
        return Speaker(expert.name, target, partial(rendering.render, system=expert.text))
    assert isinstance(expert, PrefixExpert)
    begun = begun_ids(expert, rendering)
    return Speaker(expert.name, target, lambda prompt: rendering.render(prompt) + begun)


def served_name(expert: LoraExpert) -> str:
    """The adapter's name at the server."""
    return expert.served_as or expert.name


def adapters_of(experts: Sequence[ExpertConfig]) -> dict[str, str]:
    """Expert name -> name of its adapter at the server."""
    return {expert.name: served_name(expert) for expert in experts if isinstance(expert, LoraExpert)}
