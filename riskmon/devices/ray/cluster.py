"""Joining a Ray cluster, or starting one on this machine alone; and what it has.

A cluster of our own listens on the loopback interface only, lets in whoever has its random token, writes its files into
a folder that nobody else can read and that ends with it, puts nothing that does not fit into memory on the disk, and
reports its usage to nobody.
"""

from __future__ import annotations

import importlib.util
import os
import secrets
import socket
from dataclasses import dataclass
from pathlib import Path

from riskmon.config import DevicesConfig
from riskmon.errors import ClusterUnusable, ConfigError, UserError

# Prompts and results pass through; they are small and read at once. Ray's own least is 75 MiB.
_OBJECT_STORE_BYTES = 128 * 2**20
_CONNECT_S = 5.0


@dataclass(frozen=True, slots=True)
class Resources:
    """What a cluster has at present.

    Attributes:
        gpus: whole ones. nodes: machines.
    """

    gpus: int
    nodes: int

    def __str__(self) -> str:
        gpus = {0: "no GPU", 1: "1 GPU"}.get(self.gpus, f"{self.gpus} GPUs")
        return f"{gpus} on {self.nodes} node{'' if self.nodes == 1 else 's'}"


def require_ray() -> None:
    """See that Ray is installed.

    Raises:
        ConfigError: it is not.
    """
    if importlib.util.find_spec("ray") is None:
        raise ConfigError(
            "devices.kind is ray, which is not installed: pip install 'riskmon[ray]', or set devices.kind to local"
        )


def join(config: DevicesConfig, folder: Path) -> Resources:
    """Connect this process to the cluster.

    Args:
        folder: for the files of a cluster of our own.

    Raises:
        ClusterUnusable: there is none, or it turns us away.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    if config.address == "local":
        _keep_to_this_machine()
    elif config.address != "auto":
        _require_listener(config.address)
    import ray

    quiet = {"log_to_driver": False, "configure_logging": False}
    try:
        if config.address == "local":
            ray.init(
                address="local",
                num_cpus=_cores(config),
                include_dashboard=False,
                object_store_memory=_OBJECT_STORE_BYTES,
                # Ray opens its folder to everybody, so it gets one within ours.
                _temp_dir=str(folder / "ray"),
                _system_config={
                    "automatic_object_spilling_enabled": False,
                    # Ray would begin a process for each core, for tasks that never come.
                    "enable_worker_prestart": False,
                    "prestart_worker_first_driver": False,
                    "worker_niceness": 0,
                },
                **quiet,
            )
        else:
            ray.init(address=config.address, **quiet)
    except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as exc:
        raise _refused(config.address, exc) from None
    gpus = int(ray.cluster_resources().get("GPU", 0))
    return Resources(gpus, sum(bool(node["Alive"]) for node in ray.nodes()))


def _keep_to_this_machine() -> None:
    # Ray's switch for systems on which it makes no clusters; without it every part listens on all interfaces.
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    os.environ["RAY_AUTH_MODE"] = "token"
    os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


def _cores(config: DevicesConfig) -> int:
    """As many as there are, and enough for the actors that were asked for: on one machine they may share cores."""
    wanted = 1 if config.actors == "all" else config.actors
    return max(os.cpu_count() or 1, wanted * config.cpus)


def _require_listener(address: str) -> None:
    """Find out in seconds what Ray would take minutes to tell."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_S).close()
    except OverflowError:
        raise ConfigError(f"devices.address is {address}; a port is at most 65535") from None
    except OSError as exc:
        raise ClusterUnusable(
            f"devices.address is {address}, where nothing answers ({exc.strerror or type(exc).__name__}); is the head "
            "of the Ray cluster up, and is this the port of its GCS (6379 by default)?"
        ) from None


def _refused(address: str, exc: Exception) -> UserError:
    """In our words where it is clear what to do; Ray's own words name addresses and versions, never data."""
    if address == "auto":
        return ClusterUnusable(
            "devices.address is auto, and this machine is no node of a running Ray cluster; join it with "
            "'ray start --address HEAD:6379', or set devices.address to local"
        )
    first = (str(exc).strip() or type(exc).__name__).splitlines()[0]
    return ClusterUnusable(
        f"devices.address is {address}, and Ray cannot use it: {first.rstrip('.')}; this machine must be a node of the "
        "cluster, with the same versions of Ray and Python ('ray status' tells)"
    )
