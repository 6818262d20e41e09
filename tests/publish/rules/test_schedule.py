from datetime import timedelta

import pytest

from riskmon.publish.rules.promql import duration
from riskmon.publish.rules.schedule import longest_gap


@pytest.mark.parametrize(
    ("crontab", "gap"),
    [
        ("* * * * *", timedelta(minutes=1)),
        ("*/5 * * * *", timedelta(minutes=5)),
        ("*/25 * * * *", timedelta(minutes=25)),
        ("0 */4 * * *", timedelta(hours=4)),
        ("0 8-18 * * *", timedelta(hours=14)),
        ("* 8-17 * * mon-fri", timedelta(days=2, hours=14, minutes=1)),
        ("0 6 * * mon", timedelta(days=7)),
        ("0 0 1 * *", timedelta(days=31)),
        ("0 0 1 1 *", timedelta(days=366)),
        ("0 0 29 2 *", timedelta(days=732)),
    ],
)
def test_the_longest_gap_of_a_crontab(crontab, gap):
    assert longest_gap(crontab) == gap


@pytest.mark.parametrize(
    ("span", "text"),
    [
        (timedelta(days=1), "1d"),
        (timedelta(hours=5), "5h"),
        (timedelta(hours=25, minutes=30), "1d1h30m"),
        (timedelta(seconds=1.5), "1s500ms"),
    ],
)
def test_spans_are_written_as_prometheus_reads_them(span, text):
    assert duration(span) == text
