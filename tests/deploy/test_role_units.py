"""The units of the roles: as closed as the one that does everything, and accepted by systemd."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from support.deployment import DEPLOY

from riskmon.config_file import parse_config
from riskmon.records import Role

SYSTEMD = DEPLOY / "systemd"
PROGRAM = "/opt/riskmon/.venv/bin/riskmon"


def test_the_template_differs_in_nothing_but_the_role() -> None:
    def settings(name: str) -> list[str]:
        lines = (SYSTEMD / name).read_text(encoding="utf-8").splitlines()
        return [line for line in lines if line and not line.startswith("#")]

    whole, part = settings("riskmon.service"), settings("riskmon@.service")
    other = [(a, b) for a, b in zip(whole, part, strict=True) if a != b]
    assert [b.replace(" --role %i", "").replace(", role %i", "") for _, b in other] == [a for a, _ in other]
    assert len(other) == 2


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """The units in a folder, with a program that is on this machine."""
    folder = Path(shutil.copytree(SYSTEMD, tmp_path / "systemd"))
    for file in folder.rglob("*.*"):
        if file.is_file():
            file.write_text(file.read_text().replace(PROGRAM, str(Path(sys.executable).with_name("riskmon"))))
    return folder


def verify(units: Path, name: str) -> str:
    done = subprocess.run(
        ["systemd-analyze", "verify", name],
        capture_output=True,
        text=True,
        check=False,
        env={"SYSTEMD_UNIT_PATH": f"{units}:", "PATH": "/usr/bin:/bin"},
    )
    return f"{done.returncode} {done.stdout}{done.stderr}".strip()


@pytest.mark.parametrize("name", [f"riskmon@{r}.service" for r in Role if r is not Role.ALL])
def test_systemd_accepts_each_instance(units: Path, name: str) -> None:
    assert verify(units, name) == "0"


def test_systemd_accepts_the_timer(units: Path) -> None:
    assert verify(units, "riskmon@estimate.timer") == "0"


def test_systemd_would_notice_a_wrong_key_of_a_drop_in(units: Path) -> None:
    file = units / "riskmon@estimate.service.d" / "once.conf"
    file.write_text(file.read_text().replace("TimeoutStartSec", "TimeoutStartSek"))
    assert "TimeoutStartSek" in verify(units, "riskmon@estimate.service")


def test_the_timer_goes_by_the_schedule_that_riskmon_knows() -> None:
    config = parse_config({"model": {"target": "x"}, "judge": {"kind": "regex", "pattern": "x"}}, base=Path())
    assert config.estimate.schedule == "0 */4 * * *"
    timer = (SYSTEMD / "riskmon@estimate.timer").read_text(encoding="utf-8")
    assert re.findall(r"^OnCalendar=(.*)$", timer, flags=re.M) == ["*-*-* 00/4:00:00 UTC"]
    unit = (SYSTEMD / "riskmon@estimate.service.d" / "once.conf").read_text(encoding="utf-8")
    (hours,) = re.findall(r"^TimeoutStartSec=(\d+)h$", unit, flags=re.M)
    assert config.estimate.deadline + config.sensitivity.deadline < timedelta(hours=int(hours))
