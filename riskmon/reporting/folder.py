"""Reports as files: written whole or not at all, readable by the owner and its group, named as the page lists them.

Beside them lies a hidden file that says when the last report was written and of which target, so that a restart neither
misses a report nor repeats one. The page does not serve hidden files.
"""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from riskmon.errors import DeliveryFailed
from riskmon.reporting.rendered import RenderedReport

_MODE = 0o640
_FOLDER_MODE = 0o750
_MEMORY = ".riskmon-last-report.json"


@dataclass(frozen=True, slots=True)
class LastReport:
    """When the last report was made, and the fingerprint of the target it was about."""

    made_at: datetime
    fingerprint: str


def write_files(folder: Path, rendered: RenderedReport) -> list[Path]:
    """Write a report's files; a folder that is not there is made.

    Raises:
        DeliveryFailed: the folder cannot be made or written.
    """
    try:
        folder.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
        return [
            _write(folder / f"{rendered.name}.{kind}", content) for kind, content in rendered.files.items()
        ]
    except OSError as exc:
        raise DeliveryFailed(f"cannot write reports to {folder}: {exc.strerror}") from exc


def remember(folder: Path, last: LastReport) -> None:
    """Keep what a restart must know.

    Raises:
        DeliveryFailed: the folder cannot be written.
    """
    document = {"made_at": last.made_at.isoformat(), "fingerprint": last.fingerprint}
    try:
        _write(folder / _MEMORY, json.dumps(document) + "\n")
    except OSError as exc:
        raise DeliveryFailed(f"cannot write to {folder}: {exc.strerror}") from exc


def recall(folder: Path) -> LastReport | None:
    """The last report; None where there was none, or where its file says nothing usable."""
    try:
        document = json.loads((folder / _MEMORY).read_text(encoding="utf-8"))
        made_at, fingerprint = datetime.fromisoformat(document["made_at"]), document["fingerprint"]
    except (OSError, ValueError, LookupError, TypeError):
        return None
    if made_at.tzinfo is None or not isinstance(fingerprint, str):
        return None
    return LastReport(made_at, fingerprint)


def _write(path: Path, content: str) -> Path:
    handle, scratch = tempfile.mkstemp(dir=path.parent, prefix=".report-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            os.fchmod(file.fileno(), _MODE)
        Path(scratch).replace(path)
    except BaseException:
        Path(scratch).unlink(missing_ok=True)
        raise
    return path
