"""Traffic: from raw messages to counts and a sample with known inclusion probability."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from riskmon.errors import ConfigError

if TYPE_CHECKING:
    from riskmon.config import TrafficConfig
    from riskmon.records import Stratum
    from riskmon.traffic.intake import Intake
    from riskmon.traffic.left_out import LeftOut
    from riskmon.traffic.seek.intake import SeekIntake
    from riskmon.traffic.seek.source import RangeSource
    from riskmon.traffic.source import Source
    from riskmon.traffic.tally import Scorer


def open_source(config: TrafficConfig, *, alone: bool = False) -> Source | RangeSource:
    """The configured source, not yet started.

    Args:
        alone: read every message of every partition, also where the configuration shares them with a group or asks
            for ranges only.

    Raises:
        ConfigError: the Kafka security section names a file that does not exist.
    """
    if config.kafka is not None and config.seeks and not alone:
        from riskmon.traffic.kafka import KafkaRanges

        return KafkaRanges(config.kafka)
    if config.kafka is not None:
        if config.kafka.assignment == "group" and not alone:
            from riskmon.traffic.kafka.group import KafkaGroupSource

            return KafkaGroupSource(config.kafka)
        from riskmon.traffic.kafka import KafkaSource

        return KafkaSource(config.kafka.model_copy(update={"assignment": "all"}))
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
    left_out: LeftOut | None = None,
) -> Intake | SeekIntake:
    """The intake that fits a source; the other arguments are those of `Intake`.

    Raises:
        ConfigError: ranges are read, and messages among those to come are counted already.
    """
    from riskmon.traffic.seek.source import RangeSource

    if isinstance(source, RangeSource):
        from riskmon.traffic.seek.intake import SeekIntake

        if left_out is not None and left_out.any_counted:
            raise ConfigError(
                f"a backfill counted messages of topic {source.topic!r} that are still to come, and seek mode cannot "
                "pass over them; set traffic.kafka.mode: stream until they are read"
            )
        return SeekIntake(source, config, known_strata, thresholds, scorer)
    from riskmon.traffic.intake import Intake

    return Intake(source, config, known_strata, thresholds, scorer, left_out)
