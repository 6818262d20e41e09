"""The checks in their order, each shown as soon as it is done."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from rich.console import Console
from rich.padding import Padding

from riskmon.config import Config
from riskmon.console import say, standard_output
from riskmon.doctor.cluster import check_cluster
from riskmon.doctor.device import check_calibration, check_device
from riskmon.doctor.finding import Finding, Level, guarded
from riskmon.doctor.rewording import check_rewording
from riskmon.doctor.services import check_store, check_traffic
from riskmon.doctor.settings import check_settings, meeting_place
from riskmon.records import Role

_LEVEL_WIDTH = max(len(level) for level in Level)


def run_doctor(
    config: Config,
    origin: Path,
    *,
    with_model: bool,
    now: datetime,
    role: Role = Role.ALL,
    console: Console | None = None,
) -> int:
    """Run all checks and show what they find.

    Args:
        config: the configuration. origin: its file.
        with_model: whether to do the checks that load a model or ask a judge.
        now: aware UTC time.
        role: what of the whole will run here; a role without a model has none to check, nor a source to read.
        console: where the checklist goes; standard output if None.

    Returns:
        Exit code: 0, or 1 where a check failed.
    """
    console = console or standard_output()
    worst = {finding.level for finding in _shown(_findings(config, origin, with_model, now, role), console)}
    return 1 if Level.FAILED in worst else 0


def _findings(config: Config, origin: Path, with_model: bool, now: datetime, role: Role) -> Iterator[Finding]:
    yield from guarded("configuration", check_settings(config, str(origin)))
    yield from guarded("store", check_store(config, now))
    if (told := meeting_place(config, role)) is not None:
        yield Finding(Level.WARNING, "store", told)
    if role.reads:
        yield from guarded("traffic", check_traffic(config, now))
    if role is Role.INTAKE:
        return
    if role.estimates:
        yield from check_rewording(config, with_model=with_model)
    if with_model and role.estimates and config.devices.kind == "ray":
        yield from guarded("devices", check_cluster(config))
    if with_model and role.estimates:
        yield from check_device(config)
        return
    for harm in config.all_harms:
        yield from guarded(f"calibration {harm.name}", check_calibration(harm, None))


def _shown(findings: Iterator[Finding], console: Console) -> Iterator[Finding]:
    for finding in findings:
        say(console, f"{finding.level:<{_LEVEL_WIDTH}}  {finding.subject}: {finding.text}")
        if finding.table is not None:
            console.print(Padding(finding.table, (0, 0, 0, _LEVEL_WIDTH + 2), expand=False))
        yield finding
