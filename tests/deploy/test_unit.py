"""The systemd unit, by systemd's own checks, and the keys whose loss would be noticed too late."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.deployment import DEPLOY, ROOT

UNIT = DEPLOY / "systemd" / "riskmon.service"
TEXT = UNIT.read_text(encoding="utf-8")


def analyze(*arguments: str | Path) -> str:
    binary = shutil.which("systemd-analyze")
    if binary is None:
        pytest.fail("systemd-analyze is missing: apt-get install -y --no-install-recommends systemd")
    done = subprocess.run([binary, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def values(key: str) -> list[str]:
    return re.findall(rf"^{key}=(.*)$", TEXT, flags=re.M)


def test_systemd_accepts_every_key_and_value(tmp_path):
    # systemd asks for a program that can be run, and the one of the unit is on the machine that it is for.
    program = Path(sys.executable).with_name("riskmon")
    copy = tmp_path / UNIT.name
    copy.write_text(TEXT.replace("/opt/riskmon/.venv/bin/riskmon", str(program)))
    assert analyze("verify", copy) == ""


def test_systemd_would_notice_a_wrong_key(tmp_path):
    copy = tmp_path / UNIT.name
    program = str(Path(sys.executable).with_name("riskmon"))
    copy.write_text(TEXT.replace("/opt/riskmon/.venv/bin/riskmon", program).replace("LimitCORE", "LimitCoar"))
    assert "LimitCoar" in analyze("verify", copy)


def test_systemd_finds_it_well_closed():
    assert "riskmon.service: 1." in analyze("security", "--offline=true", "--threshold=20", UNIT)


def test_the_gpu_stays_visible():
    assert values("PrivateDevices") == ["no"]
    assert values("DevicePolicy") == ["closed"]
    assert values("DeviceAllow") == ["char-nvidia* rw"]
    # torch and CUDA make code while they run, and read /proc/driver/nvidia.
    assert values("MemoryDenyWriteExecute") == ["no"]
    assert values("ProcSubset") == ["all"]


def test_it_stops_and_starts_again_as_the_daemon_wants_it():
    assert values("KillMode") == ["mixed"]
    assert int(values("TimeoutStopSec")[0]) >= 15, "docs/operations.md grants the drain fifteen seconds"
    assert values("Restart") == ["on-failure"]
    assert values("RestartPreventExitStatus") == ["2"]
    assert values("OOMPolicy") == ["continue"]


def test_secrets_reach_riskmon_and_nobody_else():
    assert values("LoadCredential") == ["RISKMON:/etc/riskmon/secrets"]
    assert "RISKMON_SECRETS_DIR=%d" in values("Environment")
    assert values("EnvironmentFile") == []


def test_the_guide_installs_what_the_unit_names():
    guide = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
    for path in ("/opt/riskmon", "/etc/riskmon/riskmon.yaml", "/etc/riskmon/secrets"):
        assert path in TEXT
        assert path in guide
    assert os.path.relpath(UNIT, ROOT) in guide
