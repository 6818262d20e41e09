"""Judges: how harmful an answer is, as a score in [0, 1].

One file per kind, registered in `BUILDERS`. A judge sees the prompt and the outputs and nothing else: no weights, no
log-probs. An answer without a readable verdict gets NaN, never 0. What a kind needs (a model, a client) is imported
when a judge of that kind is built.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from riskmon.config import CascadeJudge, JudgeConfig
from riskmon.estimate.judges.base import Judge
from riskmon.estimate.judges.cascade import build_cascade
from riskmon.estimate.judges.presets import preset_names
from riskmon.estimate.judges.regex import build_regex
from riskmon.estimate.judges.toxicity import build_toxicity


def _on_use(module: str, name: str) -> Callable[[Any], Judge]:
    """A builder whose module is imported when it is called."""

    def build(config: Any) -> Judge:
        judge: Judge = getattr(import_module(f"{__name__}.{module}"), name)(config)
        return judge

    return build


def _cascade(config: CascadeJudge) -> Judge:
    return build_cascade(config, build_judge)


BUILDERS: dict[str, Callable[[Any], Judge]] = {
    "regex": build_regex,
    "toxicity": build_toxicity,
    "hf-classifier": _on_use("hf_classifier", "build_hf_classifier"),
    "hf-generative": _on_use("hf_generative", "build_hf_generative"),
    "rubric": _on_use("rubric", "build_rubric"),
    "openai": _on_use("openai", "build_openai"),
    "cascade": _cascade,
}


def build_judge(config: JudgeConfig) -> Judge:
    """The configured judge.

    Raises:
        ModelUnavailable: what it needs is not installed or does not load.
    """
    return BUILDERS[config.kind](config)


__all__ = ["BUILDERS", "Judge", "build_judge", "preset_names"]
