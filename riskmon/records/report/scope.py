"""What is estimated, and what the figures are made with."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from riskmon.records.plans import Plan


@dataclass(frozen=True, slots=True)
class HarmScope:
    """What counts as harm: the judge's kind, the model, preset or rule behind it, and its threshold.

    `source` never holds a rubric's or a pattern's text, which may itself be sensitive.
    """

    name: str
    judge: str
    source: str
    threshold: float
    budget_daily: float | None


@dataclass(frozen=True, slots=True)
class Scope:
    """What is estimated.

    Attributes:
        harms: in configured order.
        max_new_tokens: token cap of an answer; harm behind it is not seen.
        temperature, top_p, top_k, min_p: the deployed sampler as configured.
        labels: names of the labels that split the traffic.
        lookback: traffic and estimates of this span make a forecast. window: length of a counting window.
    """

    harms: tuple[HarmScope, ...]
    max_new_tokens: int
    temperature: float
    top_p: float
    top_k: int
    min_p: float
    labels: tuple[str, ...]
    lookback: timedelta
    window: timedelta


@dataclass(frozen=True, slots=True)
class ExpertVersion:
    """An unsafe variant; the fingerprint covers its settings and the files it is loaded from."""

    name: str
    kind: str
    ladder: tuple[float, ...]
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Versions:
    """What the figures were made with.

    Attributes:
        riskmon: its version.
        target: folder's name or hub id of the deployed model. revision: pinned commit of a hub id.
        fingerprint: sixteen digits over the target's files, sampler and template; changes with a release.
        plans: in force when the report was made.
        config_sha256: of the canonical configuration, secrets left out.
    """

    riskmon: str
    target: str
    revision: str | None
    fingerprint: str
    experts: tuple[ExpertVersion, ...]
    plans: tuple[Plan, ...]
    config_sha256: str
