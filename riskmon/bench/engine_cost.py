"""What a piece of work costs: seconds and memory.

On CUDA the seconds are the wall clock's, between two synchronisations, and the memory is what torch had allocated at
most. On the CPU the seconds are the processor's, of all threads, so that others on the machine do not count, and the
memory is the process's largest resident size, which Linux lets a process reset.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_RESET_PEAK = "5"


@dataclass(frozen=True, slots=True)
class Cost:
    """What was measured.

    Attributes:
        seconds: of all the work.
        bytes: most memory beyond what was held before, None where it cannot be told.
        pieces: how many parts the work was done in, one after another.
    """

    seconds: float
    bytes: int | None
    pieces: int = 1


def measure(work: Callable[[], object], device: torch.device) -> Cost:
    """Do the work once."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        held, started = torch.cuda.memory_allocated(device), time.perf_counter()
        work()
        torch.cuda.synchronize(device)
        return Cost(time.perf_counter() - started, torch.cuda.max_memory_allocated(device) - held)
    resident = _reset_peak()
    started = time.process_time()
    work()
    seconds = time.process_time() - started
    return Cost(seconds, None if resident is None else _resident("VmHWM") - resident)


def _reset_peak() -> int | None:
    """Forget the largest size so far; returns the present one, without what earlier work left in the heap."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
        _CLEAR.write_text(_RESET_PEAK)
        return _resident("VmRSS")
    except (OSError, AttributeError):  # another system, or another C library
        return None


def _resident(field: str) -> int:
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(f"{field}:"))
    return int(line.split()[1]) * 1024
