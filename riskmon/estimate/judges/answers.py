"""Reading a verdict off a generative judge: exact probabilities of a few short answers.

In come contexts (token ids up to where the verdict stands) and a tree of the answers that count, each with a value in
[0, 1]. Out come, per context,

    mass = sum_a P(a | context)        value = sum_a v(a) * P(a | context)

where P(a | context) is the product of the next-token probabilities along the answer. Nothing is sampled. Labels of
one token need one forward pass; where answers are longer or share a beginning, the tree is walked over the context's KV
cache, one token at a time, and cut back after each branch. Branches that a context reaches with less than 1e-5 are not
followed for it: what they hold counts as no answer, so it can only lower the mass.

An answer may be `closing`: numbers, where "8" is complete only if no digit follows. Its probability is multiplied by
the chance that the next token does not continue it. A branch may carry `forced` text, which is put behind it and costs
no probability, as the lines of an answer with a fixed form do.

Rows are padded on the left, with attention mask and position ids: then every row ends in the last column, so only one
column of logits is computed (a table over whole rows would be gigabytes for a large vocabulary), and a row's next token
follows its last one in the cache.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor
from transformers import DynamicCache

from riskmon.estimate.judges.network import JudgeNetwork
from riskmon.estimate.meter import Meter
from riskmon.records import FloatArray

_FLOOR = 1e-5


class AmbiguousAnswers(ValueError):
    """Two answers cannot be told apart by their tokens."""


@dataclass(frozen=True, slots=True)
class Node:
    """Where an answer stands after some tokens.

    Attributes:
        children: what may follow, by next token.
        value: score of an answer that is complete here; None where none is.
        closing: complete only if the next token does not continue the answer.
        forced: tokens put behind the one that leads here, before `children` are read.
    """

    children: Mapping[int, Node] = field(default_factory=dict)
    value: float | None = None
    closing: bool = False
    forced: tuple[int, ...] = ()

    @property
    def is_leaf(self) -> bool:
        """Whether reaching it is enough, without a look at what follows."""
        return not self.children and not self.closing

    @property
    def depth(self) -> int:
        """Most tokens that are put behind a context to read everything below."""
        return max((1 + len(child.forced) + child.depth for child in self._inner), default=0)

    @property
    def _inner(self) -> list[Node]:
        return [child for child in self.children.values() if not child.is_leaf]


def plant(ends: Mapping[tuple[int, ...], Node]) -> Node:
    """A tree of answers from their token ids and what stands at the end of each.

    Raises:
        AmbiguousAnswers: one answer begins another and is not `closing`.
    """
    here = ends.get(())
    groups: dict[int, dict[tuple[int, ...], Node]] = {}
    for path, end in ends.items():
        if path:
            groups.setdefault(path[0], {})[path[1:]] = end
    children = {token: plant(group) for token, group in groups.items()}
    if here is None:
        return Node(children)
    if children and not here.closing:
        raise AmbiguousAnswers
    return replace(here, children={**here.children, **children})


class AnswerReader:
    """Reads one tree of answers off one network.

    Args:
        network: a causal model.
        tree: the answers.
        batch_size: contexts read at once.
        max_tokens: longest context with its answer.
        meter: clock of the device.
        continuing: tokens that continue a `closing` answer.
    """

    def __init__(
        self,
        network: JudgeNetwork,
        tree: Node,
        *,
        batch_size: int,
        max_tokens: int,
        meter: Meter,
        continuing: Sequence[int] = (),
    ) -> None:
        self._network = network
        self._tree = tree
        self._batch_size = batch_size
        self._meter = meter.beside(network.device.type)
        self._longest = network.limit(max_tokens) - tree.depth
        self._continuing = torch.tensor(continuing, dtype=torch.int64, device=network.device)

    def read(self, contexts: Sequence[Sequence[int] | None]) -> tuple[FloatArray, FloatArray]:
        """Value and mass of every context, both [n] float64.

        NaN where the context is None, is empty, or does not fit with its answer.
        """
        value = np.full(len(contexts), np.nan)
        mass = np.full(len(contexts), np.nan)
        # Neighbours in length share a batch, so that little is padded.
        for rows in _batches([len(context or ()) for context in contexts], self._longest, self._batch_size):
            with self._meter.working():
                value[rows], mass[rows] = self._read_batch([contexts[row] or () for row in rows])
        return value, mass

    @torch.inference_mode()
    def _read_batch(self, contexts: Sequence[Sequence[int]]) -> tuple[FloatArray, FloatArray]:
        width = max(len(context) for context in contexts)
        ids = torch.zeros((len(contexts), width), dtype=torch.int64)
        mask = torch.zeros_like(ids)
        for row, context in enumerate(contexts):
            ids[row, width - len(context) :] = torch.tensor(context)
            mask[row, width - len(context) :] = 1
        # Without a configuration every layer keeps all it has read, also those with a sliding window, so that a
        # branch can be cut off again; the mask still sees to the window.
        cache = DynamicCache() if self._tree.depth else None
        mask = mask.to(self._network.device)
        logits = self._forward(ids.to(self._network.device), mask, cache)
        return self._collect(self._tree, np.ones(len(contexts)), logits, mask, cache)

    def _forward(self, ids: Tensor, mask: Tensor, cache: DynamicCache | None) -> Tensor:
        """[n, V] float32 logits of the token behind `ids`, [n, t]; the mask [n, cached + t] covers the cache too."""
        positions = (mask.cumsum(1) - 1).clamp(min=0)[:, -ids.shape[1] :]
        output = self._network.module(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=cache is not None,
            logits_to_keep=1,
        )
        logits: Tensor = output.logits[:, -1].float()
        return logits

    def _collect(
        self, node: Node, reached: FloatArray, logits: Tensor, mask: Tensor, cache: DynamicCache | None
    ) -> tuple[FloatArray, FloatArray]:
        """Value and mass below a node, given the probability [n] to reach it and the logits [n, V] behind it."""
        value, mass = np.zeros(len(reached)), np.zeros(len(reached))
        log_total = logits.logsumexp(-1, keepdim=True)
        tokens = torch.tensor(list(node.children), dtype=torch.int64, device=logits.device)
        chances = (logits[:, tokens] - log_total).exp().double().cpu().numpy()
        if node.value is not None and node.closing:
            further = (logits[:, self._continuing] - log_total).exp().double().sum(-1).cpu().numpy()
            ends = reached * np.clip(1 - further, 0, 1)
            value, mass = value + ends * node.value, mass + ends
        del logits
        for column, (token, child) in enumerate(node.children.items()):
            here = reached * chances[:, column]
            if child.is_leaf:
                value, mass = value + here * (child.value or 0.0), mass + here
                continue
            # Each row on its own: whether a branch counts for one must not depend on the others.
            here = np.where(here < _FLOOR, 0.0, here)
            if cache is None or not here.any():
                continue
            steps = torch.tensor([token, *child.forced], device=mask.device).expand(len(here), -1)
            longer = torch.cat([mask, torch.ones_like(steps)], dim=1)
            below = self._collect(child, here, self._forward(steps, longer, cache), longer, cache)
            cache.crop(-steps.shape[1])
            value, mass = value + below[0], mass + below[1]
        return value, mass


def normalise(value: FloatArray, mass: FloatArray, label_mass: float) -> FloatArray:
    """Scores [n] float64 in [0, 1]: the expected value of an answer, NaN where answers hold less than `label_mass`."""
    readable = mass >= label_mass
    scores: FloatArray = np.full(len(mass), np.nan)
    np.divide(value, mass, out=scores, where=readable)
    return scores.clip(0, 1)


def _batches(lengths: Sequence[int], longest: int, size: int) -> Iterator[list[int]]:
    """Rows that fit, in batches of similar length."""
    rows = sorted(
        (row for row, length in enumerate(lengths) if 0 < length <= longest), key=lambda i: lengths[i]
    )
    for start in range(0, len(rows), size):
        yield rows[start : start + size]
