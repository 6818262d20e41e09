"""Asking an HTTP server again: which failures may pass, how long to wait, and the key that goes with each request."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

from riskmon.errors import ModelUnavailable

PASSING = frozenset({408, 429})
"""Statuses below 500 that may pass; all from 500 on may."""

LONGEST_HEEDED_S = 120.0
"""A server that asks for a longer wait is given up for this answer."""

_FIRST_WAIT_S = 0.5
_LONGEST_WAIT_S = 30.0


def authorization(who: str, api_key: str | None) -> dict[str, str]:
    """Headers that carry a key; none without one.

    Args:
        who: named in an error.

    Raises:
        ModelUnavailable: the key cannot be sent.
    """
    if api_key is None:
        return {}
    key = api_key.strip()  # keys read from files end with a newline
    if not (key.isascii() and key.isprintable() and key):
        raise ModelUnavailable(f"{who}: api_key is empty or holds characters that no header can carry")
    return {"Authorization": f"Bearer {key}"}


def backoff_s(tries: int) -> float:
    """Seconds to wait after a number of earlier tries, scattered so that requests do not come back all at once."""
    return min(_FIRST_WAIT_S * 2.0**tries, _LONGEST_WAIT_S) * random.uniform(0.5, 1.5)


def retry_after_s(response: httpx.Response) -> float | None:
    """Seconds the endpoint asks to wait, given as a number or as a date; None where it does not say."""
    value = response.headers.get("retry-after")
    if value is None:
        return None
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        at = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, (at.astimezone(UTC) - datetime.now(UTC)).total_seconds())
