"""How busy others keep an NVIDIA GPU, asked of its driver through NVML (package nvidia-ml-py).

Two ways, each for where it is right:

- **At rest**: the driver says in what share of its last sample period (1/6 to 1 s) any kernel ran. When this process
  has run none for longer than such a period, those were kernels of others, whoever they are.
- **At work**: the driver says how busy each process kept the GPU, by process id. It names processes as the host does,
  so this helps only where the host's ids are ours: in the first namespace of process ids. In a container our own id
  stands for a stranger, or for nobody. It must also know this process, which works right now: under MPS the server may
  stand for all of its clients. Others then are all but us.

Where neither holds, work has to rest for a reading. A GPU that is split by MIG tells neither figure.

Source: NVML API Reference, nvmlDeviceGetUtilizationRates and nvmlDeviceGetProcessUtilization.
"""

from __future__ import annotations

import os
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from riskmon.estimate.sharing.source import Unknowable

if TYPE_CHECKING:
    import torch

# Longer than the longest sample period.
_STILL_S = 1.1
# The number of the first namespace is fixed in Linux: PROC_PID_INIT_INO.
_FIRST_NAMESPACE = "pid:[4026531836]"
_PERCENT = 100


class Gpu:
    """One GPU as the driver shows it.

    Attributes:
        name: product and UUID, for people to read.
        by_process: whether the driver's process ids are ours.
    """

    still_s = _STILL_S

    def __init__(self, uuid: str) -> None:
        """Find a GPU.

        Args:
            uuid: as `nvidia-smi -L` shows it.

        Raises:
            Unknowable: there is no driver or no such GPU, or it does not say how busy it is.
        """
        try:
            import pynvml
        except ImportError as exc:
            raise Unknowable("the package nvidia-ml-py is missing; install riskmon[nvml]") from exc
        self._nvml = pynvml
        self._seen_until = 0
        self.by_process = _namespace() == _FIRST_NAMESPACE
        self._asked("nvmlInit")
        self._handle = self._asked("nvmlDeviceGetHandleByUUID", uuid)
        self.name = f"{self._asked('nvmlDeviceGetName', self._handle)} {uuid}"
        if self._is_split():
            raise Unknowable(f"{self.name} is split by MIG, which hides what other instances do")
        self._total()

    def others(self, rested: float) -> float | None:
        """See `riskmon.estimate.sharing.source.Source`."""
        if rested >= _STILL_S:
            return self._total()
        if rested > 0 or not self.by_process:
            return None
        used = self._by_process()
        own = used.pop(os.getpid(), None)
        return None if own is None else min(1.0, sum(used.values()))

    def _total(self) -> float:
        """Share of the last sample period in which any kernel ran."""
        return float(self._asked("nvmlDeviceGetUtilizationRates", self._handle).gpu) / _PERCENT

    def _by_process(self) -> dict[int, float]:
        """Process id -> mean share of the time since the last call; those that did nothing are absent."""
        nvml = self._nvml
        try:
            samples = nvml.nvmlDeviceGetProcessUtilization(self._handle, self._seen_until)
        except nvml.NVMLError as exc:
            if exc.value in (nvml.NVML_ERROR_NOT_FOUND, nvml.NVML_SUCCESS):
                return {}  # nobody did anything
            if exc.value != nvml.NVML_ERROR_NOT_SUPPORTED:
                raise self._unknowable(exc) from exc
            self.by_process = False
            return {}
        found: dict[int, list[float]] = defaultdict(list)
        for sample in samples:
            # The buffer may hold entries that nobody wrote.
            if sample.timeStamp > self._seen_until and sample.smUtil <= _PERCENT:
                found[sample.pid].append(sample.smUtil / _PERCENT)
        self._seen_until = max([self._seen_until, *(sample.timeStamp for sample in samples)])
        return {pid: sum(shares) / len(shares) for pid, shares in found.items()}

    def _is_split(self) -> bool:
        try:
            return bool(self._nvml.nvmlDeviceGetMigMode(self._handle)[0])
        except self._nvml.NVMLError:
            return False  # a GPU that knows no MIG

    def _asked(self, function: str, *arguments: object) -> Any:
        try:
            return getattr(self._nvml, function)(*arguments)
        except self._nvml.NVMLError as exc:
            raise self._unknowable(exc) from exc

    def _unknowable(self, exc: Exception) -> Unknowable:
        return Unknowable(f"NVML does not say how busy the GPU is ({exc})")


def uuid_of(device: torch.device | None) -> str:
    """The driver's name of a torch device; torch counts only the GPUs that CUDA_VISIBLE_DEVICES leaves, NVML all.

    Args:
        device: None where the model runs in another process.

    Raises:
        Unknowable: it is no GPU of this process.
    """
    if device is None or device.type != "cuda":
        where = "elsewhere" if device is None else f"on {device.type}"
        raise Unknowable(f"the model runs {where}; name the GPU in estimate.sharing.gpu")
    import torch

    return f"GPU-{torch.cuda.get_device_properties(device).uuid}"


def _namespace() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""
