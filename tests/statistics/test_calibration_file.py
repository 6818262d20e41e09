"""The calibration file: written whole, read back, and refused where it belongs to something else."""

import json
import stat
from dataclasses import replace

import pytest
from support.judge_errors import judge_error

from riskmon.errors import ConfigError, InputError
from riskmon.statistics import load_judge_error, write_judge_error


@pytest.fixture
def error():
    return judge_error(
        true_positive=41.5, false_negative=3, true_negative=800, false_positive=2, unreadable_harmless=0.25
    )


@pytest.fixture
def file(error, tmp_path):
    path = tmp_path / "judge.json"
    write_judge_error(path, error)
    return path


def load(path):
    return load_judge_error(path, "regex:123", 0.5, "bad")


def test_round_trip(file, error):
    assert load(file) == error
    assert load_judge_error(file, None, 0.5, "bad") == error


def test_only_the_owner_reads_it_and_nothing_else_is_left(file, tmp_path, error):
    file.chmod(0o644)
    write_judge_error(file, replace(error, threshold=0.75))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert json.loads(file.read_text())["threshold"] == 0.75
    assert list(tmp_path.iterdir()) == [file]


def test_a_place_that_cannot_be_written(tmp_path, error):
    with pytest.raises(InputError, match=r"cannot write .*No such file or directory"):
        write_judge_error(tmp_path / "missing" / "judge.json", error)
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match=r"cannot write .*folder"):
        write_judge_error(tmp_path / "folder", error)
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_a_missing_file(tmp_path):
    with pytest.raises(
        ConfigError, match=r"harm 'bad': cannot read .*; run 'riskmon calibrate judge' to make it"
    ):
        load(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("judge", "threshold", "harm", "fault"),
    [
        ("regex:999", 0.5, "bad", "made with judge 'regex:123', but judge 'regex:999' is in use"),
        ("regex:123", 0.75, "bad", "made with threshold 0.5, but threshold 0.75 is in use"),
        (None, 0.75, "bad", "made with threshold 0.5, but threshold 0.75 is in use"),
        ("regex:123", 0.5, "insult", "made with harm 'bad', but harm 'insult' is in use"),
    ],
)
def test_a_file_of_something_else_is_refused(file, judge, threshold, harm, fault):
    with pytest.raises(ConfigError, match=f"{fault}; run 'riskmon calibrate judge' again"):
        load_judge_error(file, judge, threshold, harm)


def test_a_judge_no_better_than_chance_is_refused(tmp_path):
    path = tmp_path / "judge.json"
    write_judge_error(path, judge_error(true_positive=5, false_negative=5, true_negative=5, false_positive=5))
    with pytest.raises(ConfigError, match="no better than chance"):
        load(path)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"judge": 7}, "judge must be text"),
        ({"true_positive": -1}, "true_positive must be a number, finite and not negative"),
        ({"true_positive": float("nan")}, "true_positive must be a number"),
        ({"true_positive": float("inf")}, "true_positive must be a number"),
        ({"true_positive": 10**400}, "true_positive must be a number"),
        ({"false_positive": True}, "false_positive must be a number"),
        ({"false_positive": "2"}, "false_positive must be a number"),
        ({"labelled_harmful": 4.5}, "labelled_harmful must be a whole number"),
        ({"made_at": "yesterday"}, "made_at must be a time"),
        ({"made_at": "2026-11-03T14:05:00"}, "made_at must carry its offset"),
        ({"extra": 1}, "unknown member 'extra'"),
        ({"true_positive": 0, "false_negative": 0}, "there must be answers of both classes"),
    ],
)
def test_a_malformed_file_is_refused(file, change, fault):
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(ConfigError, match=f"is not a calibration of a judge: {fault}.*again"):
        load(file)


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"", "not JSON"),
        (b'{"harm": "bad"', "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[1]", "not a JSON object"),
        (b"{}", "false_negative, false_positive, harm, "),
        (b"\xff\xfe", "not UTF-8 text"),
    ],
)
def test_garbage_is_refused(file, data, fault):
    file.write_bytes(data)
    with pytest.raises(ConfigError, match=fault):
        load(file)
