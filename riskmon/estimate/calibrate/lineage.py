"""Where a variant comes from, and how it is put on disk.

Unsafe variants are kept in one folder, mode 0700 with files of mode 0600, and nothing is written outside it.
Each variant NAME is a folder of its own; a new generation is prepared in `.partial-NAME`, the one before is
renamed NAME-1, NAME-2, ... and the new one then takes the name. `lineage.json` beside the weights says what
made it: target, examples (as a digest), judges, parent, settings and cross-entropy, and a mark of every example
that was fitted and not held out: a draw that a variant has learnt by heart says nothing of how well it serves the
next one. It holds no text and no id of a prompt.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import shutil
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter, ValidationError
from torch import nn

from riskmon.config import CalibrateConfig
from riskmon.config.values import Name
from riskmon.errors import ConfigError
from riskmon.estimate.calibrate.adapters import CONFIG_FILE, WEIGHTS_FILE
from riskmon.estimate.calibrate.examples import Example

LINEAGE_FILE = "lineage.json"

log = logging.getLogger(__name__)


def variant_folder(config: CalibrateConfig, name: str) -> Path:
    """Where the variant of this name is kept.

    Raises:
        ConfigError: the name is not that of an expert, or leads out of calibrate.folder.
    """
    try:
        TypeAdapter(Name).validate_python(name)
    except ValidationError:
        raise ConfigError(
            f"a variant cannot be named {name!r}; a name begins with a small letter and holds at most 40 small "
            "letters, digits and underscores"
        ) from None
    folder = config.folder / name
    for path in (folder, partial_folder(folder)):
        if path.is_symlink():
            raise ConfigError(f"{path} is a link; variants stay inside calibrate.folder, so remove the link")
    return folder


def check_folder(config: CalibrateConfig, folder: Path) -> None:
    """Make sure that a folder is one of calibrate.folder's.

    Raises:
        ConfigError: it lies elsewhere, or its name is not that of an expert.
    """
    inside = variant_folder(config, folder.name).parent
    if folder.parent.resolve() != inside.resolve():
        raise ConfigError(
            f"{folder} is not directly inside calibrate.folder ({config.folder}); variants stay there"
        )


def partial_folder(folder: Path) -> Path:
    """Where a fit keeps what it has so far."""
    return folder.parent / f".partial-{folder.name}"


def make_private(folder: Path) -> None:
    """Create a folder of mode 0700; one that is there already stays as it is, with a warning where it is open.

    Raises:
        ConfigError: it cannot be created.
    """
    with _writing(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        mode = stat.S_IMODE(folder.stat().st_mode)
    if mode & 0o077:
        log.warning("%s is open to other users (mode %04o); run: chmod 700 %s", folder, mode, folder)


def write_private(path: Path, content: bytes) -> None:
    """Write a file of mode 0600 as a whole: a reader finds the old content or the new.

    Raises:
        ConfigError: it cannot be written.
    """
    beside = path.with_name(f".{path.name}.new")
    with _writing(path):
        beside.unlink(missing_ok=True)
        with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)


def publish(folder: Path, files: Mapping[str, bytes]) -> None:
    """Put a new generation in place and keep the one before as NAME-<n>.

    Raises:
        ConfigError: it cannot be written.
    """
    ready = partial_folder(folder) / "ready"
    with _writing(folder):
        shutil.rmtree(ready, ignore_errors=True)
    make_private(ready)
    for name, content in files.items():
        write_private(ready / name, content)
    with _writing(folder):
        if folder.exists():
            folder.rename(folder.with_name(f"{folder.name}-{_next_generation(folder)}"))
        ready.rename(folder)


def discard_partial(folder: Path) -> None:
    """Remove what a fit that is over kept."""
    with _writing(folder):
        shutil.rmtree(partial_folder(folder), ignore_errors=True)


def _next_generation(folder: Path) -> int:
    pattern = re.compile(rf"{re.escape(folder.name)}-(\d+)")
    found = [match for path in folder.parent.iterdir() if (match := pattern.fullmatch(path.name))]
    return 1 + max((int(match[1]) for match in found), default=0)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise ConfigError(f"cannot write {path}: {exc.strerror}; mend calibrate.folder") from exc


def digest_of_examples(examples: Sequence[Example]) -> str:
    """sha256 over ids, weights and tokens, in order."""
    digest = hashlib.sha256()
    for example in examples:
        line = [example.prompt_id, example.weight.hex(), example.context, example.answer]
        digest.update(json.dumps(line).encode() + b"\n")
    return digest.hexdigest()


def fitted_marks(folder: Path | None) -> frozenset[str]:
    """Marks of the examples that an adapter and its parents were fitted to (`mark_of`); empty where nothing tells."""
    file = None if folder is None else folder / LINEAGE_FILE
    if file is None or not file.is_file():
        return frozenset()
    try:
        return frozenset(map(str, json.loads(file.read_bytes()).get("fitted", ())))
    except (OSError, ValueError, AttributeError, TypeError) as exc:
        log.warning(
            "%s cannot be read (%s): hits it was fitted to may choose plans", file, type(exc).__name__
        )
        return frozenset()


def digest_of_adapter(folder: Path | None) -> str | None:
    """sha256 over an adapter's configuration and weights; None for no adapter, or one that is not there."""
    if folder is None or not all((folder / name).is_file() for name in (CONFIG_FILE, WEIGHTS_FILE)):
        return None
    digest = hashlib.sha256()
    for name in (CONFIG_FILE, WEIGHTS_FILE):
        with (folder / name).open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def describe_target(module: nn.Module) -> dict[str, str | None]:
    """The target's name, revision where it is known, and a fingerprint of its weights.

    The fingerprint is a hash of the first values of every parameter: cheap, and another one after any training.
    """
    config: Any = module.config
    digest = hashlib.sha256()
    for name, parameter in module.named_parameters():
        values = parameter.detach().flatten()[:16].to("cpu", torch.float32)
        digest.update(
            f"{name} {tuple(parameter.shape)} {parameter.dtype}".encode() + values.numpy().tobytes()
        )
    return {
        "target": str(config.name_or_path),
        "target_revision": getattr(config, "_commit_hash", None),
        "target_fingerprint": digest.hexdigest(),
    }


def settings_of(config: CalibrateConfig) -> dict[str, Any]:
    """The settings that decide a fit: all but where it is written."""
    return config.model_dump(mode="json", exclude={"folder"})
