"""A judge's error with given counts, the rest of its fields filled in."""

from __future__ import annotations

from datetime import UTC, datetime

from riskmon.records import JudgeError


def judge_error(
    true_positive: float = 0.0,
    false_negative: float = 0.0,
    true_negative: float = 0.0,
    false_positive: float = 0.0,
    *,
    unreadable_harmful: float = 0.0,
    unreadable_harmless: float = 0.0,
) -> JudgeError:
    """Counts that are not given are 0."""
    return JudgeError(
        harm="bad",
        judge="regex:123",
        threshold=0.5,
        true_positive=float(true_positive),
        false_negative=float(false_negative),
        true_negative=float(true_negative),
        false_positive=float(false_positive),
        unreadable_harmful=float(unreadable_harmful),
        unreadable_harmless=float(unreadable_harmless),
        labelled_harmful=round(true_positive + false_negative + unreadable_harmful),
        labelled_harmless=round(true_negative + false_positive + unreadable_harmless),
        labels_sha256="ab" * 32,
        made_at=datetime(2026, 11, 3, 14, 5, tzinfo=UTC),
    )
