"""What is said of a model, tokenizer or adapter that does not load: one sentence with what to do."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

from riskmon.errors import ModelUnavailable


def refuse_to_load(key: str, name: str, exc: Exception) -> NoReturn:
    """Turn a fault of loading into one sentence; `key` is what an error names.

    Raises:
        ModelUnavailable: always.
    """
    message = str(exc).strip() or type(exc).__name__
    if "trust_remote_code" in message:
        raise ModelUnavailable(
            f"{key} {name!r} comes with code of its own, which riskmon never runs; give a model of an architecture "
            "that transformers has built in"
        ) from exc
    if pickled := _pickled_weights(Path(name)):
        raise ModelUnavailable(
            f"{key} {name!r} holds its weights as {pickled} and not as safetensors; a pickle can run code when it is "
            "read, so it is refused: save the model again with save_pretrained on a machine that trusts it"
        ) from exc
    raise ModelUnavailable(
        f"{key} {name!r} does not load: {message.splitlines()[0][:300]} (give a folder with config.json, tokenizer and "
        "safetensors weights, or a hub id this machine can reach)"
    ) from exc


def _pickled_weights(folder: Path) -> str | None:
    """The first pickled file of a folder without safetensors; None where there is none."""
    if not folder.is_dir() or next(folder.glob("*.safetensors"), None) is not None:
        return None
    found = sorted(file.name for file in folder.iterdir() if file.suffix in {".bin", ".pt", ".pth", ".ckpt"})
    return found[0] if found else None
