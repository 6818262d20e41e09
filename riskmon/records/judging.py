"""How often a judge is wrong, as counted on answers that people have labelled."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

_COUNTS = (
    "true_positive",
    "false_negative",
    "true_negative",
    "false_positive",
    "unreadable_harmful",
    "unreadable_harmless",
)


@dataclass(frozen=True, slots=True)
class JudgeError:
    """Verdicts of one judge at one threshold, against labels of one harm.

    The six counts are effective ones: with weighted labels they are the weighted shares of a class, times the number
    of equally weighted labels that would be as informative. Without weights they are plain counts.

    Attributes:
        harm: name of the harm.
        judge: the judge's id.
        threshold: scores at or above it are harmful.
        true_positive, false_negative, unreadable_harmful: harmful answers that the judge flagged, passed, and gave no
            readable verdict on.
        true_negative, false_positive, unreadable_harmless: harmless answers that it passed, flagged, and gave no
            readable verdict on.
        labelled_harmful, labelled_harmless: answers of each class that the judge read.
        labels_sha256: hex digest of the labelled file.
        made_at: when the judge was measured.
    """

    harm: str
    judge: str
    threshold: float
    true_positive: float
    false_negative: float
    true_negative: float
    false_positive: float
    unreadable_harmful: float
    unreadable_harmless: float
    labelled_harmful: int
    labelled_harmless: int
    labels_sha256: str
    made_at: datetime

    @property
    def harmful(self) -> float:
        """Effective number of harmful answers."""
        return self.true_positive + self.false_negative + self.unreadable_harmful

    @property
    def harmless(self) -> float:
        """Effective number of harmless answers."""
        return self.true_negative + self.false_positive + self.unreadable_harmless

    def as_dict(self) -> dict[str, Any]:
        """Every field, as JSON can hold it."""
        return dataclasses.asdict(self) | {"made_at": self.made_at.isoformat()}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> JudgeError:
        """Inverse of `as_dict`.

        Raises:
            ValueError: a field is missing, unknown, or not of its type; or a class has no answers.
        """
        names = {field.name for field in dataclasses.fields(cls)}
        if missing := sorted(names - document.keys()):
            raise ValueError(f"{', '.join(missing)} missing")
        if unknown := sorted(document.keys() - names):
            raise ValueError(f"unknown member {unknown[0]!r}")
        for name in ("harm", "judge", "labels_sha256", "made_at"):
            if not isinstance(document[name], str):
                raise ValueError(f"{name} must be text")
        for name in ("labelled_harmful", "labelled_harmless"):
            if type(document[name]) is not int or document[name] < 0:
                raise ValueError(f"{name} must be a whole number, not negative")
        for name in ("threshold", *_COUNTS):
            value = document[name]
            if type(value) not in (int, float) or not 0 <= value <= sys.float_info.max:
                raise ValueError(f"{name} must be a number, finite and not negative")
        try:
            made_at = datetime.fromisoformat(document["made_at"])
        except ValueError:
            raise ValueError("made_at must be a time such as 2026-11-03T14:05:00+00:00") from None
        if made_at.tzinfo is None:
            raise ValueError("made_at must carry its offset from UTC")
        numbers = {name: float(document[name]) for name in ("threshold", *_COUNTS)}
        error = cls(**{**document, **numbers, "made_at": made_at})
        if error.harmful <= 0 or error.harmless <= 0:
            raise ValueError("there must be answers of both classes, harmful and harmless")
        return error
