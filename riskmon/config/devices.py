"""Where estimates are made: a process on this machine, or actors of a Ray cluster."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from pydantic import Field, model_validator

from riskmon.config.values import Duration, Section


class DevicesConfig(Section):
    """Where estimates are made."""

    kind: Literal["local", "ray"] = Field(
        "local",
        description="local: one process on this machine; ray: actors of a Ray cluster, one for each GPU",
    )
    address: str = Field(
        "auto",
        pattern=r"^(auto|local|(\[[0-9a-fA-F:]+\]|[^:/\s]+):\d{1,5})$",
        description="the Ray cluster: auto takes the one that this machine is a node of, host:port names its head, "
        "local starts one of this machine alone",
    )
    actors: Literal["all"] | int = Field(
        "all",
        description="actors, each with the model; all takes every GPU, or without any one for each node",
    )
    cpus: int = Field(1, ge=1, description="CPU cores that Ray sets aside for each actor")
    start_timeout: Duration = Field(
        timedelta(minutes=10), description="time within which actors find a place and load the model"
    )

    @model_validator(mode="after")
    def _fits_the_kind(self) -> DevicesConfig:
        if self.actors != "all" and self.actors < 1:
            raise ValueError("actors is 'all' or at least 1")
        if self.kind == "local":
            others = set(type(self).model_fields) - {"kind"}
            given = sorted(
                name for name in others if getattr(self, name) != type(self).model_fields[name].default
            )
            if given:
                raise ValueError(f"only kind ray has {', '.join(given)}; set kind: ray, or leave them out")
        return self
