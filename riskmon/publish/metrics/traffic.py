"""What was read from the source."""

from __future__ import annotations

from collections.abc import Iterator

from riskmon.publish import names
from riskmon.publish.facts import Facts
from riskmon.publish.metrics.family import Family, family, from_zero, timestamp
from riskmon.records import Snapshot
from riskmon.records.scorer import Unscored
from riskmon.records.strata import StratumChange


def traffic(snapshot: Snapshot, facts: Facts) -> Iterator[Family]:
    """Counters of messages, the strata that they fall into, and the last check of the source."""
    counters = snapshot.counters
    yield family(names.PROMPTS_CONSUMED, [((), counters.consumed)])
    yield family(names.PROMPTS_SAMPLED, [((), counters.sampled)])
    yield family(names.PROMPTS_REJECTED, from_zero(facts.reject_reasons, counters.rejected))
    yield family(names.SCORER_FAILURES, from_zero(tuple(Unscored), counters.scorer_failures))
    if (scorer := snapshot.scorer) is not None:
        yield family(names.SCORER_IN_USE, [((), float(scorer.helps))])
        yield family(names.SCORER_VARIANCE_RATIO, [((), scorer.variance_ratio)])
        yield family(names.SCORER_LAST_TRAINED, [((), timestamp(scorer.made_at))])
    yield family(names.DEAD_LETTERS, from_zero(facts.dead_letter_outcomes, counters.dead_letters))
    yield family(names.STRATA, [((), snapshot.strata.kept)])
    yield family(names.VANISHED_STRATA, [((), len(snapshot.strata.vanished))])
    yield family(names.STRATUM_CHANGES, from_zero(list(StratumChange), snapshot.strata.changes))
    if (source := snapshot.traffic) is not None:
        yield family(names.KAFKA_UP, [((), float(source.up))])
        yield family(names.KAFKA_READERS, [((), source.readers)])
        yield family(names.KAFKA_LAG, [((), source.lag_messages)])
        yield family(names.KAFKA_LAST_CHECK, [((), timestamp(source.at))])
