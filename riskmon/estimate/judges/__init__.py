"""Judges: how harmful an answer is, as a score in [0, 1].

One file per kind, registered in `BUILDERS`. A judge sees the prompt and the outputs and nothing else: no weights, no
log-probs. An answer without a readable verdict gets NaN, never 0. What a kind needs (a model, a client) is imported
when a judge of that kind is built.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from riskmon.config import CascadeJudge, JudgeConfig
from riskmon.estimate.judges.base import Judge
from riskmon.estimate.judges.cascade import build_cascade
from riskmon.estimate.judges.presets import preset_names
from riskmon.estimate.judges.regex import build_regex
from riskmon.estimate.judges.toxicity import build_toxicity

if TYPE_CHECKING:
    from riskmon.estimate.meter import Meter


Builder = Callable[[Any, "Meter | None"], Judge]
"""Makes a judge from its section of the configuration; the clock is for judges with networks."""


def _on_use(module: str, name: str) -> Builder:
    """A builder whose module is imported when it is called."""

    def build(config: Any, meter: Meter | None) -> Judge:
        judge: Judge = getattr(import_module(f"{__name__}.{module}"), name)(config, meter)
        return judge

    return build


def _cascade(config: CascadeJudge, meter: Meter | None) -> Judge:
    return build_cascade(config, partial(build_judge, meter=meter))


BUILDERS: dict[str, Builder] = {
    "regex": build_regex,
    "toxicity": build_toxicity,
    "hf-classifier": _on_use("hf_classifier", "build_hf_classifier"),
    "hf-generative": _on_use("hf_generative", "build_hf_generative"),
    "rubric": _on_use("rubric", "build_rubric"),
    "openai": _on_use("openai", "build_openai"),
    "cascade": _cascade,
}


def build_judge(config: JudgeConfig, meter: Meter | None = None) -> Judge:
    """The configured judge.

    Args:
        config: its section of the configuration.
        meter: clock of the session that it is part of, for the work of networks of its own.

    Raises:
        ModelUnavailable: what it needs is not installed or does not load.
    """
    return BUILDERS[config.kind](config, meter)


__all__ = ["BUILDERS", "Judge", "build_judge", "preset_names"]
