"""Traffic: from raw messages to exact counts and a sample with known inclusion probability."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from riskmon.config import TrafficConfig
    from riskmon.traffic.source import Source


def open_source(config: TrafficConfig, *, alone: bool = False) -> Source:
    """The configured source, not yet started.

    Args:
        alone: read every partition, also where the configuration shares them with a group.

    Raises:
        ConfigError: the Kafka security section names a file that does not exist.
    """
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
