"""A direction of the residual stream that tells unsafe from safe prompts, for the expert `steering`.

In come two sets of prompts, out comes one direction per decoder layer. With h_l(x) the hidden state behind layer l at
the last token of the rendered prompt x, where the model has read the prompt and is about to answer:

    d_l = mean over unsafe x of h_l(x)  -  mean over safe x of h_l(x)

Part of both sets is held out of the means, to choose the layer: on it the projections h_l(x) . d_l / |d_l| are
compared by Cohen's d, the difference of the two means in units of their pooled standard deviation. It has no unit, so
that layers compare although the stream grows with depth; and unlike the area under the ROC curve it does not stop at
1, where on a few dozen prompts most layers of a real model lie. Held out, because every direction in many dimensions
separates the prompts it was made from.

Source: Arditi et al. 2024 (refusal direction), who choose the layer by the effect of the ablation instead; that takes
a judge, and riskmon measures the effect later, by the expert's hits.
"""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save
from torch import Tensor, nn

from riskmon.errors import InputError, NumericalFault, PromptFailed, PromptTooLong
from riskmon.estimate.experts.steering import decoder_layers, hidden_state
from riskmon.estimate.model import LanguageModel
from riskmon.records import FloatArray, Prompt

log = logging.getLogger(__name__)

# Two prompts of each set make a mean and two a spread; with fewer there is nothing to choose a layer by.
MIN_PROMPTS = 4


@dataclass(frozen=True, eq=False)
class Direction:
    """Differences of means, and the layer whose difference separates best.

    Attributes:
        directions: [layers, hidden] float32, unsafe minus safe, with their own lengths.
        layer: the chosen layer, from 0.
        separation: [layers] float64, Cohen's d of the held-out projections.
        n_unsafe: unsafe prompts used. n_safe: safe prompts used. n_held_out: those of both not in the means.
    """

    directions: NDArray[np.float32]
    layer: int
    separation: FloatArray
    n_unsafe: int
    n_safe: int
    n_held_out: int


@torch.inference_mode()
def find_direction(
    model: LanguageModel,
    unsafe: Sequence[Prompt],
    safe: Sequence[Prompt],
    held_out_share: float,
    progress: Callable[[int, int], None],
) -> Direction:
    """Find the direction from safe to unsafe prompts at every layer, and choose a layer.

    Which prompts are held out follows from their ids, whatever their order. A prompt that cannot be rendered or is
    too long is left out with a warning.

    Args:
        model: the target as loaded, with no adapter in it.
        unsafe: prompts the target should refuse.
        safe: harmless prompts of the same form; what else differs between the sets ends up in the direction.
        held_out_share: share of each set that chooses the layer, in (0, 1); at least two prompts on either side.
        progress: called with (prompts run, prompts in all).

    Raises:
        InputError: fewer than four usable prompts in a set, or no layer separates the held-out prompts.
        ExpertUnusable: the model has no list of decoder layers.
        NumericalFault: a hidden state is not finite.
    """
    reader = _Reader(model, progress)
    parts = [
        _split(_rendered(model, prompts), held_out_share, name)
        for prompts, name in ((unsafe, "unsafe"), (safe, "safe"))
    ]
    reader.total = sum(len(part) for fitted_held in parts for part in fitted_held)

    unsafe_mean, safe_mean = (_mean(reader.states(fitted)) for fitted, _ in parts)
    directions = unsafe_mean - safe_mean  # [layers, hidden] float64
    units = nn.functional.normalize(directions, dim=-1)
    projections = [
        torch.stack([(state * units).sum(-1) for state in reader.states(held)]).numpy() for _, held in parts
    ]
    separation = cohens_d(*projections)
    layer = int(np.argmax(separation))
    if not separation[layer] > 0:
        raise InputError(
            "no decoder layer tells the held-out unsafe prompts from the safe ones; give more prompts, or sets that "
            "differ more clearly"
        )
    return Direction(
        directions=directions.float().numpy(),
        layer=layer,
        separation=separation,
        n_unsafe=sum(len(part) for part in parts[0]),
        n_safe=sum(len(part) for part in parts[1]),
        n_held_out=sum(len(held) for _, held in parts),
    )


