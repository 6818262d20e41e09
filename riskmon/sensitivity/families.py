"""A prompt with its rewordings, and what was estimated of them.

First all prompts are reworded, then all wordings are estimated: a paraphrasing model on the same device is gone by
then. Every wording draws from random streams of its own, named by its id.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from riskmon.config import Config
from riskmon.config.sensitivity import SensitivityConfig
from riskmon.progress import progress
from riskmon.records import Prompt, PromptResult
from riskmon.sensitivity.paraphrase import Ask, Paraphrases, checked, open_paraphraser
from riskmon.sensitivity.politeness import read_wrappers
from riskmon.sensitivity.variants import Variant, last_user_turn, make_variants

NO_VARIANTS = "no_variants"
"""Reason of a prompt that cannot be reworded: no user turn with text in it."""


@dataclass(frozen=True, slots=True)
class Wordings:
    """A prompt, its rewordings, and why paraphrases were dropped (reason -> number)."""

    prompt: Prompt
    variants: tuple[Variant, ...]
    dropped: Counter[str] = field(default_factory=Counter)

    def __len__(self) -> int:
        return 1 + len(self.variants)


@dataclass(frozen=True, slots=True)
class Measured:
    """Results of a prompt's wordings: of the prompt as it stands, and one per rewording, failures included."""

    wordings: Wordings
    base: PromptResult
    variants: tuple[PromptResult, ...]

    @property
    def failure(self) -> str | None:
        """Why nothing can be said of the prompt; None where something can."""
        if self.base.failure:
            return self.base.failure
        failures = [result.failure for result in self.variants]
        return failures[0] or NO_VARIANTS if failures and all(failures) else None


def reword(config: Config, settings: SensitivityConfig, prompts: Sequence[Prompt]) -> list[Wordings]:
    """Every prompt with its rewordings; with none where it has no user turn to reword.

    Raises:
        ConfigError: the file of polite wrappers cannot be used.
        ModelUnavailable: the paraphrasing model cannot be used.
    """
    wrappers = read_wrappers(settings.politeness)
    found = []
    with _paraphrasing(config, settings) as paraphrased, progress("rewording", len(prompts)) as report:
        for done, prompt in enumerate(prompts, 1):
            paraphrases = paraphrased(prompt)
            variants = make_variants(prompt, settings, wrappers, config.estimate.seed, paraphrases.kept)
            found.append(Wordings(prompt, tuple(variants), paraphrases.dropped))
            report(done, "")
    return found


def measure(
    wordings: Wordings, base: Prompt, estimate: Callable[[Sequence[Prompt]], Sequence[PromptResult]]
) -> Measured:
    """Estimate a prompt and its rewordings; without an estimate of the prompt itself nothing else is estimated.

    Args:
        base: the prompt as it stands, under the id that its draws shall go by.
        estimate: estimates some wordings, with results in their order; it never raises for a fault of one of them.
    """
    (first,) = estimate([base])
    if first.failure:
        return Measured(wordings, first, ())
    return Measured(wordings, first, tuple(estimate([variant.prompt for variant in wordings.variants])))


@contextmanager
def _paraphrasing(config: Config, settings: SensitivityConfig) -> Iterator[Callable[[Prompt], Paraphrases]]:
    """What gives a prompt's paraphrases: none without a model."""
    if settings.paraphrase is None or "paraphrase" not in settings.kinds:
        yield lambda _: Paraphrases()
        return
    share = -(-settings.variants // len(settings.active_kinds))
    with open_paraphraser(config, settings.paraphrase) as ask:
        yield lambda prompt: _paraphrases(prompt, ask, share)


def _paraphrases(prompt: Prompt, ask: Ask, count: int) -> Paraphrases:
    text = last_user_turn(prompt)
    return Paraphrases() if text is None else checked(text, ask(prompt, text, count))
