"""A driver for one GPU that is not there: the real nvidia-ml-py loads it in the place of NVIDIA's library.

What the GPU does is written into a file, by which a test steers this process and every one it starts.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pynvml
import pytest

_SOURCE = Path(__file__).with_name("nvml.c")
_NAME = "libnvidia-ml.so.1"
UUID = "GPU-11111111-2222-3333-4444-555555555555"


@dataclass(frozen=True)
class Driver:
    """The GPU as its driver shows it."""

    file: Path

    def show(
        self,
        total: int,
        processes: Mapping[int | str, int] | None = None,
        *,
        mig: bool = False,
        fail: int = 0,
    ) -> None:
        """From now on the GPU is so many percent busy.

        Args:
            total: in all.
            processes: of a process each; `self` is whichever process asks.
            mig: whether it is split.
            fail: a code of NVML that all readings end with.
        """
        lines = [f"total {total}", f"mig {int(mig)}", f"fail {fail}"]
        lines += [f"process {pid} {percent}" for pid, percent in (processes or {}).items()]
        new = self.file.with_suffix(".new")
        new.write_text("\n".join(lines) + "\n")
        os.replace(new, self.file)


@pytest.fixture(scope="session")
def nvml_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library, built; this process finds it by its name from then on."""
    if shutil.which("cc") is None:
        pytest.fail("a C compiler is missing: apt-get install -y --no-install-recommends gcc libc6-dev")
    library = tmp_path_factory.mktemp("nvml") / _NAME
    command = ["cc", "-shared", "-fPIC", "-O1", f"-Wl,-soname,{_NAME}", "-o", str(library), str(_SOURCE)]
    subprocess.run(command, check=True)
    ctypes.CDLL(str(library))
    return library


@pytest.fixture
def driver(nvml_library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Driver:
    """An idle GPU, for this process and those it starts."""
    driver = Driver(tmp_path / "gpu")
    driver.show(0)
    monkeypatch.setenv("TEST_NVML", str(driver.file))
    monkeypatch.setenv("LD_LIBRARY_PATH", str(nvml_library.parent))
    # nvidia-ml-py keeps what it found first.
    monkeypatch.setattr(pynvml, "nvmlLib", None)
    monkeypatch.setattr(pynvml, "_nvmlGetFunctionPointer_cache", {})
    return driver