def cohens_d(first: FloatArray, second: FloatArray) -> FloatArray:
    """Difference of means in units of the pooled standard deviation, per column.

    Args:
        first: [n, k] with n >= 2. second: [m, k] with m >= 2.

    Returns:
        [k]; finite also where a column has no spread: it then counts as the values' own float32 rounding.
    """
    n, m = len(first), len(second)
    pooled = ((n - 1) * first.var(axis=0, ddof=1) + (m - 1) * second.var(axis=0, ddof=1)) / (n + m - 2)
    size = np.abs(np.concatenate([first, second])).max(axis=0)
    rounding = np.maximum(size * np.finfo(np.float32).eps, np.finfo(np.float32).tiny)
    effect: FloatArray = (first.mean(axis=0) - second.mean(axis=0)) / np.maximum(np.sqrt(pooled), rounding)
    return effect


def save_direction(direction: Direction, path: Path, lineage: Mapping[str, str]) -> None:
    """Write a direction as the safetensors file that the expert `steering` reads.

    The file appears whole or not at all, with mode 0600; a folder that is not there yet is made with mode 0700.

    Args:
        direction: what to write.
        path: the file; an older one is replaced.
        lineage: where it comes from (`target`, its revision, the prompt sets...), as metadata. Never prompt text.

    Raises:
        InputError: the file cannot be written.
    """
    metadata = {
        **lineage,
        "method": "difference of means",
        "layer": str(direction.layer),
        "norm": repr(float(np.linalg.norm(direction.directions[direction.layer]))),
        "separation": repr(float(direction.separation[direction.layer])),
        "n_unsafe": str(direction.n_unsafe),
        "n_safe": str(direction.n_safe),
        "n_held_out": str(direction.n_held_out),
    }
    content = save({"directions": np.ascontiguousarray(direction.directions)}, metadata=metadata)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _replace(path, content)
    except OSError as exc:
        raise InputError(f"cannot write {path}: {exc.strerror}") from exc


def _replace(path: Path, content: bytes) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 0600
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


_Rendered = tuple[Prompt, list[int]]


def _rendered(model: LanguageModel, prompts: Sequence[Prompt]) -> list[_Rendered]:
    """The usable prompts with their token ids."""
    usable: list[_Rendered] = []
    for prompt in prompts:
        try:
            ids = model.render(prompt)
            if model.context_length is not None and len(ids) > model.context_length:
                raise PromptTooLong(
                    prompt.id,
                    f"prompt {prompt.id!r} has {len(ids)} tokens, more than the model's context of "
                    f"{model.context_length}",
                )
        except PromptFailed as exc:
            log.warning("prompt left out (%s): %s", exc.reason, exc)
            continue
        usable.append((prompt, ids))
    return usable


def _split(
    prompts: list[_Rendered], held_out_share: float, name: str
) -> tuple[list[_Rendered], list[_Rendered]]:
    """The prompts for the means, and those held out: the first by the hash of their ids.

    Raises:
        InputError: too few of them.
    """
    if len(prompts) < MIN_PROMPTS:
        raise InputError(
            f"{len(prompts)} usable {name} prompts are too few for a direction; give at least {MIN_PROMPTS}, better 100"
        )
    ordered = sorted(
        prompts, key=lambda item: hashlib.blake2b(item[0].id.encode("utf-8", "surrogatepass")).digest()
    )
    held = min(max(round(held_out_share * len(ordered)), 2), len(ordered) - 2)
    return ordered[held:], ordered[:held]


def _mean(states: Iterator[Tensor]) -> Tensor:
    total, count = next(states), 1
    for state in states:
        total, count = total + state, count + 1
    return total / count


class _Reader:
    """Runs prompts one by one, so that none is padded, and reads the hidden states at their last token."""

    def __init__(self, model: LanguageModel, progress: Callable[[int, int], None]) -> None:
        self._model = model
        self._layers = decoder_layers(model.module)
        self._progress = progress
        self._done = 0
        self.total = 0

    def states(self, prompts: Sequence[_Rendered]) -> Iterator[Tensor]:
        """[layers, hidden] float64 of each prompt, on the CPU.

        Raises:
            NumericalFault: not finite.
        """
        for prompt, ids in prompts:
            state = self._run(ids).cpu().double()
            if not bool(torch.isfinite(state).all()):
                raise NumericalFault(
                    prompt.id, f"prompt {prompt.id!r} gives hidden states that are not finite"
                )
            self._done += 1
            self._progress(self._done, self.total)
            yield state

    def _run(self, ids: list[int]) -> Tensor:
        seen: list[Tensor] = []

        def look(_layer: nn.Module, _inputs: Any, output: Any) -> None:
            seen.append(hidden_state(output)[0, -1])

        with ExitStack() as hooks:
            for layer in self._layers:
                hooks.enter_context(layer.register_forward_hook(look))
            row = torch.tensor([ids], device=self._model.device)
            self._model.module(input_ids=row, use_cache=False, logits_to_keep=1)
        return torch.stack(seen)
