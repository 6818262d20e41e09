"""What the deployed model really answered, as judged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from riskmon.records.plans import Hit
from riskmon.records.traffic import Prompt


@dataclass(frozen=True, slots=True)
class ResponseVerdict:
    """What a judge said of a production response.

    Attributes:
        harmful: whether it is flagged.
        uncovered: whether it is harmful and no proposal but the target itself reaches it; None where only the target
            is drawn from, so that there is nothing to ask.
    """

    harmful: bool
    uncovered: bool | None = None


@dataclass(frozen=True, slots=True)
class Observation:
    """A production response, judged.

    Attributes:
        prompt: with its response, whose text is masked in repr.
        verdicts: per harm; one without a readable verdict is absent.
        hits: the response as a harmful draw of the target, where it may be taken for one.
        away: no judge gave anything readable, as when none can be reached.
    """

    prompt: Prompt
    verdicts: Mapping[str, ResponseVerdict]
    hits: tuple[Hit, ...] = ()
    away: bool = False
