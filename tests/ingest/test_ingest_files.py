"""Backfill from files: packed, renamed, grown, in parts of time, and damaged."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import zstandard
from support.daemon import run, write_config

from riskmon.config import TrafficConfig
from riskmon.errors import InputError
from riskmon.ingest import Span, ingest_files
from riskmon.ingest.counting import Outcome
from riskmon.store import Store, open_store

FIRST = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
PACKED: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": zstandard.ZstdCompressor().compress,
}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(f"sqlite:///{tmp_path}/risk.db") as opened:
        yield opened


def lines(numbers: Iterable[int]) -> bytes:
    """One request each, two an hour; every fiftieth is rejected."""
    made = []
    for number in numbers:
        at = FIRST + number * HOUR / 2
        body = {"id": f"r{number}", "prompt": f"text {number}", "timestamp": at.isoformat()}
        made.append("{" if number % 50 == 49 else json.dumps(body))
    return "".join(line + "\n" for line in made).encode()


def ingest(store: Store, *paths: Path, span: Span = Span(), **options: object) -> Outcome:  # noqa: B008
    config = TrafficConfig(jsonl=paths[0].with_name("live.jsonl"), sample_per_window=2, **options)  # type: ignore[arg-type]
    return ingest_files(config, store, paths, span)


def requests_of(store: Store) -> int:
    return sum(window.requests for window in store.volume(FIRST - 10 * HOUR))


@pytest.mark.parametrize("suffix", PACKED)
def test_a_file_is_counted_once_however_it_is_packed(suffix: str, tmp_path: Path, store: Store) -> None:
    whole = lines(range(300))
    path = tmp_path / f"app.log{suffix}"
    path.write_bytes(PACKED[suffix](whole))
    found = ingest(store, path)
    assert (found.counted, found.rejected, found.known) == (300, {"not_json": 6}, 0)
    assert {window.requests for window in store.volume(FIRST)} <= {1, 2}
    assert requests_of(store) == 294
    again = ingest(store, path)
    assert (again.counted, again.known) == (0, len(whole))
    assert store.counters().consumed == 300
    assert len(store.sampled_prompts(FIRST)) == 294


def test_a_log_that_grew_and_was_rotated_and_packed_is_gone_on_with(tmp_path: Path, store: Store) -> None:
    path = tmp_path / "app.log"
    path.write_bytes(lines(range(3)))
    assert ingest(store, path).counted == 3
    path.write_bytes(lines(range(120)))
    assert ingest(store, path).counted == 117
    rotated = tmp_path / "app.log.1.gz"
    rotated.write_bytes(gzip.compress(lines(range(200))))
    path.write_bytes(lines(range(200, 260)))
    assert ingest(store, rotated, path).counted == 80 + 60
    assert store.counters().consumed == 260
    assert requests_of(store) == 255


def test_files_that_begin_alike_and_go_on_otherwise_are_two(tmp_path: Path, store: Store) -> None:
    one, other = tmp_path / "one.log", tmp_path / "other.log"
    one.write_bytes(lines([0, 1]))
    other.write_bytes(lines([0, 2]))
    assert ingest(store, one, other).counted == 4


def test_parts_of_a_file_by_time_add_up_to_the_whole(tmp_path: Path, store: Store) -> None:
    path = tmp_path / "app.log"
    order = [*range(40, 80), *range(40), *range(80, 120)]
    path.write_bytes(lines(order))
    middle = ingest(store, path, span=Span(FIRST + 10 * HOUR, FIRST + 30 * HOUR))
    rejected = sum(number % 50 == 49 for number in order)
    assert (middle.counted, middle.outside) == (40 + 1, 80 - 1)  # number 99 is rejected, and has no time
    assert {window.start for window in store.volume(FIRST)} == {FIRST + n * HOUR for n in range(10, 30)}
    rest = ingest(store, path)
    assert (rest.counted, rest.outside) == (79, 0)
    assert store.counters().consumed == 120
    assert requests_of(store) == 120 - rejected
    assert len(store.counted(store_topic(store, path))[0]) == 1


def store_topic(store: Store, path: Path) -> str:
    from riskmon.traffic.log_file import first_lines

    return store.file_topic(path.name, first_lines(path, 100), FIRST)


def test_the_last_line_counts_if_it_is_whole_and_else_when_it_is(tmp_path: Path, store: Store) -> None:
    path = tmp_path / "app.log"
    whole = lines(range(3))
    path.write_bytes(whole[:-20])
    cut = ingest(store, path)
    assert (cut.counted, cut.rejected, cut.cut_off) == (2, {}, ["app.log"])
    path.write_bytes(whole[:-1])
    assert (ingest(store, path).counted, store.counters().consumed) == (1, 3)
    path.write_bytes(lines(range(4)))
    assert (ingest(store, path).counted, store.counters().rejected) == (1, {})
    (tmp_path / "empty.log").touch()
    assert ingest(store, tmp_path / "empty.log").counted == 0


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".xz", ".zst"])
def test_a_damaged_file_is_the_users_to_mend(suffix: str, tmp_path: Path, store: Store) -> None:
    path = tmp_path / f"app.log{suffix}"
    packed = PACKED[suffix](lines(range(3000)))
    path.write_bytes(packed[: len(packed) // 2])
    if suffix == ".zst":
        path.write_bytes(packed[:12] + b"\xff" * 50 + packed[62:])
    with pytest.raises(InputError, match=r"app\.log.* is damaged or cut off"):
        ingest(store, path)
    path.write_bytes(packed)
    ingest(store, path)
    assert store.counters().consumed == 3000


def test_a_zstd_file_that_was_cut_off_ends_like_one_that_is_being_written(
    tmp_path: Path, store: Store
) -> None:
    path = tmp_path / "app.log.zst"
    packed = PACKED[".zst"](lines(range(9000)))
    path.write_bytes(packed[: len(packed) // 2])
    cut = ingest(store, path)
    assert (0 < cut.counted < 9000, cut.cut_off) == (True, ["app.log.zst"])
    path.write_bytes(packed)
    assert cut.counted + ingest(store, path).counted == 9000


def test_what_cannot_be_a_backfill_is_refused(tmp_path: Path, store: Store) -> None:
    with pytest.raises(InputError, match=r"there is no file .*absent\.log"):
        ingest(store, tmp_path / "absent.log")
    (tmp_path / "live.jsonl").write_bytes(lines(range(3)))
    with pytest.raises(InputError, match="which the daemon reads"):
        ingest(store, tmp_path / "live.jsonl")


def test_the_command_says_what_it_counted(tmp_path: Path) -> None:
    config = write_config(tmp_path, tmp_path, traffic={"jsonl": "live.jsonl"})
    (tmp_path / "app.log.gz").write_bytes(gzip.compress(lines(range(60))))
    done = run("ingest", "-c", str(config), "app.log.gz", "--to", "2026-03-01T20:00:00Z", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (
        0,
        "counted 41 messages: 40 requests, 1 rejected (1 not_json)\n"
        "19 messages are of another time, and were left out\n",
    ), done.stderr
    wrong = run("ingest", "-c", str(config), cwd=tmp_path)
    assert (wrong.returncode, wrong.stderr) == (
        2,
        "riskmon: say from when the topic is to be counted, as in --from 2026-11-01, or name files\n",
    )
