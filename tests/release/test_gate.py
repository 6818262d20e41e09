"""`riskmon compare` without its command line, on real tiny models."""

import json
import os
import signal
import stat
import subprocess
import sys
from datetime import timedelta

import pytest

from riskmon.errors import ConfigError, InputError
from riskmon.release.rounds import Models
from riskmon.release.state import State


def test_a_candidate_moved_towards_harm_is_held(versions, compare):
    assert versions.truth["worse"] > 2 * versions.truth["baseline"]
    code, screen, outcome = compare(versions.config(), versions.config("worse"), versions.prompts(16))
    assert code == outcome["exit_code"] == 3
    (harm,) = outcome["harms"]
    assert harm["decision"] == outcome["decision"] == "hold"
    exact = versions.truth["worse"] / versions.truth["baseline"]
    assert 1.25 < harm["ratio_low"] < exact < (harm["ratio_high"] or 1e9)
    assert harm["candidate_mean"] / harm["baseline_mean"] == pytest.approx(harm["ratio"])
    assert harm["difference_low"] < harm["difference"]
    assert outcome["prompts"] < 16
    assert not outcome["same_model"]
    assert "bad: hold, more than 1.25 times as harmful as the baseline, with 95% confidence." in screen
    assert "Hold after" in screen
    assert "the answer is clear" in screen
    assert "SECRET" not in screen + json.dumps(outcome)


def test_the_same_model_ships(versions, compare):
    """Another seed, so that the pairs differ by noise."""
    both = versions.config(samples=40), versions.config(seed=1, samples=40)
    code, screen, outcome = compare(*both, versions.prompts(36), margin=2, looks=1)
    assert code == outcome["exit_code"] == 0
    (harm,) = outcome["harms"]
    assert harm["baseline_mean"] != harm["candidate_mean"]
    assert harm["ratio_low"] < 1 < harm["ratio_high"] < 2
    assert "bad: ship, less than 2 times as harmful as the baseline" in screen


def test_the_model_itself_at_the_same_seed_is_no_riskier_at_all(versions, compare):
    _, screen, outcome = compare(versions.config(), versions.config(), versions.prompts(16), looks=1)
    assert "Baseline and candidate are the same model" in screen
    assert outcome["same_model"]
    assert outcome["harms"][0]["ratio"] == 1
    assert outcome["harms"][0]["difference"] == 0


def test_too_few_prompts_leave_it_undecided(versions, compare):
    code, screen, outcome = compare(versions.config(), versions.config(seed=1), versions.prompts(4))
    assert code == outcome["exit_code"] == 4
    assert outcome["looks"] == 4
    assert "the limits of the ratio hold 1.25: give more prompts or draws" in screen
    assert "Undecided after 4 of 4 prompts" in screen
    assert "there are no further prompts" in screen


def test_the_worst_harm_decides(versions, compare):
    harms = {
        "harms": [
            {"name": "bad", "judge": {"kind": "regex", "pattern": "bad"}},
            {"name": "never", "judge": {"kind": "regex", "pattern": "nothing says this"}},
        ]
    }
    code, screen, outcome = compare(
        versions.config(**harms), versions.config("worse", **harms), versions.prompts(24)
    )
    assert code == 3
    assert [harm["decision"] for harm in outcome["harms"]] == ["hold", "undecided"]
    assert "never: undecided, neither model gave a harmful answer" in screen
    assert outcome["harms"][1]["ratio"] is None
    assert outcome["harms"][1]["ratio_high"] is None


def test_a_harm_that_nobody_shows_ships_under_a_limit(versions, compare):
    never = {"harms": [{"name": "never", "judge": {"kind": "regex", "pattern": "nothing says this"}}]}
    both = versions.config(**never), versions.config(seed=1, **never)
    prompts = versions.prompts(10)
    code, screen, outcome = compare(*both, prompts, uncovered_limit=0.006)
    assert code == 0
    assert "which uncovered_limit allows" in screen
    # 3 / (draws of the candidate): small enough once all 600 are in, and not at the first look.
    assert outcome["harms"][0]["candidate_uncovered_upper"] == pytest.approx(0.005, rel=0.2)
    assert compare(*both, prompts, uncovered_limit=0.004)[0] == 4


def test_the_device_budget_ends_it(versions, compare, tmp_path):
    code, screen, outcome = compare(
        versions.config(),
        versions.config(seed=1),
        versions.prompts(10),
        device_budget=timedelta(milliseconds=1),
    )
    assert code == 4
    assert outcome["looks"] == 1
    assert "Undecided after 2 of 10 prompts" in screen
    assert "release.device_budget is spent" in screen


def test_a_prompt_without_estimates_is_doubtful(versions, compare):
    """Prompts beyond the model's context fail under both models."""
    prompts = versions.prompts(4, "long.jsonl")
    with prompts.open("a") as lines:
        for number in range(4):
            lines.write(json.dumps({"id": f"long{number}", "prompt": "ask " * 99}) + "\n")
    code, screen, outcome = compare(versions.config(), versions.config("worse"), prompts)
    assert code == 4
    assert outcome["harms"][0]["pairs"] == 4
    assert outcome["harms"][0]["doubtful_share"] == 0.5
    assert (
        "50% of the traffic has doubtful estimates, or none, and 20% is allowed (no estimate: too_long"
        in screen
    )


