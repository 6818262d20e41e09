"""Messages per second of decoding and of the whole intake, on one core.

    python tests/benchmarks/bench_intake.py

Decoding runs twice in one process on the same messages of 500 bytes: with the fast path for plain field paths, and
with every field looked up by the JMESPath interpreter. The figure to compare is their ratio; rates depend on the
machine. Of what is sampled the text is encrypted: a prompt of 500 bytes is written to a SQLite store in batches of
1,000, and sealing alone is timed on the same texts.
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

from sqlalchemy import create_mock_engine

from riskmon.config import TrafficConfig
from riskmon.records import IntakeBatch, Position, Prompt, SampledPrompt, Stratum
from riskmon.store import open_store
from riskmon.store.keyring import Keyring, new_key
from riskmon.store.sealed import SealedJson, use_keys
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
        sealing, writing = sealing_and_writing(Path(folder))

    size = statistics.mean(map(len, values))
    sys.stdout.write(
        f"{MESSAGES} messages of {size:.0f} bytes, median of {ROUNDS} rounds, one core\n"
        f"decode, every field by JMESPath  {plain_rate:10,.0f} messages/s\n"
        f"decode, fast path                {fast_rate:10,.0f} messages/s  ({fast_rate / plain_rate:.2f} x)\n"
        f"whole intake from a file         {intake_rate:10,.0f} messages/s\n"
        f"sampled prompt, written to SQLite{writing * 1e6:10.1f} us each\n"
        f"  of that encryption             {sealing * 1e6:10.1f} us each  ({sealing / writing:.1%})\n"
    )


def sealing_and_writing(folder: Path) -> tuple[float, float]:
    """Seconds of processor time that a sampled prompt of 500 bytes takes: to be encrypted, and to be stored at all."""
    stratum, batch_size = Stratum((("route", "chat"),)), 1_000
    text = "w" * MESSAGE_BYTES

    def batch(start: int) -> IntakeBatch:
        prompts = tuple(
            SampledPrompt(Prompt(f"r{i}", text, stratum, Position("prompts", 0, i)), NOW, 0.5)
            for i in range(start, start + batch_size)
        )
        requests = {(NOW, stratum): batch_size}
        return IntakeBatch(batch_size, requests, prompts, {}, {("prompts", 0): start + batch_size})

    starts = iter(range(0, 10**9, batch_size))
    with open_store(f"sqlite:///{folder}/bench.db") as store:

        def write() -> int:
            store.write_intake(batch(next(starts)), keep=10**6, now=NOW)
            return batch_size

        writing = 1 / rate(write)

    keyring = Keyring([new_key()], "the benchmark")
    column, sealed = SealedJson("samples.body"), create_mock_engine("sqlite://", lambda *_: None).dialect
    use_keys(sealed, keyring)

    def seal() -> int:
        for _ in range(batch_size):
            column.process_bind_param(text, sealed)
        return batch_size

    return 1 / rate(seal), writing


if __name__ == "__main__":
    main()
