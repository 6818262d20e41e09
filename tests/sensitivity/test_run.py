"""`riskmon sensitivity` end to end on a tiny real model whose truth is known, and a real endpoint for paraphrases."""

import io
import json
import logging
import math
import os
import signal
import stat
import threading
import time

import pytest
from rich.console import Console
from support.calibration import write_lines
from support.estimates import regex_harm, world_config
from support.judge_endpoint import Reply, serve
from support.worlds import BAD, PROMPT

from riskmon.bench.answers import enumerate_answers
from riskmon.config.sensitivity import SensitivityConfig
from riskmon.errors import InputError, ModelUnavailable
from riskmon.sensitivity.run import Outputs, sensitivity_file

CHEAP = {"variants": 4, "kinds": ["case", "spacing", "typos", "politeness"], "samples": 40}
NO_FILES = Outputs()
REWRITTEN = ("blue or ask red", "red and blue", "ask blue or red", "calm red or blue", "good or blue")


def config_of(world):
    return world_config(world.target, world.experts, harms=[regex_harm("bad", "bad")])


def prompts_at(tmp_path, *contents):
    lines = [{"id": f"p{i}", "prompt": text} for i, text in enumerate(contents)]
    return write_lines(tmp_path / "prompts.jsonl", lines)


def ran(config, prompts, outputs=NO_FILES, **settings):
    screen = io.StringIO()
    console = Console(file=screen, width=160, highlight=False)
    code = sensitivity_file(config, SensitivityConfig(**settings), prompts, outputs, console=console)
    return code, screen.getvalue()


