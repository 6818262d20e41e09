"""Messages that were sound once: a seeded mutator over bytes and over JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any

import orjson

MARK = "@@mutated@@"

# Written into the text in place of a value, so that they may be what no JSON writer makes.
RAW = (
    "1e400 -1e400 1e-400 NaN Infinity -0 123456789012345678901234567890 0x10 1.7976931348623157e309 nul",
    '"\\ud800" "\\udfff\\ud800" "\\u0000" "a\\u0000b" "\\uD83D\\uDE00" "\\x41" "\\u12" "',
    '[] {} [[]] [{}] {"":""} {"role":"user","role":"assistant"} {"a":1,"a":[2]}',
)
TOKENS = tuple(token for line in RAW for token in line.split())

ODD: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**53, -(2**63), 2**64 - 1, 0.1, -0.0, 1e308, 5e-324),
    *(
        "",
        " ",
        "\0",
        "a\0b",
        "\u2028",
        "\ufeff",
        "é" * 70,
        "😀" * 300,
        "x" * 5000,
        "user",
        "assistant",
        "tool",
        "unknown",
    ),
    *(
        "2026-11-03T00:00:00Z",
        "2026-11-03",
        "1999-12-31T23:59:59Z",
        "2027-11-03T00:00:00Z",
        "2100-01-01",
        "1e400",
        "nan",
        "inf",
        "-1",
        "1762170000",
    ),
    *(1762170000, 1762170000000, 1.5e9, 9e15, 10**11, 10**11 - 1),
    *([], {}, [None], [[]], [[], {}], {"": None}, {"role": "user"}, {"content": []}, [{"text": 1}]),
    *(
        {"function": {"arguments": "{"}},
        [{"type": "function_call"}],
        {"messages": {"messages": {"messages": []}}},
    ),
    *('{"messages": [1]}', '[{"role": "user"}]', "{", "[" * 50, '{"prompt": "inner"}', '{"output": 5}'),
)


SERIAL = b'"serial":0'


def mutated(seeds: Sequence[bytes], count: int, seed: int) -> Iterator[bytes | None]:
    """`count` messages, each a seed after up to four mutations; now and then a tombstone.

    A seed's `"serial":0` is mostly a number of its own, so that few of them are the same.
    """
    random = Random(seed)
    for number in range(count):
        if random.random() < 0.01:
            yield None
            continue
        value = random.choice(seeds)
        if random.random() < 0.95:
            value = value.replace(SERIAL, b'"serial":%d' % number)
        kinds = _OF_BYTES if random.random() < 0.3 else _OF_JSON
        for _ in range(random.choice((0, 1, 1, 1, 2, 2, 3, 4))):
            value = random.choice(kinds)(random, value, seeds)
        yield value


def _flip(random: Random, value: bytes, _seeds: Sequence[bytes]) -> bytes:
    changed = bytearray(value)
    for _ in range(random.randint(1, 4)):
        if changed:
            changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    return bytes(changed)


def _cut(random: Random, value: bytes, _seeds: Sequence[bytes]) -> bytes:
    first = random.randint(0, len(value))
    return random.choice(
        (value[:first], value[first:], value[:first] + value[random.randint(first, len(value)) :])
    )


def _splice(random: Random, value: bytes, seeds: Sequence[bytes]) -> bytes:
    other = random.choice(seeds)
    return value[: random.randint(0, len(value))] + other[random.randint(0, len(other)) :]


def _repeat(random: Random, value: bytes, _seeds: Sequence[bytes]) -> bytes:
    first = random.randint(0, len(value))
    last = random.randint(first, min(len(value), first + 40))
    return value[:first] + value[first:last] * random.randint(2, 60) + value[last:]


def _insert(random: Random, value: bytes, _seeds: Sequence[bytes]) -> bytes:
    place = random.randint(0, len(value))
    rubbish = random.choice(
        (b"\0", b"\xff", b"\xc3\x28", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\n", b'"', b"\\", b",", b"{", b"]")
    )
    return value[:place] + rubbish * random.choice((1, 1, 1, 2000)) + value[place:]


def _wrap(random: Random, value: bytes, _seeds: Sequence[bytes]) -> bytes:
    """JSON that is no object."""
    return random.choice((b"[%s]" % value, b"[]", b"7", b"null", b'"%s"' % value[:20].hex().encode()))


def _replace_value(random: Random, value: bytes, _seeds: Sequence[bytes]) -> bytes:
    return _in_json(random, value, lambda: random.choice(ODD))


def _replace_raw(random: Random, value: bytes, _seeds: Sequence[bytes]) -> bytes:
    changed = _in_json(random, value, lambda: MARK)
    return changed.replace(b'"%s"' % MARK.encode(), random.choice(TOKENS).encode(), 1)


def _nest(random: Random, value: bytes, _seeds: Sequence[bytes]) -> bytes:
    depth = random.choice((3, 100, 250, 300, 1000, 1100, 3000))
    before, after = random.choice(((b"[", b"]"), (b'{"messages":', b"}"), (b'{"request":[', b"]}")))
    changed = _in_json(random, value, lambda: MARK)
    return changed.replace(b'"%s"' % MARK.encode(), before * depth + b"1" + after * depth, 1)


def _repeat_key(random: Random, value: bytes, seeds: Sequence[bytes]) -> bytes:
    other = random.choice(seeds)
    if not value.startswith(b"{") or not other.startswith(b"{"):
        return value
    return value.rstrip()[:-1] + b"," + other[1:]


def _as_text(random: Random, value: bytes, _seeds: Sequence[bytes]) -> bytes:
    """An object that became the text of itself."""
    return _in_json(random, value, None)


_Mutation = Callable[[Random, bytes, Sequence[bytes]], bytes]
_OF_BYTES: tuple[_Mutation, ...] = (_flip, _cut, _splice, _repeat, _insert, _wrap)
_OF_JSON: tuple[_Mutation, ...] = (
    *(_replace_value, _replace_value, _replace_value, _replace_value),
    *(_replace_raw, _nest, _repeat_key, _as_text),
)


def _in_json(random: Random, value: bytes, make: Callable[[], Any] | None) -> bytes:
    """The document with one member changed, renamed or dropped; bytes that are no JSON as they are."""
    try:
        document = orjson.loads(value)
    except orjson.JSONDecodeError:
        return value
    here: Any = document
    while isinstance(here, dict | list) and here:
        place = random.choice(list(here)) if isinstance(here, dict) else random.randrange(len(here))
        inner = here[place]
        if isinstance(inner, dict | list) and inner and random.random() < 0.6:
            here = inner
            continue
        if make is not None:
            here[place] = make()
        elif isinstance(inner, dict | list):
            here[place] = _dumped(inner).decode()
        elif isinstance(here, dict) and isinstance(place, str):
            here[random.choice(("id", "messages", "prompt", "input", "content", "tool_calls"))] = here.pop(
                place
            )
        break
    return _dumped(document) or value


def _dumped(document: Any) -> bytes:
    try:
        return orjson.dumps(document)
    except orjson.JSONEncodeError:
        return b""  # it can be read four times as deep as it can be written
