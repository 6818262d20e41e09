"""From the configuration to a gate, or to the reason why there is none."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from riskmon.config import SharingConfig
from riskmon.estimate.sharing.gate import UtilizationGate
from riskmon.estimate.sharing.nvml import Gpu, uuid_of
from riskmon.estimate.sharing.source import Unknowable

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)


def find_gpu(settings: SharingConfig, device: torch.device | None) -> Gpu:
    """The GPU that is shared.

    Args:
        settings: may name it. device: where the model runs; None where that is another process.

    Raises:
        Unknowable: there is none, or it does not say how busy others keep it.
    """
    return Gpu(uuid_of(device) if settings.gpu == "auto" else settings.gpu)


def open_gate(settings: SharingConfig, device: torch.device | None) -> UtilizationGate | None:
    """The gate in front of a device; None where work never rests, with a warning if it was meant to."""
    if settings.max_utilization is None:
        return None
    try:
        gpu = find_gpu(settings, device)
    except Unknowable as exc:
        log.warning("estimate.sharing.max_utilization has no effect, since %s", exc)
        return None
    return UtilizationGate(settings, gpu)
