"""`riskmon calibrate judge` without its command line: labels in, table and file out."""

import hashlib
import io
import json
import stat
import subprocess
import sys
from datetime import UTC, datetime

import numpy as np
import pytest
from rich.console import Console

from riskmon.calibration.judge import calibrate_judge
from riskmon.calibration.labels import read_labels
from riskmon.config_file import parse_config
from riskmon.errors import ConfigError, InputError
from riskmon.estimate.judges import BUILDERS
from riskmon.records import Message, Verdicts
from riskmon.statistics import clopper_pearson, load_judge_error, sensitivity, upper_limit

NOW = datetime(2026, 11, 3, 14, 5, tzinfo=UTC)
BAD = {"name": "bad", "judge": {"kind": "regex", "pattern": "bad"}}
RUDE = {"name": "rude", "judge": {"kind": "regex", "pattern": "rude"}, "threshold": 0.7}


def config_of(tmp_path, *harms):
    return parse_config({"model": {"target": "none"}, "harms": harms or [BAD]}, base=tmp_path)


def label(number, response, harmful, **more):
    return {
        "id": f"a{number}", "prompt": f"SECRET {number % 7}", "response": response, "harmful": harmful
    } | more  # fmt: skip


# 18 of 20 harmful answers are caught, 2 of 100 harmless ones are flagged.
LABELS = [
    *(label(i, "SECRET bad" if i < 18 else "SECRET worse", True) for i in range(20)),
    *(label(20 + i, "not bad SECRET" if i < 2 else "fine SECRET", False) for i in range(100)),
]


@pytest.fixture
def labels(tmp_path):
    return write(tmp_path, LABELS)


def write(folder, lines):
    file = folder / "labels.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file


def calibrate(config, labels, harm=None, out=None, **more):
    screen = io.StringIO()
    code = calibrate_judge(
        config, labels, harm, out, now=NOW, console=Console(file=screen, width=120), **more
    )
    return code, screen.getvalue()


def test_counts_go_into_the_file(tmp_path, labels):
    out = tmp_path / "judge.json"
    code, _ = calibrate(config_of(tmp_path), labels, out=out)
    assert code == 0
    found = json.loads(out.read_text())
    judge = found.pop("judge")
    assert judge.startswith("regex:")
    assert found == {
        "harm": "bad",
        "threshold": 0.5,
        "true_positive": 18,
        "false_negative": 2,
        "true_negative": 98,
        "false_positive": 2,
        "unreadable_harmful": 0,
        "unreadable_harmless": 0,
        "labelled_harmful": 20,
        "labelled_harmless": 100,
        "labels_sha256": hashlib.sha256(labels.read_bytes()).hexdigest(),
        "made_at": "2026-11-03T14:05:00+00:00",
    }
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert load_judge_error(out, judge, 0.5, "bad").made_at == NOW


def test_the_table_says_what_was_found_and_what_to_do(tmp_path, labels, caplog):
    caplog.set_level("INFO")
    out = tmp_path / "judge.json"
    _, screen = calibrate(config_of(tmp_path), labels, out=out)
    low, high = clopper_pearson(18, 20)
    assert f"sensitivity   0.90000   {low:.5f}   {high:.5f}       20" in screen
    assert "specificity   0.98000" in screen
    assert f"Floor: {upper_limit(2, 100):.3g}" in screen
    assert f"\n  calibration: {out.resolve()}\n" in screen
    assert "answers to 7 of 7 prompts judged" in caplog.text
    assert "SECRET" not in screen + caplog.text


def test_brackets_in_an_id_are_no_markup(tmp_path, labels, monkeypatch):
    monkeypatch.setitem(BUILDERS, "regex", lambda config, meter: Partial(id="regex:[red]x[/red]"))
    _, screen = calibrate(config_of(tmp_path), labels, out=tmp_path / "judge.json")
    assert "regex:[red]x[/red]" in screen


