"""Times in every notation a producer may use."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from riskmon.traffic.timestamps import parse_timestamp

MOMENT = datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)


@pytest.mark.parametrize(
    "value",
    [
        1_700_000_000,
        1_700_000_000.0,
        1_700_000_000_000,
        "1700000000",
        "1700000000000",
        "1.7e9",
        "2023-11-14T22:13:20Z",
        "2023-11-14t22:13:20z",
        "2023-11-14 22:13:20+00:00",
        "2023-11-15T03:43:20+05:30",
        "2023-11-14T13:13:20-09:00",
        "2023-11-14T22:13:20.000000000Z",
        "2023-11-14T22:13:20",
        " 2023-11-14T22:13:20Z ",
    ],
)
def test_notations_of_one_moment(value: Any) -> None:
    moment = parse_timestamp(value)
    assert moment == MOMENT
    assert moment.tzinfo is UTC


def test_fractions_are_kept() -> None:
    assert parse_timestamp(1_700_000_000_250) == MOMENT.replace(microsecond=250_000)
    assert parse_timestamp("2023-11-14T22:13:20.25Z") == MOMENT.replace(microsecond=250_000)


@pytest.mark.parametrize(
    "value",
    [
        True,
        None,
        [],
        "",
        "now",
        "nan",
        "inf",
        "-inf",
        "1e999",
        0,
        -1,
        float("nan"),
        10**30,
        1_700_000_000_000_000,  # microseconds
        "20231114",
        "2023-02-30T00:00:00Z",
        "1999-12-31T23:59:59Z",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
    ],
)
def test_what_is_refused(value: Any) -> None:
    assert parse_timestamp(value) is None
