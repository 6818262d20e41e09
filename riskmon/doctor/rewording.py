"""Whether prompts can be reworded: the file of polite wrappers, and the model that writes paraphrases."""

from __future__ import annotations

import logging
from pathlib import Path

from riskmon.config import Config
from riskmon.config.sensitivity import ParaphraserConfig
from riskmon.doctor.finding import Check, Finding, Level, guarded
from riskmon.records import Prompt
from riskmon.sensitivity.paraphrase import checked, open_paraphraser
from riskmon.sensitivity.politeness import read_wrappers

log = logging.getLogger(__name__)

_HARMLESS = "How do I bake a loaf of bread without an oven?"
_ASKED = 3


def check_rewording(config: Config, *, with_model: bool) -> Check[None]:
    """Whatever the sensitivity job needs beside the model and its judges; nothing is sent but a built-in sentence."""
    sensitivity = config.sensitivity
    if sensitivity.politeness is not None and "politeness" in sensitivity.kinds:
        yield from guarded("politeness", _wrappers(sensitivity.politeness))
    if with_model and sensitivity.paraphrase is not None and "paraphrase" in sensitivity.kinds:
        log.info("asking for paraphrases")
        yield from guarded("paraphrase", _paraphrases(config, sensitivity.paraphrase))


def _wrappers(path: Path) -> Check[None]:
    ways = len(read_wrappers(path).wrapped(_HARMLESS))
    yield Finding(Level.OK, "politeness", f"{path} wraps a built-in question in {ways} ways")


def _paraphrases(config: Config, settings: ParaphraserConfig) -> Check[None]:
    with open_paraphraser(config, settings) as ask:
        found = checked(_HARMLESS, ask(Prompt("doctor", _HARMLESS), _HARMLESS, _ASKED))
    dropped = ", ".join(f"{count} {reason}" for reason, count in sorted(found.dropped.items()))
    text = f"{len(found.kept)} of {_ASKED} paraphrases of a built-in sentence can be used"
    if found.kept:
        yield Finding(Level.OK, "paraphrase", text + (f"; dropped: {dropped}" if dropped else ""))
    else:
        yield Finding(Level.WARNING, "paraphrase", f"{text}; dropped: {dropped}; try a larger model")