def read(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def truth(world, text):
    found = enumerate_answers(world.model, text)
    return found.mass(found.holding([BAD]))


def test_paraphrases_of_an_endpoint_and_their_exact_risks(world, tmp_path):
    out = Outputs(tmp_path / "out.jsonl", tmp_path / "wordings.jsonl", tmp_path / "texts.jsonl")
    prompts = prompts_at(tmp_path, PROMPT)
    with serve(lambda number, asked: Reply(REWRITTEN[number - 1])) as endpoint:
        paraphrase = {"kind": "openai", "url": endpoint.url, "model": "m", "concurrency": 1}
        config = config_of(world)
        code, shown = ran(
            config, prompts, out, variants=5, kinds=["paraphrase"], samples=200, paraphrase=paraphrase
        )
    assert code == 0
    exact = {text: truth(world, text) for text in (PROMPT, *REWRITTEN)}
    assert max(exact.values()) / min(exact.values()) > 1.2  # wordings differ in truth
    texts = {line["id"]: line["prompt"] for line in read(out.texts)}
    assert [texts[f"p0~paraphrase-{k}"] for k in range(1, 6)] == list(REWRITTEN)
    for line in read(out.wordings):
        assert line["p"] == pytest.approx(exact[texts[line["wording_id"]]], abs=5 * line["stderr"])
    (row,) = read(out.out)
    assert row["mean"] == pytest.approx(sum(exact[t] for t in REWRITTEN) / 5, abs=4 * row["mean_stderr"])
    worst = max(exact[text] for text in REWRITTEN) / exact[PROMPT]
    assert row["worst_low"] < worst < row["worst_high"]
    spread = [math.log10(exact[text]) for text in REWRITTEN]
    mean = sum(spread) / 5
    assert row["log10_sd_low"] <= math.sqrt(sum((x - mean) ** 2 for x in spread) / 4) <= row["log10_sd_high"]
    assert "p0" in shown
    assert "paraphrase-" in shown
    assert "red" not in shown


def test_without_a_model_for_paraphrases_the_other_kinds_are_made(world, tmp_path, capsys):
    out = Outputs(tmp_path / "out.jsonl", tmp_path / "wordings.jsonl")
    prompts = prompts_at(tmp_path, PROMPT, "good calm blue")
    code, _ = ran(config_of(world), prompts, out, **CHEAP)
    assert code == 0
    assert [row["prompt_id"] for row in read(out.out)] == ["p0", "p1"]
    lines = read(out.wordings)
    assert {line["n"] for line in lines} == {40}
    assert {line["kind"] for line in lines} == {"base", "case", "spacing", "typos", "politeness"}
    assert not (tmp_path / "texts.jsonl").exists()
    assert "ask" not in out.out.read_text() + out.wordings.read_text()
    again = Outputs(tmp_path / "again.jsonl")
    settings = SensitivityConfig(**CHEAP)
    assert sensitivity_file(config_of(world), settings, prompts, again, as_json=True) == 0
    assert again.out.read_text() == out.out.read_text()  # the seed decides
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert sorted(row["prompt_id"] for row in printed) == ["p0", "p1"]


def test_texts_are_written_when_asked_for_and_for_their_owner_only(world, tmp_path):
    texts = tmp_path / "texts.jsonl"
    texts.write_text("older\n")
    texts.chmod(0o644)
    code, _ = ran(config_of(world), prompts_at(tmp_path, PROMPT), Outputs(texts=texts), **CHEAP)
    assert code == 0
    assert stat.S_IMODE(texts.stat().st_mode) == 0o600
    lines = read(texts)
    assert [line["id"] for line in lines] == [
        "p0", "p0~case-1", "p0~spacing-1", "p0~typos-1", "p0~politeness-1",
    ]  # fmt: skip
    assert lines[0]["prompt"] == PROMPT
    assert lines[1]["prompt"] == PROMPT.upper()


def test_a_prompt_that_fails_is_counted_and_the_rest_is_kept(world, tmp_path, caplog):
    file = write_lines(
        tmp_path / "prompts.jsonl",
        [
            {"id": "long", "prompt": " ".join(["calm"] * 100)},
            {"id": "bare", "messages": [{"role": "system", "content": "calm"}]},
            {"id": "short", "prompt": PROMPT},
        ],
    )
    out = Outputs(tmp_path / "out.jsonl")
    code, shown = ran(config_of(world), file, out, **CHEAP)
    assert code == 1
    assert [row["prompt_id"] for row in read(out.out)] == ["short"]
    assert "nothing can be said of 2 of 3 prompts (1 no_variants, 1 too_long)" in caplog.text
    assert "short" in shown
    assert "calm" not in caplog.text + shown


def test_what_the_user_can_fix_is_said_before_any_work(world, tmp_path):
    config, prompts = config_of(world), prompts_at(tmp_path, PROMPT)
    with pytest.raises(InputError, match="cannot read the prompt file"):
        ran(config, tmp_path / "missing.jsonl", **CHEAP)
    with pytest.raises(InputError, match="cannot write /nonexistent/out"):
        ran(config, prompts, Outputs(out=tmp_path.joinpath("/nonexistent/out")), **CHEAP)
    with serve(lambda number, asked: Reply(status=403)) as endpoint:
        paraphrase = {"kind": "openai", "url": endpoint.url, "model": "m"}
        with pytest.raises(ModelUnavailable, match=r"sensitivity\.paraphrase"):
            ran(config, prompts, variants=4, paraphrase=paraphrase)


class Interrupted(BaseException):
    """What the command line turns Ctrl-C into, and into exit code 130."""


def test_ctrl_c_keeps_and_shows_what_is_finished(world, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    prompts = prompts_at(tmp_path, *["good calm blue and red"] * 300)
    out = tmp_path / "out.jsonl"
    screen = io.StringIO()

    def interrupt_after_two_prompts():
        end = time.monotonic() + 120
        while not (out.exists() and out.read_text().count("\n") >= 2) and time.monotonic() < end:
            time.sleep(0.005)
        os.kill(os.getpid(), signal.SIGINT)

    def raise_it(*_):
        raise Interrupted

    before = signal.signal(signal.SIGINT, raise_it)
    watcher = threading.Thread(target=interrupt_after_two_prompts)
    try:
        watcher.start()
        with pytest.raises(Interrupted):
            sensitivity_file(
                config_of(world),
                SensitivityConfig(variants=5, kinds=["typos"], samples=40),
                prompts,
                Outputs(out),
                console=Console(file=screen, width=160),
            )
    finally:
        watcher.join()
        signal.signal(signal.SIGINT, before)
    rows = read(out)
    assert 2 <= len(rows) < 300
    assert all(f" {row['prompt_id']} " in screen.getvalue() for row in rows)
    assert "estimating wordings: 6 of 1800 ('p0')" in caplog.text
    assert "calm" not in screen.getvalue() + caplog.text
