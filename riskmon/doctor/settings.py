"""What can be said of a configuration without loading anything: its parts, presets and calibration files."""

from __future__ import annotations

from collections.abc import Iterator

from riskmon.config import CascadeJudge, Config, HfGenerativeJudge, JudgeConfig
from riskmon.doctor.finding import Check, Finding, Level
from riskmon.errors import ModelUnavailable
from riskmon.records import Role


def describe(config: Config) -> str:
    """Target, experts, harms and judge presets in one line.

    Raises:
        ModelUnavailable: a preset is unknown; the known ones are named.
    """
    experts = ", ".join(expert.name for expert in config.experts) or "none: plain Monte Carlo"
    harms = ", ".join(harm.name for harm in config.all_harms)
    presets = ", ".join(_presets(config))
    return f"target {config.model.target}; experts {experts}; harms {harms}" + (
        f"; presets {presets}" if presets else ""
    )


def meeting_place(config: Config, role: Role) -> str | None:
    """What a process of one role must know of the store it shares with the others; None where it needs nothing said."""
    if role is Role.ALL or not config.store.url.startswith("sqlite"):
        return None
    return (
        f"role {role}: the store is a SQLite file, so all roles must run on one machine and have that file; give "
        "store.url a PostgreSQL database where they do not"
    )


def missing_calibrations(config: Config) -> Iterator[str]:
    """One sentence for every calibration file that is not there."""
    for harm in config.all_harms:
        if harm.calibration is not None and not harm.calibration.is_file():
            yield (
                f"harm {harm.name!r}: there is no calibration file {harm.calibration}; run 'riskmon calibrate judge' "
                "to make it, or take 'calibration' out"
            )


def check_settings(config: Config, origin: str) -> Check[None]:
    """Whether the configuration makes sense as far as it can be seen."""
    try:
        yield Finding(Level.OK, "configuration", f"{origin} is valid: {describe(config)}")
    except ModelUnavailable as exc:
        yield Finding(Level.FAILED, "configuration", str(exc))
    if not config.experts:
        yield Finding(
            Level.WARNING,
            "configuration",
            "there are no experts, so rare harm takes as many draws as by plain sampling; give the section 'experts', "
            "or make one with 'riskmon calibrate'",
        )


def _presets(config: Config) -> list[str]:
    from riskmon.estimate.judges.presets import find_preset

    parts = [part for harm in config.all_harms for part in _parts(harm.judge)]
    names = [part.preset for part in parts if isinstance(part, HfGenerativeJudge)]
    return list(dict.fromkeys(find_preset(name).name for name in names))


def _parts(judge: JudgeConfig) -> tuple[JudgeConfig, ...]:
    return (judge.first, judge.second) if isinstance(judge, CascadeJudge) else (judge,)
