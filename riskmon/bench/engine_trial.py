"""Trials of the engine's benchmark: one way, measured once, behind nothing that was measured before.

On the CPU every trial has a process of its own that loads the model, so that its memory is its own: what an earlier
way has left in the heap would hide what a later one takes. On CUDA torch counts memory itself, and loading a large
model anew for every trial would take longer than the trials; there they share this process and its model.
"""

from __future__ import annotations

import gc
import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TypeVar

import torch

from riskmon.bench.engine_continuous import continuous_and_rescore
from riskmon.bench.engine_cost import Cost, measure
from riskmon.bench.engine_floor import Floor, step_floor
from riskmon.bench.engine_models import build_experts, build_model, random_prompt
from riskmon.bench.engine_ways import build_engine, draw_with_engine, generate_and_rescore, published_loop
from riskmon.errors import ConfigError
from riskmon.estimate.engines.local.engine import LocalEngine
from riskmon.estimate.experts import Expert
from riskmon.estimate.memory import release_memory
from riskmon.estimate.model import LanguageModel, pick_device
from riskmon.records import Prompt

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
OURS = "riskmon"
WAYS = {
    "two-pass loop": published_loop,
    "generate + rescoring": generate_and_rescore,
    "continuous batching + rescoring": continuous_and_rescore,
}
# What is done once a process is nobody's cost: on the CPU a few draws show it, on CUDA kernels are chosen, and steps
# recorded, for the very sizes that are measured.
_WARM_PROMPT, _WARM_DRAWS = 8, 2

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class EngineBench:
    """What is run.

    Attributes:
        model: a shape (random weights), or a folder or hub id. layers: as many of the shape's layers; None for all.
        dtype, device: of the model.
        draws: N. tokens: T of each. prompt: tokens of the prompt. rounds: repeats; medians are shown.
        short, long: prompts of the comparison of lengths; no comparison where `long` is 0.
    """

    model: str
    layers: int | None = None
    dtype: str = "float32"
    device: str = "auto"
    draws: int = 64
    tokens: int = 32
    prompt: int = 200
    rounds: int = 1
    short: int = 512
    long: int = 4096

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise ConfigError(f"--dtype is {self.dtype!r}; it must be one of {', '.join(DTYPES)}")


class Trial:
    """A loaded model and what can be measured on it."""

    def __init__(self, bench: EngineBench) -> None:
        """Load the model.

        Raises:
            ModelUnavailable: the model or the device is not there.
        """
        self._bench = bench
        self._device = pick_device(bench.device)
        self._model: LanguageModel = build_model(bench.model, self._device, DTYPES[bench.dtype], bench.layers)
        self._experts: tuple[Expert, ...] = build_experts(self._model)
        self._pieces: dict[str, int] = {}

    @cached_property
    def _engine(self) -> LocalEngine:
        return build_engine(self._model, self._experts, self._bench.tokens)

    def cost(self, way: str) -> Cost:
        """What all draws cost by a way, prompt, decoding and scoring counted.

        Where the device has no memory for all of them at once, in as few pieces as it has memory for.

        Raises:
            WayFailed: the way does not run here.
            torch.OutOfMemoryError: there is no memory for a single draw.
        """
        n = self._bench.draws
        self._run(way, random_prompt(self._model, _WARM_PROMPT), _WARM_DRAWS)
        prompt = random_prompt(self._model, self._bench.prompt)
        while True:
            sizes = _shared_out(n, self._pieces.get(way, 1))
            try:
                if self._device.type == "cuda":
                    self._run_pieces(way, prompt, sizes)
                cost = self._measure(partial(self._run_pieces, way, prompt, sizes))
            except torch.OutOfMemoryError:
                if len(sizes) == n:
                    raise
                self._pieces[way] = 2 * len(sizes)
            else:
                return replace(cost, pieces=len(sizes))
            release_memory()

    def cost_behind(self, length: int, draws: int) -> Cost:
        """What draws of riskmon's cost behind a prompt that was run before the clock starts."""
        prompt, cap = random_prompt(self._model, length), self._bench.tokens
        draw_with_engine(self._engine, prompt, draws if self._device.type == "cuda" else _WARM_DRAWS, cap)
        return self._measure(lambda: draw_with_engine(self._engine, prompt, draws, cap))

    def floor(self) -> Floor:
        """What a step of all draws must read."""
        prompt = random_prompt(self._model, self._bench.prompt)
        return step_floor(self._model, self._experts, prompt, self._bench.draws, self._bench.tokens)

    def _run(self, way: str, prompt: Prompt, n: int) -> object:
        cap = self._bench.tokens
        if way == OURS:
            return draw_with_engine(self._engine, prompt, n, cap)
        return WAYS[way](self._model, self._experts, prompt, n, cap)

    def _run_pieces(self, way: str, prompt: Prompt, sizes: list[int]) -> None:
        for size in sizes:
            self._run(way, prompt, size)

    def _measure(self, work: Callable[[], object]) -> Cost:
        gc.collect()
        return measure(work, self._device)


class Trials:
    """Runs trials, each where it disturbs no other."""

    def __init__(self, bench: EngineBench) -> None:
        """Begin; nothing is loaded yet.

        Raises:
            ModelUnavailable: the device is not there.
        """
        self._bench = bench
        self._apart = pick_device(bench.device).type == "cpu"

    def run(self, what: Callable[[Trial], T]) -> T:
        """A trial's result.

        Args:
            what: a function of a module, or a partial of one, that measures.

        Raises:
            ModelUnavailable: the model is not there.
            ConfigError: the trial's process was ended from outside.
        """
        if not self._apart:
            return what(self._here)
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            try:
                return pool.submit(_run_apart, self._bench, what).result()
            except BrokenProcessPool as exc:
                raise ConfigError(
                    "the system ended a trial's process, as it does when memory runs out; "
                    "ask for fewer --draws, --layers or a shorter --prompt"
                ) from exc

    @cached_property
    def _here(self) -> Trial:
        return Trial(self._bench)


def _shared_out(n: int, pieces: int) -> list[int]:
    """n draws in so many pieces, none of them empty."""
    pieces = min(n, pieces)
    return [n // pieces + (i < n % pieces) for i in range(pieces)]


def _run_apart(bench: EngineBench, what: Callable[[Trial], T]) -> T:
    return what(Trial(bench))
