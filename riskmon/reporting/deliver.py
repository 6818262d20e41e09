"""A report to all the places it goes to, side by side: what fails in one place stops none of the others.

Webhook and mail may take their timeouts. They run in threads of their own that are not waited for once the caller
stops: a daemon must end in seconds, and a report that was not sent yet is due again.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from riskmon import logs
from riskmon.config import ReportConfig
from riskmon.errors import DeliveryFailed
from riskmon.reporting.folder import write_files
from riskmon.reporting.mail import send
from riskmon.reporting.rendered import RenderedReport
from riskmon.reporting.webhook import post

log = logging.getLogger(__name__)

FOLDER, WEBHOOK, MAIL = "report-folder", "report-webhook", "report-mail"
"""Names under which failed deliveries are counted."""
CHANNELS = (FOLDER, WEBHOOK, MAIL)

_LOOK_S = 0.1


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it went.

    Attributes:
        done: channels that took the report. failed: sentence by channel that did not.
        abandoned: the caller stopped before all had answered.
    """

    done: tuple[str, ...] = ()
    failed: dict[str, str] = field(default_factory=dict)
    abandoned: bool = False


def deliver(
    rendered: RenderedReport,
    config: ReportConfig,
    folder: Path | None,
    now: datetime,
    stop: Callable[[], bool] = lambda: False,
    *,
    remote: bool = True,
) -> Outcome:
    """Write, post and mail a report as configured.

    Args:
        folder: where its files go; None writes none.
        now: stamped on a mail.
        stop: a True leaves unanswered deliveries behind.
        remote: whether webhook and mail get it too.
    """
    works: dict[str, Callable[[], object]] = {}
    if folder is not None:
        works[FOLDER] = lambda: write_files(folder, rendered)
    webhook, smtp = config.webhook, config.smtp
    if remote and webhook is not None:
        works[WEBHOOK] = lambda: post(webhook, rendered)
    if remote and smtp is not None:
        works[MAIL] = lambda: send(smtp, rendered, now)
    return _run(works, stop)


def _run(works: dict[str, Callable[[], object]], stop: Callable[[], bool]) -> Outcome:
    faults: dict[str, str | None] = {}  # None is success; a channel that has not answered is absent

    def work(channel: str, send_it: Callable[[], object]) -> None:
        try:
            send_it()
        except DeliveryFailed as exc:
            faults[channel] = str(exc)
        except Exception as exc:  # noqa: BLE001 - a fault of ours in one channel must not stop the others
            log.error("%s failed: %s", channel, logs.describe(exc))
            faults[channel] = f"{channel} failed unexpectedly"
        else:
            faults[channel] = None

    threads = [
        threading.Thread(target=work, args=item, name=f"riskmon-{item[0]}", daemon=True)
        for item in works.items()
    ]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads) and not stop():
        for thread in threads:
            thread.join(_LOOK_S)
    answered = dict(faults)
    return Outcome(
        done=tuple(channel for channel in works if channel in answered and answered[channel] is None),
        failed={channel: fault for channel, fault in answered.items() if fault is not None},
        abandoned=len(answered) < len(works),
    )
