"""Contexts that were run: each prompt once per expert, kept while it may be drawn from again.

A prompt is drawn in stages, and its hits are scored between them; several prompts may be under way at once. The
newest are kept, as many as fit into a fixed share of memory, and always the one asked for last.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from riskmon.estimate.engines.local.fixed.sizes import LENGTH, round_up
from riskmon.estimate.engines.local.prefix import Prefix, open_prefix
from riskmon.estimate.experts import Expert
from riskmon.estimate.model import LanguageModel
from riskmon.records import Prompt

_KEPT_BYTES = 2**30


class Contexts:
    """Prefilled contexts of some prompts.

    Attributes:
        work: tokens run so far.
    """

    def __init__(
        self, model: LanguageModel, experts: Sequence[Expert], max_new_tokens: int, *, fixed: bool = False
    ) -> None:
        """Begin without contexts.

        Args:
            fixed: whether lengths are rounded up, so that a device sees few of them.
        """
        self._model = model
        self._experts = experts
        self._cap = max_new_tokens
        self._fixed = fixed
        self._opened: OrderedDict[int, tuple[Prompt, dict[int, Prefix]]] = OrderedDict()
        self.work = 0

    def check(self, prompt: Prompt, experts: Sequence[int]) -> None:
        """Render a prompt for some experts, without running it.

        Raises:
            PromptFailed: it cannot be rendered, or is too long.
        """
        for expert in experts:
            self._ids(prompt, expert)

    def get(self, prompt: Prompt, expert: int) -> Prefix:
        """A prompt as an expert reads it.

        Raises:
            PromptFailed: as `check`.
        """
        _, mine = self._opened.setdefault(id(prompt), (prompt, {}))
        self._opened.move_to_end(id(prompt))
        if expert not in mine:
            ids = self._ids(prompt, expert)
            with self._experts[expert].active() as module:
                self.work += len(ids)
                mine[expert] = open_prefix(module, ids, self._model.device, self._padded(len(ids)))
            self._forget()
        return mine[expert]

    def _padded(self, length: int) -> int | None:
        if not self._fixed:
            return None
        most = self._model.context_length
        rounded = round_up(length, least=LENGTH, parts=8)
        return rounded if most is None else max(length, min(rounded, most))

    def _ids(self, prompt: Prompt, expert: int) -> list[int]:
        ids = self._experts[expert].context(prompt)
        self._model.check_length(prompt, ids, self._cap)
        return ids

    def _forget(self) -> None:
        sizes = [sum(prefix.nbytes for prefix in mine.values()) for _, mine in self._opened.values()]
        held = sum(sizes)
        for size in sizes[:-1]:
            if held <= _KEPT_BYTES:
                return
            self._opened.popitem(last=False)
            held -= size


__all__ = ["Contexts"]
