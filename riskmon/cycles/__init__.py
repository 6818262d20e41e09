"""The estimate cycle: what the daemon's device does every few hours."""

from riskmon.cycles.cycle import estimate_cycle

__all__ = ["estimate_cycle"]
