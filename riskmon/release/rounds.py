"""Drawing: a round of prompts under both models, of which one at a time is in memory.

A round begins with the model that is loaded already, so K rounds load K + 1 times. With the same `estimate.seed` both
models draw from the same random stream for the same prompt: where the candidate is nearly the baseline their answers
are too, the noise of a pair cancels, and the comparison is sharper for it. Each estimate by itself is as unbiased as
ever.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from riskmon.config import Config
from riskmon.progress import Report, status
from riskmon.records import Prompt, PromptResult
from riskmon.release.measured import Measured, Side
from riskmon.release.state import State

if TYPE_CHECKING:
    from riskmon.estimate.session import Session

log = logging.getLogger(__name__)


class Models:
    """The two models, loaded when they are asked for."""

    def __init__(self, configs: Mapping[Side, Config], *, keep_both: bool) -> None:
        self._configs = configs
        self._keep_both = keep_both
        self._loaded: dict[Side, Session] = {}

    def order(self) -> list[Side]:
        """Both models, one that is loaded first."""
        return sorted(Side, key=lambda side: side not in self._loaded)

    def get(self, side: Side) -> Session:
        """A model, ready to estimate.

        Raises:
            UserError: it, an expert or a judge cannot be loaded or used.
        """
        if side not in self._loaded:
            if not self._keep_both and self._loaded:
                self.drop()
            with status(f"loading the {side}"):
                from riskmon.estimate.opening import open_session

                self._loaded[side] = open_session(self._configs[side])
        return self._loaded[side]

    def estimates(self, side: Side, prompts: Sequence[Prompt]) -> Iterator[PromptResult]:
        """Results of prompts under a model, in their order.

        Raises:
            UserError: as `get`.
        """
        session = self.get(side)
        from riskmon.estimate.together import estimate_each

        return estimate_each(session, prompts)

    def drop(self) -> None:
        """Give back the memory of what is loaded."""
        from riskmon.estimate.memory import release_memory

        self._loaded.clear()
        release_memory()


def measure_round(models: Models, prompts: Sequence[Prompt], state: State, report: Report) -> None:
    """Estimate prompts under both models; what the state holds already is not drawn again.

    Args:
        report: told after each estimate how many the state holds.

    Raises:
        UserError: a model cannot be used, or the state cannot be written.
    """
    for side in models.order():
        missing = [prompt for prompt in prompts if prompt.id not in state.measured[side]]
        if not missing:
            continue
        for result in models.estimates(side, missing):
            state.add(side, result.prompt.id, Measured.of(result))
            report(sum(len(done) for done in state.measured.values()), "")
