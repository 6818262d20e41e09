"""Reports that another part has written into a folder: listed newest first, and read without a way out of it.

A report is a regular file directly inside the folder, named with letters, digits, `.`, `_` and `-`, that ends in
`.html`, `.md` or `.json`. The name is checked before the file system sees it, so no path can be asked for. The file
is opened relative to the open folder and never through a symbolic link, and what was opened is checked, not what was
listed: a link or a pipe put in its place meanwhile is refused as well.

A report's moment is the one in its name (`report-20261103T060000Z.html`), and otherwise that of its last change.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from riskmon.errors import ConfigError

MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".json": "application/json",
    # Browsers offer text/markdown as a download; as plain text it can be read.
    ".md": "text/plain; charset=utf-8",
}

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}\.(?:html|json|md)")
_MOMENT = re.compile(r"(?<!\d)\d{8}T\d{6}Z")
# NONBLOCK: opening a pipe would otherwise wait for a writer.
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Report:
    """One report, in one or more formats.

    Attributes:
        title: name of its files without the ending.
        made_at: aware UTC time.
        names: names of its files: HTML first, then JSON, then Markdown.
    """

    title: str
    made_at: datetime
    names: tuple[str, ...]


class ReportFolder:
    """The folder of reports; one that does not exist yet is empty.

    Args:
        path: `publish.reports`.

    Raises:
        ConfigError: the path is no folder.
    """

    def __init__(self, path: Path) -> None:
        if path.exists() and not path.is_dir():
            raise ConfigError(
                f"publish.reports {path} is not a folder; give the one that reports are written to"
            )
        if path.exists() and not os.access(path, os.R_OK | os.X_OK):
            raise ConfigError(
                f"publish.reports {path} cannot be read by this user; change its owner or its mode"
            )
        self._path = path

    def newest(self) -> list[Report]:
        """All reports, the newest first; empty while the folder cannot be read."""
        moments: dict[str, datetime] = {}
        names: dict[str, list[str]] = {}
        for name, changed in self._files():
            title, _, _ = name.rpartition(".")
            moments[title] = max(changed, moments.get(title, changed))
            names.setdefault(title, []).append(name)
        found = [Report(title, moments[title], tuple(sorted(names[title]))) for title in names]
        return sorted(found, key=lambda report: (report.made_at, report.title), reverse=True)

    def _files(self) -> Iterator[tuple[str, datetime]]:
        try:
            entries = list(os.scandir(self._path))
        except OSError:  # not there yet
            return
        for entry in entries:
            with suppress(FileNotFoundError):  # removed meanwhile
                if _NAME.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                    changed = entry.stat(follow_symlinks=False).st_mtime
                    yield entry.name, _moment(entry.name) or datetime.fromtimestamp(changed, UTC)

    def open(self, name: str) -> tuple[BinaryIO, int] | None:
        """A report's file, open for reading, and its size in bytes; None where there is no such report."""
        if not _NAME.fullmatch(name):
            return None
        try:
            folder = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                descriptor = os.open(name, _FLAGS, dir_fd=folder)
            finally:
                os.close(folder)
        except OSError:
            return None
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            os.close(descriptor)
            return None
        return os.fdopen(descriptor, "rb"), found.st_size


def media_type(name: str) -> str:
    """The content type of a report's file."""
    return MEDIA_TYPES[os.path.splitext(name)[1]]


def _moment(name: str) -> datetime | None:
    match = _MOMENT.search(name)
    try:
        return None if match is None else datetime.strptime(match[0], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:  # digits that are no date
        return None
