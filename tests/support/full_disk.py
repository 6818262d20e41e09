"""A disk that can be filled up: a small tmpfs where mounting is allowed, else a limit on the size of a process's files.

Under the limit a write fails with EFBIG rather than ENOSPC; to the process it is a write that fails either way.
"""

from __future__ import annotations

import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

_CHUNK = 1 << 16


class Disk(Protocol):
    """Where a process keeps its files."""

    folder: Path

    def fill(self, pid: int) -> None:
        """From now on no file of this process grows."""

    def free(self, pid: int) -> None:
        """Undo `fill`."""


@dataclass
class SmallDisk:
    """A file system of its own."""

    folder: Path

    def fill(self, pid: int) -> None:
        with (self.folder / "filler").open("wb", buffering=0) as filler:
            size = _CHUNK
            while size:
                try:
                    filler.write(bytes(size))
                except OSError:
                    size //= 2  # the last bytes count, too

    def free(self, pid: int) -> None:
        (self.folder / "filler").unlink()


@dataclass
class LimitedFiles:
    """A folder like any other; the process is held back instead."""

    folder: Path

    def fill(self, pid: int) -> None:
        _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, hard))

    def free(self, pid: int) -> None:
        _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))


@contextmanager
def disk(folder: Path, size: str = "32m") -> Iterator[Disk]:
    """A new folder on a disk that can be filled up."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        yield LimitedFiles(folder)
        return
    try:
        yield SmallDisk(folder)
    finally:
        # Lazily: what still has a file open there must not keep the mount.
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
