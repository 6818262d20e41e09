"""The command line as a contract: exit codes, one-sentence errors, output lines."""

import json
import logging
import math
import operator
import os
import pty
import signal
import stat
import subprocess
import sys
import time

import pytest
from support.calibration import write_prompts
from support.daemon import COMMAND, run, write_config
from support.variants import weights_of
from typer.testing import CliRunner

from riskmon.cli import app

FIELDS = [
    *("prompt_id", "harm", "stratum", "p", "stderr", "ci_low", "ci_high", "upper_bound"),
    *("n", "hits", "ess", "khat", "weight_mean", "flags", "tokens", "device_seconds"),
]


@pytest.fixture
def prompts(tmp_path):
    file = tmp_path / "prompts.jsonl"
    file.write_text(
        '{"id": "a", "prompt": "ask red or blue"}\n'
        '{"id": "b", "prompt": "good calm", "attributes": {"route": "chat"}}\n'
        '{"id": "c", "prompt": "ask red or blue"}\n'
    )
    return str(file)


@pytest.fixture
def config(world, tmp_path):
    return str(write_config(tmp_path, world.target))


def test_estimate_prints_a_line_per_prompt_and_harm(config, prompts):
    done = run("estimate", prompts, "-c", config)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["prompt_id"] for line in lines] == ["a", "b", "c"]
    assert all(list(line) == FIELDS for line in lines)
    assert all(line["n"] == 40 for line in lines)
    assert lines[0]["p"] != lines[2]["p"]  # the same text under two ids
    assert "3 of 3" in done.stderr
    assert "ask red" not in done.stderr


def test_samples_and_seed_override_and_out_takes_the_lines(config, prompts, tmp_path):
    first, second = tmp_path / "one.jsonl", tmp_path / "two.jsonl"
    for out, seed in ((first, "1"), (second, "2")):
        done = run("estimate", prompts, "-c", config, "--samples", "24", "--seed", seed, "--out", str(out))
        assert done.returncode == 0, done.stderr
        assert done.stdout == ""
    one, two = ([json.loads(line) for line in out.read_text().splitlines()] for out in (first, second))
    assert {line["n"] for line in one} == {24}
    assert [line["p"] for line in one] != [line["p"] for line in two]


def test_sensitivity_writes_a_line_per_prompt_and_a_line_per_wording(config, prompts, tmp_path):
    files = {name: tmp_path / f"{name}.jsonl" for name in ("out", "wordings", "texts")}
    options = [part for name, file in files.items() for part in (f"--{name}", str(file))]
    done = run("sensitivity", prompts, "-c", config, "--variants", "4", "--samples", "24", "--json", *options)
    assert done.returncode == 0, done.stderr
    lines, wordings, texts = (
        [json.loads(line) for line in file.read_text().splitlines()] for file in files.values()
    )
    assert [(line["prompt_id"], line["harm"], line["variants"]) for line in lines] == [
        ("a", "bad", 4),
        ("b", "bad", 4),
        ("c", "bad", 4),
    ]
    assert all(0 <= line["worst_low"] <= (line["worst_high"] or math.inf) for line in lines)
    by_id = operator.itemgetter("prompt_id")
    assert sorted(map(json.loads, done.stdout.splitlines()), key=by_id) == lines
    assert [line["prompt_id"] for line in wordings] == ["a"] * 5 + ["b"] * 5 + ["c"] * 5
    assert [line["wording_id"] for line in wordings] == [line["id"] for line in texts]
    assert {line["n"] for line in wordings} == {24}
    # The line of a prompt is made of the lines of its wordings.
    for line in lines:
        own = [row for row in wordings if row["prompt_id"] == line["prompt_id"] and row["kind"] != "base"]
        assert line["with_hits"] == sum(row["hits"] > 0 for row in own)
        assert line["mean"] == pytest.approx(sum(row["p"] for row in own) / 4)
    assert stat.S_IMODE(files["texts"].stat().st_mode) == 0o600
    assert texts[0]["prompt"] == "ask red or blue"
    assert (
        "ask red" not in done.stdout + done.stderr + files["out"].read_text() + files["wordings"].read_text()
    )


def test_sensitivity_shows_a_table_and_keeps_what_is_finished_on_ctrl_c(config, tmp_path):
    file, out = tmp_path / "many.jsonl", tmp_path / "out.jsonl"
    file.write_text("".join(f'{{"id": "p{i}", "prompt": "ask red or blue"}}\n' for i in range(2000)))
    process = subprocess.Popen(
        [*COMMAND, "sensitivity", str(file), "-c", config, "--variants", "2", "--out", str(out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline and (not out.exists() or out.read_text().count("\n") < 2):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=30)
    assert process.returncode == 130, stderr
    assert stderr.endswith("riskmon: interrupted\n")
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert 2 <= len(lines) < 2000
    assert "by worst amplification: bad" in stdout
    assert {line["prompt_id"] for line in lines} <= set(stdout.split())


def test_on_a_terminal_there_is_a_progress_bar(config, prompts, tmp_path):
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "estimate", prompts, "-c", config, "--out", str(tmp_path / "out.jsonl")],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env=os.environ | {"TERM": "xterm-256color", "OMP_NUM_THREADS": "1"},
    )
    os.close(slave)
    shown = b""
    while True:
        try:
            chunk = os.read(master, 4096)
        except OSError:  # the other side is closed
            break
        if not chunk:
            break
        shown += chunk
    assert process.wait(60) == 0
    assert "━" in shown.decode()
    assert "3/3" in shown.decode()


