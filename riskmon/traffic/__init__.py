"""Traffic: from raw messages to counts and a sample with known inclusion probability."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from riskmon.config import TrafficConfig
    from riskmon.records import Stratum
    from riskmon.traffic.intake import Intake
    from riskmon.traffic.seek.intake import SeekIntake
    from riskmon.traffic.seek.source import RangeSource
    from riskmon.traffic.source import Source
    from riskmon.traffic.tally import Scorer


def open_source(config: TrafficConfig) -> Source | RangeSource:
    """The configured source, not yet started.

    Raises:
        ConfigError: the Kafka security section names a file that does not exist.
    """
    if config.kafka is not None and config.seeks:
        from riskmon.traffic.kafka import KafkaRanges

        return KafkaRanges(config.kafka)
    if config.kafka is not None:
        from riskmon.traffic.kafka import KafkaSource

        return KafkaSource(config.kafka)
    if config.jsonl is not None:
        from riskmon.traffic.jsonl import JsonlSource

        return JsonlSource(config.jsonl, config.max_message_bytes)
    raise AssertionError("TrafficConfig checks that there is exactly one source")


def open_intake(
    source: Source | RangeSource,
    config: TrafficConfig,
    known_strata: Iterable[Stratum] = (),
    thresholds: Mapping[tuple[datetime, Stratum], float] | None = None,
    scorer: Scorer | None = None,
) -> Intake | SeekIntake:
    """The intake that fits a source, which is started; the other arguments are those of `Intake`."""
    from riskmon.traffic.seek.source import RangeSource

    if isinstance(source, RangeSource):
        from riskmon.traffic.seek.intake import SeekIntake

        return SeekIntake(source, config, known_strata, thresholds, scorer)
    from riskmon.traffic.intake import Intake

    return Intake(source, config, known_strata, thresholds, scorer)
