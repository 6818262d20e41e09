"""What a process of `riskmon run` does of the whole: all of it, or one part that meets the others in the store."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """Reading the traffic, estimating on the device, publishing from the desk; or all three."""

    ALL = "all"
    INTAKE = "intake"
    ESTIMATE = "estimate"
    PUBLISH = "publish"

    @property
    def reads(self) -> bool:
        """Whether it follows the traffic."""
        return self in (Role.ALL, Role.INTAKE)

    @property
    def estimates(self) -> bool:
        """Whether it loads the model."""
        return self in (Role.ALL, Role.ESTIMATE)

    @property
    def publishes(self) -> bool:
        """Whether it forecasts, reports, purges, and serves page, API and all metrics."""
        return self in (Role.ALL, Role.PUBLISH)
