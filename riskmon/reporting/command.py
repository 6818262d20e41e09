"""`riskmon report`: one report, now."""

from __future__ import annotations

import typing
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from riskmon.config import Config, Duration
from riskmon.config.report import ReportFormat
from riskmon.errors import ConfigError, InputError
from riskmon.reporting.deliver import FOLDER, deliver
from riskmon.reporting.gather import gather
from riskmon.reporting.rendered import render
from riskmon.store import open_store


def parse_period(text: str) -> timedelta:
    """A duration as in the configuration.

    Raises:
        InputError: it is none.
    """
    try:
        return TypeAdapter(Duration).validate_python(text)
    except ValidationError as exc:
        raise InputError(f"--since {text!r}: give a number and a unit of s, m, h or d, such as 7d") from exc


def parse_formats(text: str) -> tuple[ReportFormat, ...]:
    """Names of formats with commas between them.

    Raises:
        InputError: one is unknown, or there is none.
    """
    known = typing.get_args(ReportFormat)
    found = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not found or not set(found) <= set(known):
        raise InputError(
            f"--format {text!r}: give one or more of {', '.join(known)}, with commas between them"
        )
    return typing.cast("tuple[ReportFormat, ...]", found)


def write_report(
    config: Config,
    *,
    period: timedelta | None,
    out: Path | None,
    formats: Sequence[ReportFormat] | None,
    send: bool,
    now: datetime,
    say: Callable[[str], None],
    warn: Callable[[str], None],
) -> int:
    """Gather, render and write a report; an empty store has one too, which says that there is no forecast.

    Args:
        period, out, formats: instead of the configured ones, where given.
        send: whether the configured webhook and mail server get it as well.
        now: end of the period.
        say, warn: take the path of each file written, and each failure.

    Returns:
        0, or 1 where webhook or mail failed.

    Raises:
        ConfigError: there is no folder to write to, or no section `traffic`.
        InputError: the folder cannot be written.
        StoreUnavailable: the store cannot be read.
    """
    folder = out or config.report_folder
    if folder is None:
        raise ConfigError(
            "there is no folder to write to; give --out DIR, or set report.folder or publish.reports"
        )
    if send and config.report.webhook is None and config.report.smtp is None:
        raise ConfigError("--send needs report.webhook or report.smtp; the configuration has neither")
    with open_store(config.store) as store:
        report = gather(store, config, now, period=period)
    rendered = render(report, config, formats or config.report.formats)
    outcome = deliver(rendered, config.report, folder, now, remote=send)
    if FOLDER in outcome.failed:
        raise InputError(outcome.failed[FOLDER])
    for kind in rendered.files:
        say(str(folder / f"{rendered.name}.{kind}"))
    for fault in outcome.failed.values():
        warn(fault)
    return 1 if outcome.failed else 0
