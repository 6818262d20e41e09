"""A judge's error with given counts, the rest of its fields filled in."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from riskmon.records.judging import JudgeError

COUNTS = (
    *("true_positive", "false_negative", "true_negative", "false_positive"),
    *("unreadable_harmful", "unreadable_harmless"),
)


@pytest.fixture(scope="session")
def judge_error() -> Callable[..., JudgeError]:
    """Counts that are not given are 0."""

    def make(**counts: float) -> JudgeError:
        assert counts.keys() <= set(COUNTS)
        filled = {name: float(counts.get(name, 0)) for name in COUNTS}
        bad = filled["true_positive"] + filled["false_negative"] + filled["unreadable_harmful"]
        good = filled["true_negative"] + filled["false_positive"] + filled["unreadable_harmless"]
        return JudgeError(
            harm="bad",
            judge="regex:123",
            threshold=0.5,
            labelled_harmful=round(bad),
            labelled_harmless=round(good),
            labels_sha256="ab" * 32,
            made_at=datetime(2026, 11, 3, 14, 5, tzinfo=UTC),
            **filled,
        )

    return make
