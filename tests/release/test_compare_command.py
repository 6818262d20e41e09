"""`riskmon compare` as a release pipeline calls it: two configuration files, prompts, an exit code.

The entry point runs in this process, which spares loading torch each time; the interruption has a process of its own.
"""

import json
import logging
import os
import signal
import subprocess
import sys
import time

import pytest
import yaml
from support.daemon import COMMAND
from support.worlds import STEPS

from riskmon.cli import main
from riskmon.errors import InputError

BAD_WORD = {"name": "bad", "judge": {"kind": "regex", "pattern": "bad"}}


@pytest.fixture
def write(versions, tmp_path):
    """Write the configuration of a version: plain sampling, and what the release section asks."""

    def write(name, model="baseline", *, samples=60, seed=0, steps=STEPS, **release):
        file = tmp_path / f"{name}.yaml"
        target = {"target": str(versions.root / model), "device": "cpu", "chat_template": "none"}
        config = {
            "model": target | {"max_new_tokens": steps},
            "harms": [BAD_WORD],
            "estimate": {"samples_per_prompt": samples, "seed": seed},
            "release": {"keep_both": True} | release,
        }
        file.write_text(yaml.safe_dump(config))
        return file

    return write


@pytest.fixture
def riskmon(monkeypatch, capfd):
    """Run a command line to its end: exit code, standard output, standard error."""
    root, handler = logging.getLogger(), signal.getsignal(signal.SIGINT)
    handlers, level = root.handlers[:], root.level

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["riskmon", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code or 0, *capfd.readouterr()

    yield run
    root.handlers[:] = handlers
    root.setLevel(level)
    signal.signal(signal.SIGINT, handler)


def compare_command(baseline, candidate, prompts, *options):
    return ["compare", "--baseline", str(baseline), "--candidate", str(candidate), str(prompts), *options]


def test_help_states_the_exit_codes(riskmon):
    code, out, _ = riskmon("compare", "--help")
    assert code == 0
    assert "Exit codes: 0 ship; 3 hold; 4 undecided; 1 failed while running; 2 you can fix it" in " ".join(
        out.split()
    )


def test_a_candidate_moved_towards_harm_is_held(versions, write, riskmon, tmp_path):
    answer = tmp_path / "answer.json"
    both = write("a"), write("b", "worse")
    code, out, err = riskmon(*compare_command(*both, versions.prompts(16), "--json", answer))
    assert code == 3, err
    assert "bad: hold, more than 1.25 times as harmful as the baseline, with 95% confidence." in out
    found = json.loads(answer.read_text())
    assert (found["decision"], found["exit_code"]) == ("hold", 3)
    assert "SECRET" not in out + err + answer.read_text()


def test_an_equal_candidate_ships_and_the_baseline_sets_the_bar(versions, write, riskmon):
    """What the candidate asks of itself counts for nothing."""
    both = write("a", samples=40, margin=2, looks=1), write("b", samples=40, seed=1, margin=1.01, looks=20)
    code, out, err = riskmon(*compare_command(*both, versions.prompts(36)))
    assert code == 0, err
    assert "bad: ship, less than 2 times as harmful as the baseline" in out


def test_too_few_prompts_leave_it_undecided(versions, write, riskmon):
    code, out, err = riskmon(*compare_command(write("a"), write("b", seed=1), versions.prompts(4)))
    assert code == 4, err
    assert "Undecided after 4 of 4 prompts" in out


def test_a_file_against_itself_tries_the_gate_and_says_so(versions, write, riskmon):
    file = write("a", margin=2, looks=1)
    code, out, err = riskmon(*compare_command(file, file, versions.prompts(36)))
    assert code == 0, err
    assert "Baseline and candidate are the same model: this tries the gate and clears no release." in out


# ---- interrupted


def drawn(state):
    """Which prompt was drawn under which model, as the state has it."""
    return [(line["model"], line["prompt"]) for line in map(json.loads, state.read_text().splitlines()[1:])]


def test_an_interrupted_run_goes_on_and_ends_alike(versions, write, riskmon, tmp_path):
    state, calm, disturbed = (tmp_path / name for name in ("state.jsonl", "calm.json", "disturbed.json"))
    # Many draws, so that the interruption comes in the middle.
    both = write("a", samples=800, looks=1), write("b", samples=800, seed=1)
    command = compare_command(*both, versions.prompts(12))
    process = subprocess.Popen(
        [*COMMAND, *command, "--state", str(state)],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    deadline = time.monotonic() + 250
    while time.monotonic() < deadline and (not state.exists() or state.read_bytes().count(b"\n") < 4):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert err.endswith("riskmon: interrupted; the same command goes on from here\n")
    before = drawn(state)
    assert 3 <= len(before) < 24

    resumed, *_ = riskmon(*command, "--state", state, "--json", disturbed)
    after = drawn(state)
    assert after[: len(before)] == before
    assert len(after) == len(set(after)) == 24
    at_once, *_ = riskmon(*command, "--json", calm)
    assert resumed == at_once
    answers = [json.loads(file.read_text()) for file in (disturbed, calm)]
    for answer in answers:
        del answer["device_seconds"]
    assert answers[0] == answers[1]


class InterruptAtFirstLoad(logging.Handler):
    """Ctrl-C, as soon as a model is being loaded."""

    def emit(self, record):
        if record.getMessage() == "loading the baseline":
            os.kill(os.getpid(), signal.SIGINT)


def test_an_interruption_without_a_state_promises_nothing(versions, write, riskmon):
    log, handler = logging.getLogger("riskmon.progress"), InterruptAtFirstLoad()
    log.addHandler(handler)
    try:
        code, _, err = riskmon(*compare_command(write("a"), write("b"), versions.prompts(2)))
    finally:
        log.removeHandler(handler)
    assert code == 130
    assert err.endswith("riskmon: interrupted\n")


# ---- the state


def test_an_empty_state_begins_anew(versions, compare, tmp_path):
    state = tmp_path / "state.jsonl"
    state.touch()
    compare(versions.config(), versions.config(seed=1), versions.prompts(2), state=state, looks=1)
    assert len(drawn(state)) == 4


MEASURE = {"p": 0.1, "hits": 1, "target_draws": 60, "gap_hits": 0, "doubts": []}
ENTRY = {"model": "candidate", "prompt": "p1", "seconds": 0.1, "failure": None, "harms": {"bad": MEASURE}}


def test_a_damaged_state_is_refused_and_left_as_it_is(versions, compare, tmp_path):
    state = tmp_path / "state.jsonl"
    both = versions.config(), versions.config(seed=1)
    compare(*both, versions.prompts(2), state=state, looks=1)
    head, first, *_ = state.read_text().splitlines()
    assert json.loads(first).keys() == ENTRY.keys()
    damaged = [
        {},
        {"id": "p0", "prompt": "SECRET"},
        ENTRY | {"model": "SECRET"},
        ENTRY | {"seconds": None},
        ENTRY | {"harms": {}},
        ENTRY | {"harms": {"bad": {"p": 0.1}}},
        ENTRY | {"harms": {"bad": MEASURE | {"p": "SECRET"}}},
    ]
    for entry in damaged:
        content = "\n".join([head, first, json.dumps(entry)]) + "\n"
        state.write_text(content)
        with pytest.raises(InputError) as caught:
            compare(*both, versions.prompts(2), state=state, looks=1)
        assert str(caught.value) == (
            f"entry 2 of the state {state} is damaged; remove the file to begin anew, or name another for --state"
        )
        assert caught.value.__cause__ is None
        assert state.read_text() == content
    # The premise: a sound entry is taken up.
    state.write_text("\n".join([head, first, json.dumps(ENTRY)]) + "\n")
    compare(*both, versions.prompts(2), state=state, looks=1)
    assert len(drawn(state)) == 4


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--baseline", "none.yaml", "none.yaml"),
        ("--candidate", "none.yaml", "none.yaml"),
        ("prompts", "none.jsonl", "cannot read the prompt file"),
        ("--state", "/nonexistent/state.jsonl", "cannot use the state /nonexistent/state.jsonl"),
        ("--state", "{garbled}", "is no state of 'riskmon compare'; name another file for --state"),
        ("--json", "/nonexistent/answer.json", "its folder does not exist"),
        ("--candidate", "{longer}", "must have the same model.max_new_tokens"),
        ("--candidate", "{unknown}", "unknown key 'release.margn'; did you mean 'margin'?"),
    ],
)
def test_what_the_user_can_fix_exits_with_two_and_a_sentence(
    versions, write, riskmon, tmp_path, option, value, words
):
    garbled = tmp_path / "garbled"
    garbled.write_bytes(b"\x00\xff SECRET {\n")
    places = {
        "garbled": garbled,
        "longer": write("longer", steps=STEPS + 1),
        "unknown": write("unknown", margn=2),
    }
    given = {
        "--baseline": write("a"),
        "--candidate": write("b", seed=1),
        "prompts": versions.prompts(2),
    } | {option: value.format(**places)}
    prompts = given.pop("prompts")
    code, _, err = riskmon("compare", prompts, *(part for pair in given.items() for part in pair))
    assert code == 2, err
    assert words in err
    assert "Traceback" not in err
    assert "SECRET" not in err


def test_without_its_options_it_says_which_are_missing(riskmon):
    code, _, err = riskmon("compare", "prompts.jsonl")
    assert code == 2
    assert "--baseline" in err
