"""A file as a source: resuming, growing, being cut and replaced."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from pathlib import Path

import pytest

from riskmon.config import TrafficConfig
from riskmon.errors import InputError, TrafficUnavailable
from riskmon.records import Position
from riskmon.traffic import open_source
from riskmon.traffic.jsonl import JsonlSource
from riskmon.traffic.source import RawBatch, RawMessage

NOW = datetime(2026, 11, 3, 12, 0, tzinfo=UTC)


@pytest.fixture
def lines_file(tmp_path: Path) -> Path:
    path = tmp_path / "prompts.jsonl"
    path.write_bytes(b"first\nsecond line\n\nthird\r\n")
    return path


def opened(path: Path, offset: int | None = None, max_line_bytes: int = 100) -> JsonlSource:
    source = JsonlSource(path, max_line_bytes)
    source.start({} if offset is None else {0: offset})
    return source


def all_of(batches: list[RawBatch]) -> list[RawMessage]:
    return [message for batch in batches for message in batch]


def values(batches: list[RawBatch]) -> list[bytes | None]:
    return [message.value for message in all_of(batches)]


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def test_positions_are_byte_offsets(lines_file: Path) -> None:
    source = opened(lines_file)
    messages = all_of(source.poll(10, 0))
    assert [(m.position, m.value, m.timestamp) for m in messages] == [
        (Position("prompts.jsonl", 0, 0), b"first", None),
        (Position("prompts.jsonl", 0, 6), b"second line", None),
        (Position("prompts.jsonl", 0, 19), b"third", None),
    ]
    assert source.next_offsets() == {0: 26}


def test_resumes_after_the_last_line_taken(lines_file: Path) -> None:
    before = opened(lines_file)
    assert values(before.poll(1, 0)) == [b"first"]
    after = opened(lines_file, before.next_offsets()[0])
    assert values(after.poll(10, 0)) == [b"second line", b"third"]


def test_an_unfinished_line_waits_for_its_end(lines_file: Path) -> None:
    append(lines_file, b"unfin")
    source = opened(lines_file)
    assert values(source.poll(10, 0))[-1] == b"third"
    assert source.poll(10, 0.1) == []
    assert source.next_offsets() == {0: 26}
    append(lines_file, b"ished\n")
    assert values(source.poll(10, 0)) == [b"unfinished"]


def test_the_last_line_of_a_marked_file_needs_no_newline(lines_file: Path) -> None:
    append(lines_file, b"last")
    source = opened(lines_file, 26)
    assert not source.caught_up()
    source.mark_end()
    assert not source.caught_up()
    assert values(source.poll(10, 5)) == [b"last"]
    assert source.caught_up()
    assert source.poll(10, 60) == []

    append(lines_file, b"\nnext\n")
    assert values(opened(lines_file, source.next_offsets()[0]).poll(10, 0)) == [b"next"]


def test_long_lines_are_cut_for_the_decoder_to_reject(lines_file: Path) -> None:
    lines_file.write_bytes(b"x" * 3_000_000 + b"\nexactly10!\nnext\n")
    source = opened(lines_file, max_line_bytes=10)
    huge, fits, following = all_of(source.poll(10, 0))
    assert huge.value is not None
    assert 10 < len(huge.value) <= 12
    assert (fits.value, fits.position.offset) == (b"exactly10!", 3_000_001)
    assert following.value == b"next"


def test_an_unfinished_long_line_waits_too(lines_file: Path) -> None:
    lines_file.write_bytes(b"x" * 50)
    source = opened(lines_file, max_line_bytes=10)
    assert source.poll(10, 0) == []
    append(lines_file, b"x\nnext\n")
    assert [m.position.offset for m in all_of(source.poll(10, 0))] == [0, 52]


def test_garbage_is_handed_out_as_it_is(lines_file: Path) -> None:
    lines_file.write_bytes(b"\xff\xfe\0\n{\n")
    assert values(opened(lines_file).poll(10, 0)) == [b"\xff\xfe\0", b"{"]


@pytest.mark.parametrize("offset", [27, 9, 1000])
def test_an_offset_where_no_line_begins_means_another_file(
    lines_file: Path, offset: int, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "riskmon"):
        source = opened(lines_file, offset)
    assert f"no line of prompts.jsonl begins at byte {offset} of 26" in caplog.text
    assert values(source.poll(1, 0)) == [b"first"]


def test_a_cut_file_is_read_from_its_start(lines_file: Path) -> None:
    source = opened(lines_file)
    source.poll(10, 0)
    lines_file.write_bytes(b"anew\n")
    assert source.poll(10, 0) == []
    assert values(source.poll(10, 0)) == [b"anew"]
    assert source.next_offsets() == {0: 5}


def test_a_rotated_file_is_finished_before_its_successor(lines_file: Path) -> None:
    source = opened(lines_file)
    source.poll(2, 0)
    lines_file.rename(lines_file.with_suffix(".1"))
    assert values(source.poll(10, 0)) == [b"third"]
    assert source.poll(10, 0) == []
    assert not source.status(NOW).up
    lines_file.write_bytes(b"successor, which is longer than the file before it\n")
    assert source.poll(10, 0) == []
    assert values(source.poll(10, 0)) == [b"successor, which is longer than the file before it"]


def test_status(lines_file: Path) -> None:
    source = opened(lines_file)
    assert (source.status(NOW).up, source.status(NOW).lag_messages) == (True, None)
    source.poll(10, 0)
    assert (source.status(NOW).lag_messages, source.status(NOW).at) == (0, NOW)
    lines_file.unlink()
    status = source.status(NOW)
    assert (status.up, status.lag_messages) == (False, None)
    assert "prompts.jsonl: No such file" in status.detail
    with pytest.raises(TrafficUnavailable, match="No such file"):
        source.mark_end()


def test_a_missing_file_is_the_users_to_fix(tmp_path: Path) -> None:
    source = open_source(TrafficConfig(jsonl=tmp_path / "absent.jsonl"))
    with pytest.raises(InputError, match=r"there is no file .*absent\.jsonl; mend traffic\.jsonl"):
        source.start({})
