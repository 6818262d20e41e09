"""A glance never disagrees with the decoder, and counting at a glance never differs from decoding every message."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from riskmon.config import FieldsConfig, TrafficConfig
from riskmon.records import Position
from riskmon.traffic.decode import Decoded, Decoder, Rejected
from riskmon.traffic.glance import Glance, compile_glance
from riskmon.traffic.source import RawBatch, RawMessage
from riskmon.traffic.strata import StrataCap, render_label
from riskmon.traffic.tally import Rules, Tally

NOW = datetime(2026, 11, 3, 12, 0, tzinfo=UTC)
AT = Position("prompts", 2, 41)


def traffic(**settings: Any) -> TrafficConfig:
    return TrafficConfig(jsonl=Path("prompts.jsonl"), **settings)


CONFIGS = {
    "plain": traffic(strata=("route", "attributes.id"), max_message_bytes=900, max_strata=3),
    "no strata": traffic(),
    "many": traffic(strata=("route", "attributes.id", "model", "a.b.c"), window=timedelta(minutes=7)),
    "short memory": traffic(
        max_age=timedelta(minutes=20), max_ahead=timedelta(seconds=30), strata=("route",)
    ),
    "jmespath": traffic(
        fields=FieldsConfig(
            id="attributes.id",
            prompt="attributes.prompt || prompt",
            messages="messages[?role]",
            timestamp="a.time",
        ),
        strata=("length(id)",),
    ),
}

MOMENTS = (
    st.datetimes(datetime(1999, 12, 30), datetime(2100, 1, 2))
    | st.datetimes(datetime(2026, 11, 3, 11), datetime(2026, 11, 3, 14))
    | st.sampled_from(
        [
            NOW.replace(tzinfo=None) + timedelta(seconds=s) + timedelta(days=d)
            for s in (-1, 0, 1)
            for d in (-30, 1)
        ]
    )
)
OFFSETS = st.sampled_from(["", "Z", "z", "+00:00", "+02:00", "-11:30", "+0200", " +00:00", "Z "])
WRITTEN = st.builds(
    lambda moment, separator, timespec, offset: moment.isoformat(separator, timespec) + offset,
    MOMENTS,
    st.sampled_from(["T", " ", "t", "ß", "x"]),
    st.sampled_from(["auto", "minutes", "seconds", "milliseconds"]),
    OFFSETS,
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.sampled_from([0, 1, 1.0, -1, 1e11, 1793707200, 1793707200.5, 1793707200123, 2**63])
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.sampled_from(
        ["chat", "search", "", "\0", "r" * 64, "r" * 65, "i" * 257, "20261103T120000Z", "1793707200"]
    )
    | WRITTEN
)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["id", "route", "b"]), inner, max_size=2)
    ),
    max_leaves=4,
)
MESSAGE = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant"]) | SCALARS, "content": st.text(max_size=8) | ANYTHING},
    optional={"tool_calls": ANYTHING, "name": SCALARS},
)
DEEP = b"[" * 300 + b"]" * 300
MESSAGES = st.lists(MESSAGE | ANYTHING, max_size=3) | ANYTHING
DOCUMENT = st.fixed_dictionaries(
    {},
    optional={
        "id": st.text(max_size=4) | ANYTHING,
        "prompt": st.just("tell me") | ANYTHING,
        "messages": MESSAGES,
        "timestamp": WRITTEN | ANYTHING,
        "route": st.sampled_from(["chat", "search"]) | ANYTHING,
        "model": SCALARS,
        "tools": ANYTHING,
        "attributes": st.fixed_dictionaries(
            {"route": st.just("chat") | ANYTHING, "prompt": SCALARS, "id": SCALARS}
        )
        | ANYTHING,
        "a": st.fixed_dictionaries({"time": WRITTEN | ANYTHING, "b": ANYTHING}) | ANYTHING,
    },
)
USUAL = st.fixed_dictionaries(
    {
        "id": st.text(max_size=4),
        "prompt": st.just("tell me"),
        "timestamp": MOMENTS.map(lambda moment: moment.isoformat() + "Z"),
        "route": st.sampled_from(["chat", "search", "code", "agent", "", None, 1, 1.0, True, "1"]),
    }
)
BROKEN = st.binary(max_size=12) | st.sampled_from(
    [
        b"",
        b"{",
        b"[]",
        b"1",
        b"null",
        b'{"prompt": "\\ud800"}',
        b'{"prompt": NaN}',
        b'{"prompt": "\xff"}',
        b" " * 901,
    ]
)
VALUES = (DOCUMENT | USUAL).map(orjson.dumps) | BROKEN | st.none()


@pytest.fixture(params=CONFIGS, scope="module")
def config(request: pytest.FixtureRequest) -> TrafficConfig:
    return CONFIGS[request.param]


@settings(max_examples=250, deadline=None)
@given(value=VALUES)
@example(value=b'{"prompt": "x", "timestamp": "2100-01-01T00:30:00+01:00"}')
@example(value=b'{"prompt": "x", "timestamp": "2026-11-03T12:00:00"}')
@example(value=b'{"messages": [{"role": "user", "content": "x"}, {"role": "", "content": "x"}]}')
@example(value=b'{"messages": {"role": "user", "content": "x"}}')
@example(value=b'{"messages": "user", "prompt": "x"}')
@example(value=b'{"messages": [], "prompt": "x"}')
@example(value=b'{"prompt": "x", "tools": %s}' % DEEP)
@example(value=b'{"messages": [{"role": "user", "content": "x", "tool_calls": %s}]}' % DEEP)
def test_where_a_glance_answers_the_decoder_agrees(config: TrafficConfig, value: bytes | None) -> None:
    glanced = compile_glance(config)(value)
    if glanced is None:
        return
    moment, labels = glanced
    decoder = Decoder(config)
    if moment is not None:
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
        begin, end = decoder.accepted_times(NOW)
        if not begin <= moment < end:
            return
    request = decoder.decode(RawMessage(AT, None, value), NOW)
    assert isinstance(request, Decoded)
    assert request.requested_at == (moment or NOW)
    assert request.label_values == tuple(render_label(label) for label in labels)


class SpiedDecoder(Decoder):
    """Notes the offsets of what it decodes."""

    def __init__(self, config: TrafficConfig) -> None:
        super().__init__(config)
        self.offsets: list[int] = []

    def decode(self, message: RawMessage, now: datetime) -> Decoded | Rejected:
        self.offsets.append(message.position.offset)
        return super().decode(message, now)


def tally_of(
    config: TrafficConfig,
    batches: list[RawBatch],
    hashes: list[list[float]],
    glance: Glance | None = None,
    decoder: Decoder | None = None,
) -> Tally:
    decoder = decoder or Decoder(config)
    rules = Rules(config, decoder, StrataCap(decoder.labels, config.strata_limits), None)
    rules.glance = glance or rules.glance
    tally = Tally(rules, NOW, lambda _: 0.9)
    for batch, ranks in zip(batches, hashes, strict=True):
        tally.count(batch, ranks)
    return tally


@settings(max_examples=40, deadline=None)
@given(
    values=st.lists(VALUES, max_size=8),
    usual=st.lists(USUAL.map(orjson.dumps), max_size=4),
    times=st.lists(st.sampled_from([-1, 0, 1_793_707_200_000, 1_793_710_799_999, 10**18]), min_size=1),
    random=st.randoms(use_true_random=False),
)
def test_counting_at_a_glance_is_decoding_every_message(
    config: TrafficConfig,
    values: list[bytes | None],
    usual: list[bytes],
    times: list[int],
    random: Any,
) -> None:
    batches, hashes = [], []
    for partition in range(2):
        mixed = [random.choice([*values, *usual, b"{}"]) for _ in range(30)]
        stamps = [random.choice(times) for _ in mixed]
        batches.append(RawBatch("prompts", partition, range(len(mixed)), stamps, mixed))
        hashes.append([random.random() for _ in mixed])

    quick = tally_of(config, batches, hashes)
    slow = tally_of(config, batches, hashes, glance=lambda _: None)

    assert quick.rejected == slow.rejected
    assert {key: cell.requests for key, cell in quick.cells.items()} == {
        key: cell.requests for key, cell in slow.cells.items()
    }
    assert {key: list(cell.sample) for key, cell in quick.cells.items()} == {
        key: list(cell.sample) for key, cell in slow.cells.items()
    }


@pytest.mark.parametrize(
    "message",
    [
        {"id": "a", "prompt": "x", "timestamp": "2026-11-03T12:00:00.123+00:00", "route": "chat"},
        {"prompt": "x", "timestamp": 1_793_707_200, "route": "chat", "attributes": {"route": "y"}},
        {"messages": [{"role": "user", "content": "x"}], "timestamp": 1_793_707_200_123.5},
        {"messages": [{"role": "system", "content": ""}, {"role": "user", "content": "x"}]},
    ],
)
def test_plain_messages_are_decoded_once_a_cell(message: dict[str, Any]) -> None:
    decoder = SpiedDecoder(CONFIGS["plain"])
    values = [orjson.dumps({**message, "n": n}) for n in range(50)]
    batch = RawBatch("prompts", 0, range(50), [-1] * 50, values)
    tally = tally_of(CONFIGS["plain"], [batch, batch], [[0.95] * 50] * 2, decoder=decoder)
    assert [cell.requests for cell in tally.cells.values()] == [100]
    assert decoder.offsets == [0]


def test_what_may_be_sampled_is_decoded() -> None:
    decoder = SpiedDecoder(CONFIGS["plain"])
    values = [orjson.dumps({"prompt": "x", "timestamp": "2026-11-03T12:00:00Z", "n": n}) for n in range(10)]
    batch = RawBatch("prompts", 0, range(10), [-1] * 10, values)
    hashes = [0.95, 0.95, 0.5, 0.95, 0.91, 0.1, 0.92, 0.95, 0.95, 0.95]
    tally = tally_of(CONFIGS["plain"], [batch], [hashes], decoder=decoder)
    assert decoder.offsets == [0, 2, 5]
    [cell] = tally.cells.values()
    assert [rank for rank, _ in cell.sample] == [0.1, 0.5]


def test_what_came_before_is_decoded_wherever_it_stands() -> None:
    decoder = SpiedDecoder(CONFIGS["plain"])
    first, second = (orjson.dumps({"id": "a", "prompt": "x", "n": n}) for n in range(2))
    values = [first, second, first, second, b'{"prompt": "x"}', b'{"prompt": "x"}']
    batches = [RawBatch("prompts", 0, range(at, at + 6), [-1] * 6, values) for at in (0, 100)]
    tally = tally_of(CONFIGS["plain"], batches, [[0.95] * 6] * 2, decoder=decoder)
    assert tally.rejected == {"duplicate": 6}
    assert [cell.requests for cell in tally.cells.values()] == [6]
    assert decoder.offsets == [0, 2, 3, 5, *range(100, 106)]


@pytest.mark.parametrize(
    "settings", [{"format": "openai"}, {"strata": ("last_user.name",)}], ids=["openai", "last user"]
)
def test_what_is_not_plain_by_its_settings_is_always_decoded(settings: dict[str, Any]) -> None:
    glance = compile_glance(TrafficConfig(jsonl=Path("prompts.jsonl"), **settings))
    assert glance(b'{"prompt": "x"}') is None


def test_a_window_that_is_accepted_in_part_is_counted_at_a_glance_in_that_part() -> None:
    config = traffic(max_ahead=timedelta(minutes=10))
    decoder = SpiedDecoder(config)
    minutes = [5, 6, 7, 30, 31, 10, 8, 11]
    values = [orjson.dumps({"prompt": "x", "timestamp": f"2026-11-03T12:{m:02}:00Z"}) for m in minutes]
    batch = RawBatch("prompts", 0, range(8), [-1] * 8, values)
    tally = tally_of(config, [batch], [[0.95] * 8], decoder=decoder)
    assert tally.rejected == {"too_new": 3}
    assert [cell.requests for cell in tally.cells.values()] == [5]
    assert decoder.offsets == [0, 3, 4, 5, 7]
