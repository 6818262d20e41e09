"""A fingerprint of the voices: what a stored log-prob was computed under.

It changes with anything that changes a log-prob: the target and its revision, the sampler, every expert's settings, and
the bytes of all that is loaded from folders and files here: weights, adapters with their scale, directions, tokenizer
and chat template. A new version written over an old one is thereby another. Hits stored under another fingerprint are
scored anew.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from riskmon.config import Config

_LOADED = (".safetensors", ".json", ".jinja", ".model", ".txt")


def voices_fingerprint(config: Config) -> str:
    """Sixteen hexadecimal digits."""
    digest = hashlib.sha256()
    model = config.model.model_dump_json(exclude={"device", "batch_rows"})
    digest.update(model.encode())
    _add_files(digest, config.model.target)
    for expert in config.experts:
        digest.update(expert.model_dump_json().encode())
        path = getattr(expert, "path", None)
        if path is not None:
            _add_files(digest, path)
    return digest.hexdigest()[:16]


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
