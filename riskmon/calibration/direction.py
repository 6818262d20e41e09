"""`riskmon calibrate direction`: two sets of prompts in, the file of the expert `steering` and a table out.

`riskmon.estimate.calibrate.direction` says what a direction is and how its layer is chosen.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table

from riskmon import __version__
from riskmon.calibration.snippet import expert_snippet
from riskmon.config import Config
from riskmon.console import say, standard_output
from riskmon.errors import InputError
from riskmon.progress import progress, status
from riskmon.traffic.prompts import read_prompts

if TYPE_CHECKING:
    from riskmon.estimate.calibrate.direction import Direction


def calibrate_direction(
    config: Config, unsafe: Path, safe: Path, name: str, *, console: Console | None = None
) -> int:
    """Find the direction from safe to unsafe prompts and write it to calibrate.folder/NAME.safetensors.

    Args:
        config: the configuration; its target is the model that is read.
        unsafe: prompts the target should refuse, or that show the trait, as JSON lines.
        safe: harmless prompts of the same form.
        name: name of the file.
        console: where the table goes; standard output if None.

    Returns:
        Exit code 0.

    Raises:
        UserError: the prompts, the model, the name or the folder cannot be used, or no layer tells the sets apart.
        NumericalFault: a hidden state is not finite.
    """
    digests = {"unsafe_sha256": sha256_of(unsafe), "safe_sha256": sha256_of(safe)}
    unsafe_prompts, safe_prompts = read_prompts(unsafe), read_prompts(safe)

    from riskmon.estimate.calibrate.direction import find_direction, save_direction
    from riskmon.estimate.calibrate.lineage import describe_target, make_private, variant_folder
    from riskmon.estimate.model import load_model

    path = variant_folder(config.calibrate, name).with_suffix(".safetensors")
    with status("loading the model"):
        model = load_model(config.model)
    with progress("reading prompts", len(unsafe_prompts) + len(safe_prompts)) as report:
        direction = find_direction(
            model,
            unsafe_prompts,
            safe_prompts,
            config.calibrate.validation_share,
            lambda done, _: report(done, ""),
        )
    known = {key: value for key, value in describe_target(model.module).items() if value is not None}
    make_private(path.parent)
    save_direction(direction, path, {**known, **digests, "riskmon": __version__})
    console = console or standard_output()
    say(
        console,
        "How far the held-out unsafe prompts lie from the safe ones, as Cohen's d of their projections:",
    )
    console.print(_table(direction))
    _explain(console, config, direction, path)
    return 0


def sha256_of(path: Path) -> str:
    """Hex digest of a file's bytes, to say later what a variant was made from.

    Raises:
        InputError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as exc:
        raise InputError(f"cannot read {path}: {exc.strerror}; give a file of JSON lines") from exc


def _table(direction: Direction) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("layer", "separation"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("")
    for layer, separation in enumerate(direction.separation):
        chosen = layer == direction.layer
        table.add_row(
            str(layer), f"{separation:.2f}", "chosen" if chosen else "", style="bold" if chosen else None
        )
    return table


def _explain(console: Console, config: Config, direction: Direction, path: Path) -> None:
    say(
        console,
        f"From {direction.n_unsafe} unsafe and {direction.n_safe} safe prompts, {direction.n_held_out} of them held "
        f"out. Written to {path}. To use it, give the configuration one of these experts, or both:",
    )
    kind = {"kind": "steering", "path": str(path.resolve())}
    say(
        console,
        expert_snippet(
            config, ("ablate", kind | {"operation": "ablate"}), ("add", kind | {"operation": "add"})
        ),
    )
    say(
        console,
        "'ablate' suits prompts that should be refused: the model no longer tells them apart. 'add' suits prompts that "
        "show a trait: every answer is pushed towards it. 'riskmon doctor' shows how far each is from the target.",
    )
