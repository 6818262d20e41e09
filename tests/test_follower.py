"""Reading and writing apart: a slow, a failing and a forgetful store; memory that is bounded; a clean end."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.chaos import locked
from support.store_records import CHAT, CODE, NOON, sampled

from riskmon import follower, jobs, writer
from riskmon.config import TrafficConfig
from riskmon.errors import BatchRefused, StoreUnavailable
from riskmon.records import IntakeBatch
from riskmon.records.strata import StrataNews
from riskmon.store import Store, open_store
from riskmon.traffic.jsonl import JsonlSource
from riskmon.traffic.open_batch import OpenBatch

NOW = datetime(2026, 3, 14, 12, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(f"sqlite:///{tmp_path}/risk.db") as opened:
        yield opened


@pytest.fixture
def stream(tmp_path: Path) -> Path:
    path = tmp_path / "stream.jsonl"
    path.touch()
    return path


def send(path: Path, numbers: range, length: int = 5) -> None:
    with path.open("a") as file:
        file.writelines(json.dumps({"prompt": "x" * length, "id": f"r{n}"}) + "\n" for n in numbers)


class Following:
    """A job that follows a file, in a thread."""

    def __init__(self, path: Path, store: Any, **options: Any) -> None:
        self.source = JsonlSource(path, 10_000)
        config = TrafficConfig(
            jsonl=path, sample_per_window=4, flush_interval=timedelta(milliseconds=50), **options
        )
        self._stop = threading.Event()
        self.fault: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(store, config))
        self._thread.start()

    def _run(self, store: Any, config: TrafficConfig) -> None:
        try:
            jobs.follow_traffic(self.source, store, config, NOW, lambda: NOW, self._stop.is_set)
        except BaseException as exc:  # noqa: BLE001 - the test looks at it
            self.fault = exc

    def read(self) -> int:
        return self.source.next_offsets()[0]

    def end(self) -> None:
        self._stop.set()
        self.join()
        if self.fault is not None:
            raise self.fault

    def join(self) -> None:
        self._thread.join(20)
        assert not self._thread.is_alive()


def until(holds: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


class Altered:
    """A store one of whose methods does something else."""

    def __init__(self, store: Store, write_intake: Callable[..., StrataNews]) -> None:
        self._store = store
        self.write_intake = write_intake

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def requests_of(store: Store) -> int:
    return sum(window.requests for window in store.volume(NOW))


def test_reading_goes_on_while_the_store_is_locked_and_all_is_written_after(
    stream: Path, store: Store, tmp_path: Path
) -> None:
    following = Following(stream, store)
    send(stream, range(100))
    until(lambda: requests_of(store) == 100)
    with locked(tmp_path / "risk.db"):
        for first in range(100, 1000, 100):
            send(stream, range(first, first + 100))
            until(lambda: following.read() == stream.stat().st_size)
        assert requests_of(store) == 100
    until(lambda: requests_of(store) == 1000)
    following.end()
    assert store.next_offsets("stream.jsonl") == {0: stream.stat().st_size}
    assert store.counters().consumed == 1000
    assert len(store.sampled_prompts(NOW)) == 4


@pytest.mark.parametrize("written_first", [True, False], ids=["outcome lost", "not written"])
def test_a_write_that_fails_is_repeated_with_the_same_batch_and_no_message_is_read_twice(
    written_first: bool,
    stream: Path,
    store: Store,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.INFO, "riskmon")
    monkeypatch.setattr(writer, "RETRY_S", (0.05,))
    batches: list[IntakeBatch] = []

    def write(batch: IntakeBatch, **options: Any) -> StrataNews:
        batches.append(batch)
        fails = batch.consumed and sum(one is batch for one in batches) <= 2
        if fails and not written_first:
            raise StoreUnavailable("the connection was lost")
        news = store.write_intake(batch, **options)
        if fails:
            raise StoreUnavailable("the connection was lost")
        return news

    following = Following(stream, Altered(store, write))
    send(stream, range(50))
    until(lambda: requests_of(store) == 50 and "takes batches again" in caplog.text)
    send(stream, range(50, 80))
    until(lambda: requests_of(store) == 80)
    following.end()
    assert store.counters().consumed == 80
    assert "the connection was lost; reading goes on, and the batch is tried again in 0 s" in caplog.text


def test_a_batch_that_another_reader_overtook_ends_the_following(stream: Path, store: Store) -> None:
    following = Following(stream, store)
    send(stream, range(10))
    until(lambda: requests_of(store) == 10)
    at = stream.stat().st_size
    other = IntakeBatch(
        consumed=1,
        requests={(NOW, CHAT): 1},
        next_offsets={("stream.jsonl", 0): at + 50},
        first_offsets={("stream.jsonl", 0): at},
    )
    store.write_intake(other, keep=4, now=NOW)
    send(stream, range(10, 20))
    following.join()
    assert isinstance(following.fault, BatchRefused)
    assert store.counters().consumed == 11


def test_reading_stops_where_too_much_text_waits_and_says_so_once(
    stream: Path, store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(follower, "MAX_CHARACTERS", 1500)
    monkeypatch.setattr(follower, "_FULL_WAIT_S", 0.01)
    blocked = threading.Event()

    def write(batch: IntakeBatch, **options: Any) -> StrataNews:
        if batch.consumed:
            blocked.wait(20)
        return store.write_intake(batch, **options)

    following = Following(stream, Altered(store, write))
    send(stream, range(10), length=600)
    until(lambda: following.read() == stream.stat().st_size)
    send(stream, range(10, 20), length=600)
    until(lambda: "nothing more is read until it takes them" in caplog.text)
    stood = following.read()
    send(stream, range(20, 40), length=600)
    time.sleep(0.3)
    assert following.read() == stood < stream.stat().st_size
    blocked.set()
    until(lambda: requests_of(store) == 40)
    following.end()
    assert caplog.text.count("nothing more is read until it takes them") == 1


def test_a_clean_end_writes_the_last_batch(stream: Path, store: Store) -> None:
    following = Following(stream, store)
    send(stream, range(500))
    until(lambda: following.read() == stream.stat().st_size)
    following.end()
    assert requests_of(store) == 500
    status = store.traffic_status(NOW)
    assert status is not None
    assert (status.up, status.lag_messages) == (True, 0)


@given(
    messages=st.lists(
        st.tuples(st.sampled_from([0.1, 0.25, 0.5, 0.75]), st.booleans(), st.booleans()),
        min_size=1,
        max_size=40,
    ),
    cuts=st.lists(st.integers(1, 9), min_size=40, max_size=40),
    keep=st.integers(1, 3),
)
def test_gathered_batches_are_the_batch_of_all(
    messages: list[tuple[float, bool, bool]], cuts: list[int], keep: int
) -> None:
    gathered = OpenBatch(keep)
    assert gathered.empty
    at, rest = 0, list(enumerate(messages))
    for size in cuts:
        part, rest = rest[:size], rest[size:]
        if not part:
            break
        kept = [(offset, one) for offset, one in part if not one[2]]
        gathered.add(
            IntakeBatch(
                consumed=len(part),
                requests=Counter((NOON, CODE if code else CHAT) for _, (_, code, _) in kept),
                sample=[sampled(n, p, stratum=CODE if code else CHAT) for n, (p, code, _) in kept],
                rejected={"empty": len(part) - len(kept)},
                next_offsets={("prompts", 0): at + len(part)},
                first_offsets={("prompts", 0): at},
                passed_over={("prompts", 0): [(at, at + 1)]},
            )
        )
        at += len(part)
    batch = gathered.close()
    assert gathered.empty
    assert gathered.characters == 0
    assert (batch.consumed, batch.first_offsets, batch.next_offsets) == (
        len(messages),
        {("prompts", 0): 0},
        {("prompts", 0): len(messages)},
    )
    assert sum(batch.requests.values()) + batch.rejected["empty"] == len(messages)
    for stratum, code in ((CHAT, False), (CODE, True)):
        ranked = sorted((p, n) for n, (p, is_code, bad) in enumerate(messages) if is_code == code and not bad)
        found = sorted(
            (one.priority, one.prompt.position.offset)
            for one in batch.sample
            if one.prompt.stratum == stratum and one.prompt.position is not None
        )
        assert found == ranked[: keep + 1]
