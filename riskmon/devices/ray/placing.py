"""How many actors there are to be, on what, and what of the configuration they are told."""

from __future__ import annotations

from pydantic import SecretStr

from riskmon.config import Config
from riskmon.devices.ray.cluster import Resources
from riskmon.errors import ClusterUnusable

# What a session is made from.
_NEEDED = frozenset({"model", "experts", "harms", "judge", "estimate", "traffic"})


def wanted(config: Config, resources: Resources) -> tuple[bool, int]:
    """Whether actors get a GPU each, and how many there are to be.

    Raises:
        ClusterUnusable: all GPUs are asked for, and there is none.
    """
    device, actors = config.model.device, config.devices.actors
    gpu = device == "cuda" or (device == "auto" and resources.gpus > 0)
    if actors != "all":
        return gpu, actors
    if gpu and not resources.gpus:
        raise ClusterUnusable(
            f"model.device is cuda, and the Ray cluster has {resources}; add a node with one, or give devices.actors "
            "as a number where GPUs come up on demand"
        )
    return gpu, resources.gpus if gpu else resources.nodes


def for_an_actor(config: Config, *, gpu: bool) -> Config:
    """What of the configuration a session needs; the keys of the store and of the broker stay at home."""
    told: dict[str, object] = {
        name: field.get_default(call_default_factory=True)
        for name, field in Config.model_fields.items()
        if name not in _NEEDED
    }
    told["model"] = config.model.model_copy(update={"device": "cuda" if gpu else "cpu"})
    if config.traffic is not None:
        told["traffic"] = config.traffic.model_copy(update={"kafka": None, "sample_key": SecretStr("")})
    return config.model_copy(update=told)
