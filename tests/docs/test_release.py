"""The shell lines of docs/release.md: a pipeline goes on after ship and after nothing else."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

TEXT = (Path(__file__).parents[2] / "docs" / "release.md").read_text(encoding="utf-8")


def snippet(language: str, first: str) -> str:
    """The block of a language that begins with a word."""
    blocks = re.findall(rf"```{language}\n(.*?)```", TEXT, flags=re.S)
    (block,) = [block for block in blocks if block.startswith(first)]
    return block


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (0, "ship"),
        (3, "hold: the candidate is more harmful"),
        (4, "undecided: somebody has to look"),
        (1, "no answer (exit code 1)"),
        (2, "no answer (exit code 2)"),
        (130, "no answer (exit code 130)"),
    ],
)
def test_only_ship_lets_a_release_pass(tmp_path, code, says):
    """A command of the same name stands in for riskmon: it ends with the code, and keeps what it was asked."""
    stand_in = tmp_path / "riskmon"
    stand_in.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/asked\nexit {code}\n')
    stand_in.chmod(0o700)
    done = subprocess.run(
        ["/bin/sh", "-e", "-c", snippet("sh", "code=0")],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.startswith(says)
    assert (done.returncode == 0) is (code == 0)
    assert (tmp_path / "asked").read_text().strip() == (
        "compare --baseline serving.yaml --candidate candidate.yaml prompts.jsonl "
        "--state compare.jsonl --json answer.json"
    )


def test_the_workflow_is_yaml_that_asks_the_same():
    steps = yaml.safe_load(snippet("yaml", "jobs:"))["jobs"]["gate"]["steps"]
    (asked,) = [step["run"] for step in steps if "run" in step]
    assert " ".join(asked.replace("\\", "").split()) in " ".join(TEXT.replace("\\", "").split())
    paths = {step["with"]["path"] for step in steps if "with" in step}
    assert {path for path in paths if path in asked} == paths == {"compare.jsonl", "answer.json"}
