"""A process whose wall clock can be set: a small library, loaded before the C library, that adds to its answers.

Only the wall clock moves; the monotonic one is left alone, as when somebody sets the clock of a real machine.
libfaketime 0.9.10 would do the same, but makes `time.sleep` of Python 3.11 fail.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

_SOURCE = Path(__file__).with_name("clock.c")


@dataclass(frozen=True)
class Clock:
    """The clock of every process that is started with `environment`."""

    file: Path
    library: Path

    @classmethod
    def build(cls, folder: Path) -> Clock:
        """A clock that tells the real time, for now."""
        if shutil.which("cc") is None:
            pytest.fail("a C compiler is missing: apt-get install -y --no-install-recommends gcc libc6-dev")
        library = folder / "clock.so"
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(_SOURCE)], check=True)
        clock = cls(folder / "clock", library)
        clock.file.write_bytes(struct.pack("@l", 0))
        return clock

    @property
    def environment(self) -> dict[str, str]:
        """Variables to start a process with."""
        return {"LD_PRELOAD": str(self.library), "TEST_CLOCK_AHEAD": str(self.file)}

    def set(self, ahead_s: int) -> None:
        """Let it be so many seconds ahead of the real one, from now on."""
        with self.file.open("r+b", buffering=0) as file:  # the file is mapped, so it is changed in place
            file.write(struct.pack("@l", ahead_s))
