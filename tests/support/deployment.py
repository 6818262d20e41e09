"""The files of deploy/ as data: what Compose mounts where, and the configuration that riskmon finds there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]


def mounts(service: str) -> Iterator[tuple[str, PurePosixPath]]:
    """Source and place of every volume, bind mount and secret of a service."""
    for volume in SERVICES[service].get("volumes", []):
        source, place, *_ = volume.split(":")
        yield source, PurePosixPath(place)
    for secret in SERVICES[service].get("secrets", []):
        name = secret if isinstance(secret, str) else secret["source"]
        target = name if isinstance(secret, str) else secret["target"]
        # An absolute target stands for itself.
        yield COMPOSE["secrets"][name]["file"], PurePosixPath("/run/secrets") / target


def mounted_files(service: str) -> dict[PurePosixPath, Path]:
    """Files and folders of the repository by their place in a container; secrets and named volumes left out."""
    return {
        place: (DEPLOY / source).resolve()
        for source, place in mounts(service)
        if source.startswith(".") and not source.startswith("./secrets/")
    }


def is_mounted(service: str, path: str) -> bool:
    """Whether a path in a container is, or is below, something that is mounted."""
    return any(PurePosixPath(path).is_relative_to(place) for _, place in mounts(service))


def walk(node: object, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], object]]:
    """Every scalar of nested mappings and lists, with the keys that lead to it."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield from walk(value, (*path, str(key)))
    elif isinstance(node, list):
        for place, value in enumerate(node):
            yield from walk(value, (*path, str(place)))
    else:
        yield path, node
