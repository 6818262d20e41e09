"""Devices as they are configured."""

from __future__ import annotations

from collections.abc import Callable

from riskmon.config import Config
from riskmon.devices.base import Devices, Loss
from riskmon.devices.process import DeviceWorker


def open_devices(config: Config, on_loss: Callable[[Loss], None] = lambda _: None) -> Devices:
    """A process on this machine, or actors of a Ray cluster; nothing is started yet.

    Args:
        on_loss: told of each process or actor that was lost without anybody asking for its end.
    """
    if config.devices.kind == "ray":
        from riskmon.devices.ray.devices import RayDevices

        return RayDevices(config, on_loss)
    return DeviceWorker(config, on_loss)
