"""`riskmon doctor --role` looks at what that role needs, and says what it shares with the others."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.calibration import NOW, shown
from typer.testing import CliRunner

from riskmon.cli import app
from riskmon.config_file import parse_config
from riskmon.doctor import run_doctor
from riskmon.doctor.settings import meeting_place
from riskmon.records import Role


def settings(folder: Path, **sections):
    data = {
        "model": {"target": "/nonexistent/model"},
        "experts": [{"name": "rude", "kind": "system_prompt", "text": "x"}],
        "harms": [{"name": "bad", "judge": {"kind": "regex", "pattern": "x"}}],
        "traffic": {"jsonl": "traffic.jsonl"},
    }
    return parse_config(data | sections, base=folder)


@pytest.mark.parametrize(
    ("role", "subjects", "code"),
    [
        (Role.ALL, {"configuration", "store", "traffic", "model"}, 1),
        (Role.INTAKE, {"configuration", "store", "traffic"}, 0),
        (Role.ESTIMATE, {"configuration", "store", "model"}, 1),
        (Role.PUBLISH, {"configuration", "store"}, 0),
    ],
)
def test_each_role_is_asked_for_what_it_needs(
    tmp_path: Path, role: Role, subjects: set[str], code: int
) -> None:
    (tmp_path / "traffic.jsonl").write_text("")
    done, screen = shown(
        run_doctor, settings(tmp_path), Path("riskmon.yaml"), with_model=True, now=NOW, role=role
    )
    found = set(re.findall(r"^(?:ok|warning|FAILED) +(\w+)", screen, re.MULTILINE))
    assert found & {"configuration", "store", "traffic", "model"} == subjects
    assert done == code
    assert ("one machine" in screen) == (role is not Role.ALL)


def test_only_a_file_binds_the_roles_to_one_machine(tmp_path: Path) -> None:
    postgres = settings(tmp_path, store={"url": "postgresql+psycopg://db/riskmon"})
    assert meeting_place(postgres, Role.INTAKE) is None
    assert meeting_place(settings(tmp_path), Role.ALL) is None
    told = meeting_place(settings(tmp_path), Role.INTAKE)
    assert told is not None
    assert "PostgreSQL" in told


def test_check_config_warns_of_it(tmp_path: Path) -> None:
    file = tmp_path / "riskmon.yaml"
    file.write_text("model: {target: x}\njudge: {kind: regex, pattern: x}\ntraffic: {jsonl: t.jsonl}\n")
    plain, intake = (
        CliRunner().invoke(app, ["check-config", str(file), *more]) for more in ([], ["--role", "intake"])
    )
    assert plain.exit_code == intake.exit_code == 0
    assert "warning" not in plain.output
    assert "warning: role intake: the store is a SQLite file" in intake.output
