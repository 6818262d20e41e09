"""Messages per second of decoding and of the whole intake, on one core.

    python tests/benchmarks/bench_intake.py

Decoding runs twice in one process on the same messages of 500 bytes: with the fast path for plain field paths, and
with every field looked up by the JMESPath interpreter. The figure to compare is their ratio; rates depend on the
machine.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest.mock import patch

from riskmon.config import TrafficConfig
from riskmon.records import Position
from riskmon.traffic.decode import Decoded, Decoder
from riskmon.traffic.intake import Intake
from riskmon.traffic.jsonl import JsonlSource
from riskmon.traffic.paths import search_with_jmespath
from riskmon.traffic.source import RawMessage

MESSAGES = 20_000
ROUNDS = 5
MESSAGE_BYTES = 500
NOW = datetime(2026, 11, 3, 12, 0, tzinfo=UTC)


def message(number: int) -> bytes:
    """A chat request padded to 500 bytes."""
    request = {
        "id": f"req-{number:08d}",
        "timestamp": (NOW + timedelta(milliseconds=number)).isoformat(),
        "model": "assistant-7",
        "attributes": {"route": ("chat", "search", "code")[number % 3], "region": "eu"},
        "messages": [{"role": "system", "content": "You are helpful."}, {"role": "user", "content": ""}],
    }
    request["messages"][1]["content"] = "w " * ((MESSAGE_BYTES - len(json.dumps(request))) // 2)
    return json.dumps(request).encode()


def rate(work: Callable[[], int]) -> float:
    """Messages per second of processor time, so that busy neighbours matter little; the median of several rounds."""
    rates = []
    for _ in range(ROUNDS):
        begun = time.process_time()
        done = work()
        rates.append(done / (time.process_time() - begun))
    return statistics.median(rates)


def main() -> None:
    """Print the table."""
    values = [message(number) for number in range(MESSAGES)]
    config = TrafficConfig(jsonl=Path("prompts.jsonl"), strata=("attributes.route", "model"))
    raw = [RawMessage(Position("prompts", 0, offset), NOW, value) for offset, value in enumerate(values)]

    fast = Decoder(config)
    with (
        patch("riskmon.traffic.decode.compile_path", search_with_jmespath),
        patch("riskmon.traffic.strata.compile_path", search_with_jmespath),
    ):
        plain = Decoder(config)
    assert all(fast.decode(one, NOW) == plain.decode(one, NOW) for one in raw[:100])

    def decode_all(decoder: Decoder) -> int:
        return sum(isinstance(decoder.decode(one, NOW), Decoded) for one in raw)

    fast_rate, plain_rate = rate(lambda: decode_all(fast)), rate(lambda: decode_all(plain))

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "prompts.jsonl"
        path.write_bytes(b"\n".join(values) + b"\n")

        def collect_all() -> int:
            source = JsonlSource(path, config.max_message_bytes)
            source.start({})
            source.mark_end()
            intake = Intake(source, config)
            consumed = 0
            while not source.caught_up():
                consumed += intake.collect(NOW).consumed
            source.close()
            return consumed

        intake_rate = rate(collect_all)

    size = statistics.mean(map(len, values))
    sys.stdout.write(
        f"{MESSAGES} messages of {size:.0f} bytes, median of {ROUNDS} rounds, one core\n"
        f"decode, every field by JMESPath  {plain_rate:10,.0f} messages/s\n"
        f"decode, fast path                {fast_rate:10,.0f} messages/s  ({fast_rate / plain_rate:.2f} x)\n"
        f"whole intake from a file         {intake_rate:10,.0f} messages/s\n"
    )


if __name__ == "__main__":
    main()
