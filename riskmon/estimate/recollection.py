"""What a session remembers of prompts that may get further draws in the same cycle."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from riskmon.estimate.evidence import Reading, Stage
from riskmon.estimate.proposals import Mixture

# Prompts whose draws are kept in memory for further ones; far more than a cycle refines.
_KEPT = 10_000


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """All that a prompt's draws have shown.

    Attributes:
        stages: in order; a pilot, where there is one, first.
        readings: per stage, per harm.
        mixture: what further draws are made from.
    """

    stages: tuple[Stage, ...]
    readings: tuple[tuple[Reading, ...], ...]
    mixture: Mixture

    @property
    def spread(self) -> tuple[tuple[float, float], ...]:
        """Per harm, standard deviation and mean of one pilot draw's w h; empty without a pilot."""
        pilot = self.stages[0]
        if pilot.counted:
            return ()
        terms = [pilot.weights.values * reading.events for reading in self.readings[0]]
        return tuple((float(own.std(ddof=1)), float(own.mean())) for own in terms)

    @property
    def draws(self) -> int:
        """Draws of all stages."""
        return sum(len(stage) for stage in self.stages)


class Recollection:
    """Evidence by stream key, of the prompts kept last."""

    def __init__(self) -> None:
        self._evidence: OrderedDict[str, Evidence] = OrderedDict()

    def keep(self, stream_key: str, evidence: Evidence) -> None:
        """Remember a prompt's evidence in place of what was known of it; beyond the limit the oldest is forgotten."""
        self._evidence[stream_key] = evidence
        self._evidence.move_to_end(stream_key)
        while len(self._evidence) > _KEPT:
            self._evidence.popitem(last=False)

    def recall(self, stream_key: str) -> Evidence | None:
        """What is known of a prompt; None where nothing is."""
        return self._evidence.get(stream_key)

    def clear(self) -> None:
        """Forget all."""
        self._evidence.clear()
