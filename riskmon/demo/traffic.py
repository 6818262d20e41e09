"""A deployment's traffic: four routes with different daily rhythms and different mixes of prompts.

Requests of route r arrive as a Poisson process with the rate, per day,

    rate_r(t) = daily_r (1 + swing_r cos(2 pi (h - peak_r) / 24)),     h = hour of t in UTC,

so that a whole day brings `daily_r` of them on average. In come a span of time and a source of chance, out go messages
as bytes, in order of time. A few are malformed on purpose, so that rejections can be seen.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from riskmon.demo.prompts import POLITE_ANSWERS, RISKY_KINDS, RUDE_ANSWERS, pick, write_prompt

MALFORMED_SHARE = 0.005
RESPONSE_SHARE = 0.3
RUDE_RESPONSE_SHARE = 0.02
"""Answers that are rude, among the requests that make a small model slip."""

_DAY = timedelta(days=1)
_STEP = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Route:
    """One way into the deployment.

    Attributes:
        name: value of the label `route`.
        daily: requests per day on average.
        peak: hour of the day, UTC, with the most of them.
        swing: relative amplitude of the rhythm, 0 to 1.
        mix: kind of prompt -> share; the shares sum to 1.
    """

    name: str
    daily: float
    peak: float
    swing: float
    mix: tuple[tuple[str, float], ...]

    def rate(self, at: datetime) -> float:
        """Requests per day at a moment."""
        hour = (at - at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)) / timedelta(
            hours=1
        )
        return self.daily * (1 + self.swing * math.cos(2 * math.pi * (hour - self.peak) / 24))


ROUTES = (
    Route("chat", 9_000, 20.0, 0.6, (("everyday", 0.9), ("insult", 0.1))),
    Route("support", 6_000, 13.0, 0.7, (("support", 0.65), ("angry_customer", 0.35))),
    Route("workplace", 3_500, 10.0, 0.9, (("work", 0.5), ("annoying_coworker", 0.5))),
    Route("stories", 1_500, 22.0, 0.5, (("story", 0.5), ("dog_story", 0.5))),
)


class Traffic:
    """Invents messages; the same seed and the same spans give the same ones."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)

    def messages(self, since: datetime, until: datetime, *, pace: float = 1.0) -> list[bytes]:
        """The messages of [since, until), in order of time.

        Args:
            pace: how many times busier than the usual rhythm.
        """
        requests = [(at, route) for route in ROUTES for at in self._arrivals(route, since, until, pace)]
        requests.sort(key=lambda request: request[0])
        return [self._message(route, at) for at, route in requests]

    def _arrivals(self, route: Route, since: datetime, until: datetime, pace: float) -> list[datetime]:
        """Moments of requests: Poisson counts in steps of a minute at most, spread evenly inside a step."""
        steps = max(1, math.ceil((until - since) / _STEP))
        step = (until - since) / steps
        rates = [route.rate(since + (index + 0.5) * step) for index in range(steps)]
        counts = self._rng.poisson(np.array(rates) * pace * (step / _DAY))
        places = np.repeat(np.arange(steps), counts) + self._rng.random(int(counts.sum()))
        return [since + place * step for place in places.tolist()]

    def _message(self, route: Route, at: datetime) -> bytes:
        rng = self._rng
        if rng.random() < MALFORMED_SHARE:
            return self._malformed(route, at)
        kind = route.mix[int(np.searchsorted(np.cumsum([share for _, share in route.mix]), rng.random()))][0]
        text = write_prompt(kind, rng)
        # Both spellings of a request occur in real logs.
        asked = {"prompt": text} if rng.random() < 0.5 else {"messages": [{"role": "user", "content": text}]}
        answered = {}
        if rng.random() < RESPONSE_SHARE:
            rude = kind in RISKY_KINDS and rng.random() < RUDE_RESPONSE_SHARE
            answered = {"response": pick(RUDE_ANSWERS if rude else POLITE_ANSWERS, rng)}
        return json.dumps(self._envelope(route, at) | asked | answered).encode()

    def _malformed(self, route: Route, at: datetime) -> bytes:
        """One of the ways in which production messages go wrong."""
        request = self._envelope(route, at) | {"prompt": write_prompt(route.mix[0][0], self._rng)}
        match int(self._rng.integers(4)):
            case 0:
                return json.dumps(request).encode()[:-9]
            case 1:
                return json.dumps([request]).encode()
            case 2:
                return json.dumps(request | {"timestamp": "yesterday"}).encode()
        del request["prompt"]
        return json.dumps(request).encode()

    def _envelope(self, route: Route, at: datetime) -> dict[str, object]:
        return {
            "id": f"{self._rng.integers(2**48):012x}",
            "timestamp": at.isoformat(timespec="milliseconds"),
            "model": "assistant",
            "attributes": {"route": route.name},
        }
