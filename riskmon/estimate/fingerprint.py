"""Fingerprints: of all voices, what a stored log-prob was computed under; and of the target or one expert alone.

The one of the voices changes with anything that changes a log-prob: the target and its revision, the sampler, every
expert's settings, and the bytes of all that is loaded from folders and files here: weights, adapters with their scale,
directions, tokenizer and chat template. A new version written over an old one is thereby another. Hits stored under
another fingerprint are scored anew.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from riskmon.config import Config, ExpertConfig, ModelConfig, VllmEngine

# Settings of a model that say how it is run, and change nothing that it says.
_HOW = {"device", "batch_rows", "memory_share", "engine", "decoding", "merge_adapters"}
_LOADED = (".safetensors", ".json", ".jinja", ".model", ".txt")


def voices_fingerprint(config: Config, rounded: Sequence[str] = ()) -> str:
    """Sixteen hexadecimal digits.

    Args:
        rounded: experts whose adapter was merged into weights of half precision, which makes them other networks.
    """
    digest = hashlib.sha256()
    model = config.model.model_dump_json(exclude=_HOW)
    digest.update(model.encode())
    digest.update(_served_name(config.model).encode())
    _add_files(digest, config.model.target)
    for expert in config.experts:
        digest.update(expert.model_dump_json().encode())
        path = getattr(expert, "path", None)
        if path is not None:
            _add_files(digest, path)
    for name in rounded:
        digest.update(f"merged {name}".encode())
    return digest.hexdigest()[:16]


def target_fingerprint(model: ModelConfig) -> str:
    """Sixteen hexadecimal digits over the target alone: they change when another model is released.

    A folder counts by what is in it and not by where it is; a hub id counts by its name and revision.
    """
    digest = hashlib.sha256()
    elsewhere = _HOW | {"target", "revision", "max_new_tokens"}
    digest.update(model.model_dump_json(exclude=elsewhere).encode())
    digest.update(_served_name(model).encode())
    if _loaded_files(Path(model.target)):
        _add_files(digest, model.target)
    else:
        digest.update(f"{model.target}@{model.revision}".encode())
    return digest.hexdigest()[:16]


def expert_fingerprint(expert: ExpertConfig) -> str:
    """Sixteen hexadecimal digits over the settings of one expert and the files it is loaded from."""
    digest = hashlib.sha256()
    path = getattr(expert, "path", None)
    files = path is not None and bool(_loaded_files(Path(path)))
    digest.update(expert.model_dump_json(exclude={"path"} if files else None).encode())
    if path is not None:
        _add_files(digest, path)
    return digest.hexdigest()[:16]


def _served_name(model: ModelConfig) -> str:
    """The name of the target at a server; empty where its weights are here. Where the server is does not matter."""
    return (model.engine.model or model.target) if isinstance(model.engine, VllmEngine) else ""


def _add_files(digest: hashlib._Hash, name: str | Path) -> None:
    for file in _loaded_files(Path(name)):
        digest.update(file.name.encode())
        with file.open("rb") as content:
            digest.update(hashlib.file_digest(content, "sha256").digest())


def _loaded_files(path: Path) -> list[Path]:
    """What is loaded from a folder, or the file itself; a hub id has none and is told apart by its revision."""
    if path.is_file():
        return [path]
    return sorted(file for file in path.glob("*") if file.suffix in _LOADED) if path.is_dir() else []
