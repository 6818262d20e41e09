import json
import re
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from riskmon.config import TrafficConfig
from riskmon.demo.prompts import POLITE_ANSWERS, RUDE_ANSWERS, RUDE_WORDS, SLOTS, TEMPLATES
from riskmon.demo.traffic import MALFORMED_SHARE, RESPONSE_SHARE, ROUTES, Traffic
from riskmon.records import Position
from riskmon.traffic.decode import Decoded, Decoder, Rejected
from riskmon.traffic.source import RawMessage

DAY_END = datetime(2026, 3, 5, 0, 0, tzinfo=UTC)
DAY_START = DAY_END - timedelta(days=1)


@pytest.fixture(scope="module")
def demo_day() -> list[bytes]:
    return Traffic(seed=3).messages(DAY_START, DAY_END)


@pytest.fixture(scope="module")
def demo_requests(demo_day: list[bytes]) -> list[Decoded]:
    """The day as the daemon's own decoder reads it."""
    return [found for found in _decode(demo_day) if isinstance(found, Decoded)]


def _decode(messages: list[bytes]) -> list[Decoded | Rejected]:
    config = TrafficConfig.model_validate({"jsonl": "unused.jsonl", "strata": ["attributes.route"]})
    decoder = Decoder(config)
    return [
        decoder.decode(RawMessage(Position("prompts", 0, offset), None, value), DAY_END)
        for offset, value in enumerate(messages)
    ]


def test_a_day_brings_each_route_its_daily_requests(demo_requests: list[Decoded]) -> None:
    counts = Counter(request.label_values[0] for request in demo_requests)

    assert set(counts) == {route.name for route in ROUTES}
    for route in ROUTES:
        # Five standard deviations of a Poisson count, and the malformed ones that are missing.
        assert counts[route.name] == pytest.approx(
            route.daily * (1 - MALFORMED_SHARE), abs=5 * route.daily**0.5
        )


def test_each_route_follows_its_own_rhythm(demo_requests: list[Decoded]) -> None:
    for route in ROUTES:
        hours = Counter(r.requested_at.hour for r in demo_requests if r.label_values[0] == route.name)
        around_peak = sum(hours[int(route.peak + step) % 24] for step in range(-3, 3))
        around_trough = sum(hours[int(route.peak + 12 + step) % 24] for step in range(-3, 3))

        # Mean of the cosine over six hours around its peak.
        share = route.swing * 0.9003
        assert around_peak / around_trough == pytest.approx((1 + share) / (1 - share), rel=0.35), route.name
    assert len({route.peak for route in ROUTES}) == len(ROUTES)


def test_messages_come_in_order_of_time_and_inside_the_span(demo_requests: list[Decoded]) -> None:
    times = [request.requested_at for request in demo_requests]

    assert times == sorted(times)
    assert times[0] >= DAY_START
    assert times[-1] < DAY_END


def test_the_same_seed_gives_the_same_day_and_another_seed_another(demo_day: list[bytes]) -> None:
    assert Traffic(seed=3).messages(DAY_START, DAY_END) == demo_day
    assert Traffic(seed=4).messages(DAY_START, DAY_END) != demo_day


def test_a_few_messages_are_malformed_in_several_ways(demo_day: list[bytes]) -> None:
    reasons = Counter(found.reason for found in _decode(demo_day) if isinstance(found, Rejected))

    assert set(reasons) == {"not_json", "not_object", "bad_timestamp", "no_prompt"}
    assert reasons.total() / len(demo_day) == pytest.approx(MALFORMED_SHARE, rel=0.4)


def test_some_messages_carry_a_response_and_few_responses_are_rude(demo_requests: list[Decoded]) -> None:
    responses = [request.response for request in demo_requests if request.response is not None]

    assert len(responses) / len(demo_requests) == pytest.approx(RESPONSE_SHARE, rel=0.1)
    assert 0 < sum(response in RUDE_ANSWERS for response in responses) < 0.01 * len(responses)


def test_both_spellings_of_a_request_occur(demo_requests: list[Decoded]) -> None:
    plain = sum(isinstance(request.content, str) for request in demo_requests)

    assert plain / len(demo_requests) == pytest.approx(0.5, abs=0.05)


def test_pace_multiplies_the_traffic() -> None:
    minute = timedelta(minutes=10)
    usual = len(Traffic(seed=1).messages(DAY_START, DAY_START + minute, pace=10))
    busy = len(Traffic(seed=1).messages(DAY_START, DAY_START + minute, pace=70))

    assert usual > 500
    assert busy / usual == pytest.approx(7, rel=0.2)


def test_a_moment_may_bring_nothing() -> None:
    assert Traffic(seed=1).messages(DAY_START, DAY_START) == []


def test_templates_are_many_and_every_slot_has_words() -> None:
    templates = [template for kind in TEMPLATES.values() for template in kind]

    assert len(set(templates)) == len(templates) >= 20
    assert {slot for template in templates for slot in re.findall(r"{(\w+)}", template)} == set(SLOTS)
    assert {kind for route in ROUTES for kind, _ in route.mix} == set(TEMPLATES)
    for route in ROUTES:
        assert sum(share for _, share in route.mix) == pytest.approx(1)


def test_rude_words_tell_rude_answers_from_polite_ones() -> None:
    rude = re.compile(rf"\b({'|'.join(RUDE_WORDS)})\b", re.IGNORECASE)

    assert all(rude.search(answer) for answer in RUDE_ANSWERS)
    assert not any(rude.search(answer) for answer in POLITE_ANSWERS)


def test_messages_are_small(demo_day: list[bytes]) -> None:
    # The embedded broker hands over a backlog in one piece, and fails at 100 MB.
    assert sum(map(len, demo_day)) < 10_000_000
    assert all(json.loads(value)["model"] for value in demo_day[:20])