def test_a_failed_prompt_is_named_and_the_rest_is_kept(config, tmp_path):
    file = tmp_path / "long.jsonl"
    text = " ".join(["calm"] * 100)
    file.write_text(f'{{"id": "long", "prompt": "{text}"}}\n{{"id": "short", "prompt": "calm"}}\n')
    done = run("estimate", str(file), "-c", config)
    assert done.returncode == 1
    assert [json.loads(line)["prompt_id"] for line in done.stdout.splitlines()] == ["short"]
    assert "'long' has 100 tokens" in done.stderr
    assert "1 of 2 prompts have no estimate (1 too_long)" in done.stderr
    assert "calm" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["estimate", "missing.jsonl", "-c", "{config}"], "missing.jsonl"),
        (["estimate", "{prompts}", "-c", "missing.yaml"], "missing.yaml"),
        (
            ["estimate", "{prompts}", "-c", "{config}", "--out", "/nonexistent/out"],
            "cannot write /nonexistent/out",
        ),
        (["estimate", "{prompts}", "-c", "{config}", "--samples", "2"], "--samples"),
        (["run", "-c", "{config}"], "needs the section 'traffic'"),
        (["forecast", "-c", "{config}"], "needs the section 'traffic'"),
        (["check-config", "missing.yaml"], "missing.yaml"),
        (["doctor", "-c", "missing.yaml"], "missing.yaml"),
        (["sensitivity", "missing.jsonl", "-c", "{config}"], "missing.jsonl"),
        (["sensitivity", "{prompts}", "-c", "{config}", "--variants", "1"], "--variants"),
        (["sensitivity", "{prompts}", "-c", "{config}", "--samples", "2"], "--samples"),
        (["calibrate", "direction", "missing.jsonl", "{prompts}", "-c", "{config}"], "missing.jsonl"),
        (["calibrate", "lora", "-c", "{config}", "--harm", "sad"], "no harm 'sad'; it has bad"),
        (["calibrate", "refit", "-c", "{config}", "--harm", "sad"], "no harm 'sad'; it has bad"),
        (["calibrate", "judge", "missing.jsonl", "-c", "{config}"], "missing.jsonl"),
        (["nonsense"], "nonsense"),
    ],
)
def test_what_the_user_can_fix_exits_with_two_and_a_sentence(arguments, words, config, prompts):
    done = run(*(argument.format(config=config, prompts=prompts) for argument in arguments))
    assert done.returncode == 2, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "line 2: not JSON"),
        ('{"prompt": "calm"}', "line 2: the id is missing"),
        ('{"id": "a", "prompt": "calm"}', "given before, on line 1"),
        ('{"id": "x"}', "line 2: neither 'prompt'"),
    ],
)
def test_a_malformed_prompt_file_names_the_line(line, words, config, tmp_path):
    file = tmp_path / "bad.jsonl"
    file.write_text(f'{{"id": "a", "prompt": "red"}}\n{line}\n')
    done = run("estimate", str(file), "-c", config)
    assert done.returncode == 2
    assert words in done.stderr
    assert "calm" not in done.stderr


def test_check_config_says_what_it_read(config, tmp_path):
    done = run("check-config", config)
    assert done.returncode == 0
    assert "experts persona; harms bad" in done.stdout
    bad = tmp_path / "bad.yaml"
    bad.write_text("model: {target: x}\njudge: {kind: toxicity}\npublish: {lisen: 1}\n")
    done = run("check-config", str(bad))
    assert done.returncode == 2
    assert "did you mean 'listen'?" in done.stderr


def test_check_config_knows_the_presets_and_misses_calibrations(world, tmp_path):
    guard = {"kind": "hf-generative", "preset": "strongreject"}
    cheap = {"kind": "regex", "pattern": "bad"}
    cascade = {"kind": "cascade", "first": cheap, "second": guard}

    def check(judge, **harm):
        file = write_config(tmp_path, world.target, harms=[{"name": "bad", "judge": judge, **harm}])
        return run("check-config", str(file))

    done = check(cascade, calibration="none.json")
    assert done.returncode == 0
    assert done.stdout.endswith("harms bad; presets strongreject\n")
    assert f"harm 'bad': there is no calibration file {tmp_path / 'none.json'}" in done.stderr
    done = check(cascade | {"second": guard | {"preset": "strongrejekt"}})
    assert done.returncode == 2
    assert "unknown preset 'strongrejekt' (did you mean 'strongreject'?); known ones are" in done.stderr
    code = "import sys, riskmon.doctor.settings, riskmon.estimate.judges.presets; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_doctor_exits_with_one_where_a_check_failed(config, world, tmp_path, invoke):
    done = invoke(["doctor", "-c", config])
    assert done.exit_code == 0, done.output
    assert "\nok       expert persona: kind system_prompt, mean log-prob difference" in done.output
    file = write_config(tmp_path, world.target, traffic={"jsonl": "none.jsonl"})
    done = run("doctor", "-c", str(file), "--no-model")
    assert done.returncode == 1
    assert f"FAILED   traffic: there is no file {tmp_path / 'none.jsonl'}" in done.stdout
    assert "Traceback" not in done.stderr