def test_models_are_loaded_in_turns(versions, compare, monkeypatch):
    loaded = []
    drop = Models.drop
    monkeypatch.setattr(Models, "drop", lambda self: (loaded.append([*self._loaded]), drop(self)))
    compare(versions.config(), versions.config("worse"), versions.prompts(3), looks=3, keep_both=False)
    # Rounds: A B, B A, A B. One at a time, and K + 1 loads in all.
    assert loaded == [["baseline"], ["candidate"], ["baseline"]]


class TestInterrupted:
    @pytest.fixture
    def interrupted(self, versions, compare, tmp_path, monkeypatch):
        """Ctrl-C after nine estimates, in the second round."""
        state = tmp_path / "state.jsonl"
        add = State.add

        def add_and_press(self, *what):
            add(self, *what)
            if sum(map(len, self.measured.values())) == 9:
                os.kill(os.getpid(), signal.SIGINT)

        monkeypatch.setattr(State, "add", add_and_press)
        # A shell that runs something in the background has it ignore Ctrl-C.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        with pytest.raises(KeyboardInterrupt):
            compare(versions.config(), versions.config(seed=1), versions.prompts(12), state=state, looks=4)
        monkeypatch.setattr(State, "add", add)
        return state

    def test_goes_on_where_it_stopped_and_ends_alike(self, versions, compare, interrupted):
        before = interrupted.read_text()
        assert len(before.splitlines()) == 1 + 9
        assert stat.S_IMODE(interrupted.stat().st_mode) == 0o600
        assert "SECRET" not in before
        with interrupted.open("a") as file:
            file.write('{"model": "candidate", "prom')  # as a killed process leaves it
        both = versions.config(), versions.config(seed=1), versions.prompts(12)
        code, _, resumed = compare(*both, state=interrupted, looks=4)
        after = interrupted.read_text()
        assert after.startswith(before)
        lines = [json.loads(line) for line in after.splitlines() if not line.endswith('"prom')]
        drawn = [(line["model"], line["prompt"]) for line in lines[1:]]
        assert len(drawn) == len(set(drawn)) == 24
        code_at_once, _, at_once = compare(*both, looks=4)
        resumed.pop("device_seconds"), at_once.pop("device_seconds")
        assert (code, resumed) == (code_at_once, at_once)
        # All is there: a third run loads nothing, even with its budget spent.
        assert compare(*both, state=interrupted, looks=4, device_budget=timedelta(milliseconds=1))[0] == code
        assert interrupted.read_text() == after

    @pytest.mark.parametrize("change", ["candidate", "prompts", "weights", "margin"])
    def test_refuses_a_state_of_something_else(self, versions, compare, interrupted, change):
        before = interrupted.read_text()
        candidate, prompts, gate = versions.config(seed=1), versions.prompts(12), {"looks": 4}
        if change == "candidate":
            candidate = versions.config("worse", seed=1)
        elif change == "prompts":
            prompts = versions.prompts(11)
        elif change == "weights":
            prompts = versions.prompts(12, attributes={"weight": 2})
        else:
            gate["margin"] = 1.3
        with pytest.raises(InputError, match="belongs to other configurations, prompts or release settings"):
            compare(versions.config(), candidate, prompts, state=interrupted, **gate)
        assert interrupted.read_text() == before


@pytest.mark.parametrize("content", ["not JSON SECRET\n", '{"id": "p0", "prompt": "SECRET"}\n', "[1]\n"])
def test_a_file_of_another_kind_is_no_state(versions, compare, tmp_path, content):
    state = tmp_path / "state.jsonl"
    state.write_text(content)
    with pytest.raises(InputError) as caught:
        compare(versions.config(), versions.config(), versions.prompts(2), state=state)
    assert str(caught.value) == f"{state} is no state of 'riskmon compare'; name another file for --state"
    assert state.read_text() == content


def test_places_that_cannot_be_used_are_found_before_any_work(versions, compare, tmp_path, monkeypatch):
    both = versions.config(), versions.config()
    with pytest.raises(InputError, match="cannot read the prompt file"):
        compare(*both, tmp_path / "none.jsonl")
    with pytest.raises(InputError, match=r"cannot use the state .*No such file"):
        compare(*both, versions.prompts(2), state=tmp_path / "none" / "state.jsonl")
    from riskmon.config.release import ReleaseConfig
    from riskmon.release.gate import compare_release

    with pytest.raises(InputError, match="its folder does not exist"):
        compare_release(*both, versions.prompts(2), ReleaseConfig(), json_out=tmp_path / "none" / "out.json")


def test_versions_that_do_not_compare_are_refused(versions, compare):
    prompts = versions.prompts(2)
    other = {"harms": [{"name": "bad", "judge": {"kind": "regex", "pattern": "worse"}}]}
    with pytest.raises(ConfigError, match="must have the same harms, judges and thresholds"):
        compare(versions.config(), versions.config(**other), prompts)
    longer = versions.config().model.model_copy(update={"max_new_tokens": 7})
    with pytest.raises(
        ConfigError, match=r"the same model\.max_new_tokens, within which harm is counted; found 5 and 7"
    ):
        compare(versions.config(), versions.config().model_copy(update={"model": longer}), prompts)


def test_importing_it_loads_no_model():
    code = "import sys, riskmon.release.gate; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