def test_the_file_lands_in_the_current_folder_when_no_place_is_given(tmp_path, labels, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, screen = calibrate(config_of(tmp_path, BAD, RUDE), labels, harm="bad")
    assert code == 0
    assert (tmp_path / "judge-error-bad.json").exists()
    assert f"calibration: {tmp_path.resolve() / 'judge-error-bad.json'}" in screen


def test_lines_about_another_harm_are_passed_over(tmp_path):
    other = [{**line, "response": "rude", "harm": "rude"} for line in LABELS]
    labels = write(tmp_path, [*LABELS, *other])
    out = tmp_path / "judge.json"
    config = config_of(tmp_path, BAD, {**RUDE, "name": "insult"})
    calibrate(config, labels, harm="bad", out=out)
    assert json.loads(out.read_text())["labelled_harmless"] == 100


def test_weights_count(tmp_path):
    """Every miss stands for nine caught ones."""
    labels = write(
        tmp_path, [{**line, "weight": 9.0} if "worse" in line["response"] else line for line in LABELS]
    )
    out = tmp_path / "judge.json"
    calibrate(config_of(tmp_path), labels, out=out)
    error = load_judge_error(out, None, 0.5, "bad")
    assert sensitivity(error).value == pytest.approx(0.5)
    assert error.harmful < 10
    assert error.labelled_harmful == 20
    assert error.harmless == 100


class Partial:
    """Flags "bad"; gives no verdict on "worse"; with `share` reads every other answer that is not flagged."""

    def __init__(self, id="partial:1", share=False):
        self.id = id
        self.share = share

    def judge(self, prompt, outputs):
        scores = np.array([np.nan if "worse" in text else float("bad" in text) for text in outputs])
        if not self.share:
            return Verdicts(scores)
        audited = np.arange(len(outputs)) % 2 == 0
        return Verdicts(scores, np.where(scores == 1, 1.0, np.where(audited, 2.0, 0.0)))


def test_unreadable_verdicts_are_counted_and_bounded_both_ways(tmp_path, labels, monkeypatch):
    monkeypatch.setitem(BUILDERS, "regex", lambda config, meter: Partial())
    out = tmp_path / "judge.json"
    _, screen = calibrate(config_of(tmp_path), labels, out=out)
    error = load_judge_error(out, "partial:1", 0.5, "bad")
    assert (error.true_positive, error.false_negative, error.unreadable_harmful) == (18, 0, 2)
    assert sensitivity(error).low == clopper_pearson(18, 20).low
    assert sensitivity(error).high == 1
    assert "1.00000       20          20            2" in screen


def test_the_threshold_in_force_is_the_harms_own(tmp_path, labels, monkeypatch):
    class Graded(Partial):
        def judge(self, prompt, outputs):
            return Verdicts(0.6 * Partial.judge(self, prompt, outputs).scores)

    monkeypatch.setitem(BUILDERS, "regex", lambda config, meter: Graded())
    out = tmp_path / "judge.json"
    assert calibrate(config_of(tmp_path, {**BAD, "threshold": 0.6}), labels, out=out)[0] == 0
    assert load_judge_error(out, "partial:1", 0.6, "bad").true_positive == 18
    assert calibrate(config_of(tmp_path, {**BAD, "threshold": 0.61}), labels, out=out)[0] == 1


def test_what_a_judge_reads_stands_for_what_it_does_not(tmp_path, monkeypatch):
    monkeypatch.setitem(BUILDERS, "regex", lambda config, meter: Partial(share=True))
    lines = [{**line, "prompt": f"SECRET {line['harmful']}"} for line in LABELS]
    out = tmp_path / "judge.json"
    calibrate(config_of(tmp_path), write(tmp_path, lines), out=out)
    error = load_judge_error(out, "partial:1", 0.5, "bad")
    assert error.labelled_harmless == 2 + 49
    assert error.false_positive / error.harmless == pytest.approx(0.02)


def test_too_few_answers_read_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setitem(BUILDERS, "regex", lambda config, meter: Partial(share=True))
    lines = [{**line, "prompt": "SECRET"} for line in LABELS[:34]]
    with pytest.raises(
        InputError, match="was read in part by the judge partial:1, which left 19 harmful and 8 "
    ):
        calibrate(config_of(tmp_path), write(tmp_path, lines), out=tmp_path / "judge.json")


def test_a_judge_no_better_than_chance_writes_nothing(tmp_path):
    lines = [{**line, "response": "bad" if i % 2 else "fine"} for i, line in enumerate(LABELS)]
    out = tmp_path / "judge.json"
    code, screen = calibrate(config_of(tmp_path), write(tmp_path, lines), out=out)
    assert code == 1
    assert "no better than chance" in screen
    assert not out.exists()


@pytest.mark.parametrize(("harmful", "harmless"), [(9, 100), (20, 9), (0, 100), (0, 0)])
def test_both_classes_are_needed(tmp_path, harmful, harmless):
    labels = write(tmp_path, [*LABELS[:harmful], *LABELS[20 : 20 + harmless]])
    with pytest.raises(InputError) as caught:
        calibrate(config_of(tmp_path), labels)
    assert str(caught.value) == (
        f"the labelled set {labels} holds {harmful} harmful and {harmless} harmless answers; "
        "at least 10 of each are needed"
    )


def test_which_harm(tmp_path, labels):
    config = config_of(tmp_path, BAD, RUDE)
    with pytest.raises(ConfigError, match="has the harms bad, rude; say which with --harm"):
        calibrate(config, labels)
    with pytest.raises(ConfigError, match="has no harm 'sad'; it has bad, rude"):
        calibrate(config, labels, harm="sad")


def test_places_that_cannot_be_used_are_found_before_any_work(tmp_path, labels):
    with pytest.raises(InputError, match="its folder does not exist"):
        calibrate(config_of(tmp_path), labels, out=tmp_path / "none" / "judge.json")
    with pytest.raises(InputError, match=r"cannot read the labelled set .*No such file"):
        calibrate(config_of(tmp_path), tmp_path / "none.jsonl")


def test_labels_are_read_in_order_and_their_text_is_masked(tmp_path):
    file = tmp_path / "labels.jsonl"
    file.write_bytes(
        b'\xef\xbb\xbf{"id": 1, "prompt": "SECRET", "response": "", "harmful": false}\r\n\n'
        b'{"id": "b", "messages": [{"role": "user", "content": "SECRET"}], "response": "SECRET\\u0000", '
        b'"harmful": true, "weight": 2.5, "harm": "bad"}'
    )
    (one, two), digest = read_labels(file, "bad")
    assert (one.id, one.content, one.response, one.harmful, one.weight) == ("1", "SECRET", "", False, 1.0)
    assert (two.content, two.response, two.harmful, two.weight) == (
        (Message("user", "SECRET"),), "SECRET\ufffd", True, 2.5
    )  # fmt: skip
    assert digest == hashlib.sha256(file.read_bytes()).hexdigest()
    assert "SECRET" not in repr([one, two])


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (b'{"id": "SECRET', "not JSON in UTF-8 (column 15)"),
        (b'{"id": "SECRET\xff"}', "not JSON in UTF-8"),
        (b'["SECRET"]', "not a JSON object"),
        ({"id": None}, "the id must be text of 1 to 256 characters"),
        ({"id": ["SECRET"]}, "the id must be text"),
        ({"id": "first"}, "the id 'first' was given before, on line 1"),
        ({"prompt": ""}, "neither 'prompt'"),
        ({"messages": ["SECRET"]}, "messages must be a list"),
        ({"response": None}, "response must be text"),
        ({"response": ["SECRET"]}, "response must be text"),
        ({"harmful": "SECRET"}, "harmful must be true or false"),
        ({"harmful": 1}, "harmful must be true or false"),
        ({"harm": ["SECRET"]}, "harm must be the name"),
        ({"weight": 0}, "weight must be the inverse"),
        ({"weight": -1.5}, "weight must be the inverse"),
        ({"weight": 1e300}, "weight must be the inverse"),
        ({"weight": True}, "weight must be the inverse"),
        ({"weight": "SECRET"}, "weight must be the inverse"),
    ],
)
def test_faults_name_the_line_and_hide_the_text(tmp_path, change, fault):
    good = {"id": "first", "prompt": "SECRET", "response": "SECRET", "harmful": True}
    line = change if isinstance(change, bytes) else json.dumps({**good, "id": "second"} | change).encode()
    file = tmp_path / "labels.jsonl"
    file.write_bytes(json.dumps(good).encode() + b"\n\n" + line + b"\n")
    with pytest.raises(InputError) as caught:
        read_labels(file, "bad")
    assert str(caught.value).startswith(f"{file}, line 3: {fault}")
    assert "SECRET" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None or caught.value.__suppress_context__


def test_importing_it_loads_no_judge():
    code = "import sys, riskmon.calibration.judge; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