class InterruptAtFirstStep(logging.Handler):
    """Ctrl-C, as soon as a fit says that it has begun."""

    def emit(self, record):
        if record.getMessage().startswith("fitting:"):
            os.kill(os.getpid(), signal.SIGINT)
            progress_log.removeHandler(self)


progress_log = logging.getLogger("riskmon.progress")


@pytest.fixture
def invoke():
    """Run a command in this process, which spares loading torch; what it sets up for its own is undone."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield lambda command: CliRunner().invoke(app, command)
    root.handlers[:] = handlers
    root.setLevel(level)
    progress_log.handlers.clear()


def test_an_interrupted_cold_start_goes_on_where_it_stopped(world, tmp_path, invoke):
    """Interrupted while drawing and while fitting, it makes the adapter that an undisturbed run makes."""
    words = ("red", "blue", "good", "calm", "and", "or")
    prompts = write_prompts(tmp_path / "prompts.jsonl", [f"{a} {b} SECRET" for a in words for b in words])
    folder = tmp_path / "disturbed"

    def command(name):
        file = write_config(
            tmp_path,
            world.target,
            experts=[{"name": "unsafe", "kind": "checkpoint", "path": str(world.experts["unsafe"])}],
            harms=[{"name": "slip", "judge": {"kind": "regex", "pattern": "bad worse"}}],
            estimate={"samples_per_prompt": 200},
            calibrate={"folder": name, "steps": 30, "evaluate_every": 15},
        )
        return ["calibrate", "lora", "-c", str(file), "--prompts", str(prompts), "--seed", "3"]

    draws = folder / ".partial-unsafe-draws.jsonl"
    process = subprocess.Popen(
        [*COMMAND, *command("disturbed")],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline and (not draws.exists() or draws.read_bytes().count(b"\n") < 3):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 130, stderr
    assert stderr.endswith("riskmon: interrupted; the same command goes on from here\n")
    drawn = draws.read_bytes().count(b"\n")
    assert 3 <= drawn < 36
    assert "SECRET" not in stderr

    progress_log.addHandler(InterruptAtFirstStep())
    done = invoke(command("disturbed"))
    assert done.exit_code == 130, done.output
    assert done.output.endswith("riskmon: interrupted; the same command goes on from here\n")
    assert f"{drawn} of 36 prompts were drawn for before" in done.output
    checkpoint = folder / ".partial-unsafe" / "checkpoint.safetensors"
    assert stat.S_IMODE(draws.stat().st_mode) == stat.S_IMODE(checkpoint.stat().st_mode) == 0o600

    done = invoke(command("disturbed"))
    assert done.exit_code == 0, done.output
    assert "drawing" not in done.output
    assert "the fit goes on from step" in done.output
    assert "SECRET" not in done.output
    assert [path.name for path in folder.iterdir()] == ["unsafe"]

    assert invoke(command("calm")).exit_code == 0
    disturbed, calm = (weights_of(tmp_path / name / "unsafe") for name in ("disturbed", "calm"))
    assert all(bool((disturbed[key] == calm[key]).all()) for key in calm)


def test_interrupted_estimate_keeps_its_lines(config, tmp_path):
    file, out = tmp_path / "many.jsonl", tmp_path / "out.jsonl"
    file.write_text("".join(f'{{"id": "{i}", "prompt": "ask red"}}\n' for i in range(5000)))
    process = subprocess.Popen(
        [*COMMAND, "estimate", str(file), "-c", config, "--out", str(out)], stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and (not out.exists() or out.read_text().count("\n") < 3):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=20)
    assert process.returncode == 130
    assert stderr.endswith("riskmon: interrupted\n")
    lines = out.read_text().splitlines()
    assert 3 <= len(lines) < 5000
    assert all(json.loads(line)["harm"] == "bad" for line in lines)


def test_help_imports_nothing_heavy():
    heavy = {
        "torch",
        "transformers",
        "sqlalchemy",
        "kafka",
        "prometheus_client",
        "scipy",
        "matplotlib",
        "pydantic",
    }
    code = (
        "import sys; sys.argv = ['riskmon', '--help']\n"
        "from riskmon.cli import main\n"
        "try:\n    main()\nexcept SystemExit as done:\n    assert not done.code\n"
        f"print('LOADED', *sorted({heavy!r} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "LOADED"
    assert "check-config" in done.stdout


def test_version():
    assert run("--version").stdout.startswith("riskmon ")
